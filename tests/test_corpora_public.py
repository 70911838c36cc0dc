"""Public corpora in their exact layouts: what is written is right to the line, what is wrong with a copy is named."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import shutil
import tarfile
import threading
from pathlib import Path

import corpus_trees
import numpy as np
import pytest
import soundfile
from corpus_trees import TREES, write_lines, write_sound

from speechgru.audio.reading import read_recording
from speechgru.config.sections import RunConfig
from speechgru.corpora import CORPORA, prepare
from speechgru.corpora.public import common_voice, copies, fleurs, mini_librispeech, speech_commands, tedlium3, timit
from speechgru.corpora.public.librispeech import Part
from speechgru.corpora.public.lines import read_stm
from speechgru.corpora.public.source import Archive
from speechgru.errors import CorpusError
from speechgru.utterances.check import check
from speechgru.utterances.examination import examine, make_vocabulary
from speechgru.utterances.manifest import read_manifest


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Makes a corpus's tree once; it must not be changed."""
    made: dict[str, Path] = {}

    def tree(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "my copy, ä"
            TREES[name](made[name])
        return made[name]

    return tree


@pytest.fixture
def copy(trees, tmp_path):
    """A tree to damage."""

    def copied(name):
        shutil.copytree(trees(name), tmp_path / "copy")
        return tmp_path / "copy"

    return copied


def lines_of(manifests):
    return {split: read_manifest(path) for split, path in manifests.items()}


def shown(utterances):
    """What a test looks at first: name and text."""
    return [(utterance.utterance_id, utterance.text) for utterance in utterances]


def notes_of(out):
    return json.loads((out / "prepared.json").read_text(encoding="utf-8"))


# Every corpus.


@pytest.mark.parametrize("name", TREES)
def test_law_9_what_is_written_is_accepted_by_check_and_training(trees, tmp_path, name):
    manifests = prepare(name, tmp_path / "out", source=trees(name))
    letters = {} if name not in ("musan", "rirs_noises") else {"characters": "abc"}  # they have no texts
    config = RunConfig.model_validate({"data": {"num_workers": 1}, "text": letters})
    lines = [line for path in manifests.values() for line in read_manifest(path)]
    for line in lines:
        offset = {"offset": line.offset, "duration": line.duration} if line.segment else {}
        recording = read_recording(line.audio_filepath, channel=line.channel, **offset)
        assert line.duration == pytest.approx(recording.duration, abs=0.01), line
    for found in check(list(manifests.values()), config=config):
        assert found.problems == []
        assert not {entry.reason for entry in found.suspicions} & {"duration mismatch", "mark", "leak", "duplicate"}
    usable, problems = examine(lines, config=config, vocabulary=make_vocabulary(config, lines))
    assert problems == [] and len(usable) == len(lines)


@pytest.mark.parametrize("name", TREES)
def test_no_speaker_and_no_recording_is_in_two_splits(trees, tmp_path, name):
    splits = lines_of(prepare(name, tmp_path / "out", source=trees(name)))
    splits = {split: lines for split, lines in splits.items() if split in ("train", "dev", "test")}
    for kind in ("speaker", "audio_filepath"):
        if kind == "speaker" and name in ("yesno", "ljspeech", "voxpopuli"):  # one speaker; one id a session
            continue
        seen = [{getattr(line, kind) for line in lines} - {None} for lines in splits.values()]
        assert sum(map(len, seen)) == len(set().union(*seen))


@pytest.mark.parametrize("name", TREES)
def test_a_folder_of_something_else_is_refused_in_one_line(tmp_path, name):
    (tmp_path / "holiday").mkdir()
    for place, message in ((tmp_path / "holiday", "holiday: "), (tmp_path / "gone", "gone: no such folder")):
        with pytest.raises(CorpusError) as caught:
            prepare(name, tmp_path / "out", source=place)
        assert str(caught.value).startswith(str(tmp_path)) and message in str(caught.value)
        assert "source" in str(caught.value) or "language" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", TREES)
def test_a_recording_that_is_damaged_is_named_and_left_out_on_request(copy, tmp_path, name):
    source = copy(name)
    kept = lines_of(prepare(name, tmp_path / "before", source=source))
    lines = max(kept.values(), key=lambda each: len({line.audio_filepath for line in each}))
    paths = list(dict.fromkeys(line.audio_filepath for line in lines))
    if name == "an4":  # its recordings are written anew
        paths = sorted(map(str, source.rglob("*.raw")))
    if len(paths) < 2:
        paths = [next(iter(kept["noise"])).audio_filepath] if "noise" in kept else paths
    bad = Path(paths[0])
    bad.write_bytes(b"" if bad.suffix == ".raw" else b"this is no sound at all, whatever its name says")
    with pytest.raises(CorpusError, match=r"\d faults? of this copy of") as caught:
        prepare(name, tmp_path / "out", source=source)
    assert str(bad) in str(caught.value) and "--skip-missing" in str(caught.value)
    assert not (tmp_path / "out" / "train.jsonl").exists()
    if len(paths) > 1:
        left = lines_of(prepare(name, tmp_path / "out", source=source, skip_missing=True))
        assert 0 < sum(map(len, left.values())) < sum(map(len, kept.values()))
        assert any(str(bad) in place for place in notes_of(tmp_path / "out")["left_out"])


def test_the_table_has_every_tree():
    public = {name for name, corpus in CORPORA.items() if ".public." in corpus.prepare.__module__}
    assert public == set(TREES)


def test_every_corpus_has_a_section_with_its_command_on_the_page():
    page = (Path(__file__).parents[1] / "docs" / "howto" / "corpora.md").read_text(encoding="utf-8")
    for name in TREES:
        assert f"\n| [{name}](#" in page and f"\nspeechgru prepare {name} " in page, name


def test_links_in_a_circle_end_and_what_a_mac_adds_is_passed_over(copy, tmp_path):
    source = copy("yesno")
    (source / "waves_yesno" / "again").symlink_to(source)
    (source / "__MACOSX").mkdir()
    for name in ("__MACOSX/0_1.wav", "waves_yesno/._0_0_0_1_0_1_0_1.wav"):
        (source / name).write_bytes(b"resource fork")
    splits = lines_of(prepare("yesno", tmp_path / "out", source=source))
    assert sum(map(len, splits.values())) == 12


# Downloads: what is served is what a folder gives.


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serves files of this machine; gives the home of their addresses."""
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "www").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "www")
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def pack(folder, archive, *names):
    """Packs what is below a folder, links as links; gives its size and checksum."""
    with tarfile.open(archive, "w:gz") as packed:
        for name in names:
            packed.add(folder / name, arcname=name)
    return {"num_bytes": archive.stat().st_size, "checksum": "md5:" + hashlib.md5(archive.read_bytes()).hexdigest()}


def assert_same(fetched, local):
    for split, path in fetched.items():
        assert [(u.utterance_id, u.text, u.speaker, u.duration) for u in read_manifest(path)] == [
            (u.utterance_id, u.text, u.speaker, u.duration) for u in read_manifest(local[split])
        ]


def test_mini_librispeech_is_downloaded_part_by_part(trees, tmp_path, serve, monkeypatch):
    parts = {}
    for part, known in mini_librispeech._PARTS.items():
        name = f"{part}.tar.gz"
        sums = pack(
            trees("mini_librispeech"), tmp_path / "www" / name, f"LibriSpeech/{part}", "LibriSpeech/SPEAKERS.TXT"
        )
        parts[part] = Part(known.split, Archive(name, (f"{serve}/{name}",), **sums))
    monkeypatch.setattr(mini_librispeech, "_PARTS", parts)
    fetched = prepare("mini_librispeech", tmp_path / "out")
    assert_same(fetched, prepare("mini_librispeech", tmp_path / "local", source=trees("mini_librispeech")))
    assert sorted(path.name for path in (tmp_path / "out" / "raw").iterdir()) == ["dev-clean-2", "train-clean-5"]
    assert str(tmp_path) not in fetched["train"].read_text(), "the folder can be moved"
    shutil.rmtree(tmp_path / "www")
    assert_same(prepare("mini_librispeech", tmp_path / "out"), fetched)


def test_tedlium_s_archive_has_links_to_folders(copy, tmp_path, serve, monkeypatch):
    source = copy("tedlium3")
    home = source / "TEDLIUM_release-3"
    (home / "data").mkdir()
    for kind in ("sph", "stm"):
        shutil.move(home / "legacy" / "train" / kind, home / "data" / kind)
        (home / "legacy" / "train" / kind).symlink_to(f"../../data/{kind}")
    name = "TEDLIUM_release-3.tgz"
    sums = pack(source, tmp_path / "www" / name, "TEDLIUM_release-3/legacy", "TEDLIUM_release-3/data")
    monkeypatch.setattr(tedlium3, "_ARCHIVE", Archive(name, (f"{serve}/{name}",), **sums))
    assert_same(prepare("tedlium3", tmp_path / "out"), prepare("tedlium3", tmp_path / "local", source=source))


def test_fleurs_and_speech_commands_are_downloaded_in_pieces(trees, tmp_path, serve, monkeypatch):
    home = trees("fleurs") / "data" / "de_de"
    (tmp_path / "www" / "de_de" / "audio").mkdir(parents=True)
    for split in ("train", "dev", "test"):
        shutil.copy(home / f"{split}.tsv", tmp_path / "www" / "de_de" / f"{split}.tsv")
        pack(home / "audio", tmp_path / "www" / "de_de" / "audio" / f"{split}.tar.gz", split)
    monkeypatch.setattr(fleurs, "_HOME", serve)
    assert_same(
        prepare("fleurs", tmp_path / "out", language="de_de"), prepare("fleurs", tmp_path / "local", source=home)
    )
    corpus_trees.speech_commands(tmp_path / "words", test_archive=True)
    for kind in ("_TRAIN", "_TEST"):
        name = getattr(speech_commands, kind).name
        place = tmp_path / "words" / name.removesuffix(".tar.gz")
        sums = pack(place, tmp_path / "www" / name, *sorted(path.name for path in place.iterdir()))
        monkeypatch.setattr(speech_commands, kind, Archive(name, (f"{serve}/{name}",), **sums))
    assert_same(
        prepare("speech_commands", tmp_path / "12", classes=12),
        prepare("speech_commands", tmp_path / "local", source=tmp_path / "words", classes=12),
    )


# LibriSpeech.


def test_librispeech_has_its_official_splits(trees, tmp_path):
    splits = lines_of(prepare("librispeech", tmp_path / "out", source=trees("librispeech")))
    assert list(splits) == ["train", "dev", "dev_other", "test", "test_other"]
    assert shown(splits["train"])[:3] == [
        ("100-7-0000.flac", "nine green apples"),
        ("100-7-0001.flac", "she read a letter"),
        ("100-7-0002.flac", "the rain stopped"),
    ]
    assert [line.speaker for line in splits["train"]] == ["100"] * 3 + ["101"] * 3
    assert splits["train"][0].extra == {"part": "train-clean-100", "gender": "f"}
    assert splits["test_other"][5].extra == {"part": "test-other", "gender": "m"}
    assert splits["train"][0].duration == pytest.approx(0.3 + 0.06 * 17, abs=1e-4)


def test_parts_are_chosen_from_any_folder_above_or_the_part_itself(trees, tmp_path):
    tree = trees("librispeech")
    for source in (tree, tree / "LibriSpeech", tree / "LibriSpeech" / "dev-clean"):
        splits = lines_of(prepare("librispeech", tmp_path / "out", source=source, parts=["dev-clean"]))
        assert {split: len(lines) for split, lines in splits.items()} == {"dev": 6}
    with pytest.raises(CorpusError, match=r"holds no folder train-clean-360, as librispeech does"):
        prepare("librispeech", tmp_path / "out", source=tree, parts=["dev-clean", "train-clean-360"])
    with pytest.raises(CorpusError, match=r"parts must be one of train-clean-100, .*got 'train-clean'"):
        prepare("librispeech", tmp_path / "out", source=tree, parts=["train-clean"])
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "dev-clean.tar.gz").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"dev-clean\.tar\.gz is there: unpack it first"):
        prepare("librispeech", tmp_path / "out", source=tmp_path / "packed")


def test_a_part_that_is_there_twice_is_named(copy, tmp_path):
    source = copy("mini_librispeech")
    shutil.copytree(source / "LibriSpeech", source / "backup")
    with pytest.raises(
        CorpusError, match=r"holds train-clean-5 of mini_librispeech 2 times, in .*; name one with --sou"
    ):
        prepare("mini_librispeech", tmp_path / "out", source=source)


def test_several_processes_measure_what_one_does(trees, tmp_path, monkeypatch):
    one = prepare("librispeech", tmp_path / "out", source=trees("librispeech"))
    before = [path.read_text() for path in one.values()]
    monkeypatch.setattr(copies, "_WORTH_WORKERS", 1)
    monkeypatch.setattr(copies, "_BLOCK", 7)
    monkeypatch.setattr(copies, "num_processors", lambda: 2)
    calls = []
    several = prepare(
        "librispeech", tmp_path / "out", source=trees("librispeech"), progress=lambda *call: calls.append(call)
    )
    assert [path.read_text() for path in several.values()] == before
    assert [call[1] for call in calls] == sorted(call[1] for call in calls) and calls[-1][:3] == ("measuring", 30, 30)


def test_what_is_wrong_with_transcripts_is_named_and_left_out_on_request(copy, tmp_path):
    source = copy("mini_librispeech")
    place = source / "LibriSpeech" / "train-clean-5" / "100" / "7"
    write_lines(
        place / "100-7.trans.txt",
        ["100-7-0000 NINE APPLES", "100-7-0000 NINE GREEN APPLES", "100-7-0002", "100-7-0009 A GHOST"],
    )
    same = source / "LibriSpeech" / "train-clean-5" / "101" / "7" / "101-7.trans.txt"
    write_lines(same, [*same.read_text().splitlines(), "101-7-0001 SHE READ A LETTER"])
    with pytest.raises(CorpusError, match=r"copy: 5 faults of this copy of mini_librispeech: .*; and 2 more; unpack"):
        prepare("mini_librispeech", tmp_path / "out", source=source)
    left = lines_of(prepare("mini_librispeech", tmp_path / "out", source=source, skip_missing=True))["train"]
    assert shown(left) == [(f"101-7-{k:04d}.flac", t.lower()) for k, t in enumerate(corpus_trees.SENTENCES[:3])]
    notes = notes_of(tmp_path / "out")
    assert {Path(name).name: reason for name, reason in notes["left_out"].items()} == {
        "100-7-0000.flac": "is named twice, with different texts",
        "100-7-0001.flac": "has no transcript",
        "100-7-0002.flac": "has an empty transcript",
        "100-7-0009.flac": "no such recording, but a transcript",
        "101-7-0001.flac": "is named twice, with one text, and kept once",
    }
    assert notes["notes"] == ["left out, because of faults of this copy: 5; prepared.json names them"]


def test_a_table_that_is_not_utf8_is_named(copy, tmp_path):
    source = copy("mini_librispeech")
    table = next(source.rglob("*.trans.txt"))
    table.write_bytes(b"100-7-0000 CAF\xc9\n")
    with pytest.raises(CorpusError, match=r"trans\.txt: is not UTF-8 text: the byte C9 in line 1 .*unpack the corpus"):
        prepare("mini_librispeech", tmp_path / "out", source=source)


# Common Voice.


def test_common_voice_is_read_without_quoting_in_both_layouts(trees, tmp_path):
    old = tmp_path / "old"
    corpus_trees.common_voice(old, columns=corpus_trees.OLD, version="cv-corpus-8.0-2022-01-19")
    for source in (trees("common_voice"), old):
        splits = lines_of(prepare("common_voice", tmp_path / "out", source=source))
        assert shown(splits["train"]) == [
            ("common_voice_de_1.mp3", 'Er sagte "Nein" und ging.'),
            ("common_voice_de_2.mp3", "Grüße aus Köln"),
            ("common_voice_de_3.mp3", "Es regnet"),
        ]
        assert shown(splits["dev"]) == [("common_voice_de_4.mp3", "Grüße aus Essen")]
        assert splits["test"][0].speaker == "d" * 16
        assert splits["test"][0].extra == {"age": "twenties", "accents": "Hessen"}


def test_validated_clips_never_bring_a_speaker_or_sentence_of_dev_or_test(trees, tmp_path):
    splits = lines_of(prepare("common_voice", tmp_path / "out", source=trees("common_voice"), train="validated"))
    assert [text for _, text in shown(splits["train"])][3:] == ["Noch ein Satz", "Umstritten"]
    assert notes_of(tmp_path / "out")["notes"] == [
        "left out by rule: 1 (validated, but by a speaker of dev or test), "
        "1 (validated, but with a sentence of dev or test)"
    ]
    options = {"train": "validated", "max_down_votes": 0}
    splits = lines_of(prepare("common_voice", tmp_path / "out", source=trees("common_voice"), **options))
    assert [text for _, text in shown(splits["train"])][3:] == ["Noch ein Satz"]


def test_a_language_is_chosen_where_there_are_several(copy, tmp_path):
    source = copy("common_voice")
    corpus_trees.common_voice(source, language="cy")
    with pytest.raises(CorpusError, match=r"holds several languages; name one of them with language=: cy, de"):
        prepare("common_voice", tmp_path / "out", source=source)
    with pytest.raises(CorpusError, match=r"holds no language 'fr'; name one of them with language=: cy, de"):
        prepare("common_voice", tmp_path / "out", source=source, language="fr")
    manifests = prepare("common_voice", tmp_path / "out", source=source, language="cy")
    assert "common_voice_cy_1.mp3" in manifests["train"].read_text()
    with pytest.raises(
        CorpusError, match=r"common_voice: name the unpacked corpus with --source; it is had from mozilla"
    ):
        prepare("common_voice", tmp_path / "out")


def test_a_table_that_was_cut_is_named_by_line(copy, tmp_path):
    source = copy("common_voice")
    table = next(source.rglob("train.tsv"))
    table.write_text(table.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(CorpusError, match=r"train\.tsv:4: has \d+ cells, expected 13; the file is cut or was edited"):
        prepare("common_voice", tmp_path / "out", source=source)


def test_a_language_without_an_official_test_set_is_prepared_and_it_is_said(copy, tmp_path):
    source = copy("common_voice")
    table = next(source.rglob("test.tsv"))
    table.write_text(table.read_text(encoding="utf-8").split("\n")[0] + "\n", encoding="utf-8")
    assert list(prepare("common_voice", tmp_path / "out", source=source)) == ["train", "dev"]
    assert notes_of(tmp_path / "out")["notes"] == ["test.tsv is empty: this language has no official test set"]


def test_the_first_versions_left_the_suffix_out():
    row = {"path": "abc", "sentence": "a", "client_id": "x"}
    assert common_voice._clip(Path("de"), row).audio == str(Path("de", "clips", "abc.mp3"))


# Speech Commands.


def test_speech_commands_has_35_classes_by_the_official_lists(trees, tmp_path):
    splits = lines_of(prepare("speech_commands", tmp_path / "out", source=trees("speech_commands")))
    for split, speakers in (
        ("train", {"0a7c2a8d", "1b88bf70"}), ("dev", {"cc6ee39b"}), ("test", {"d0faf7e4"})
    ):  # fmt: skip
        assert {line.speaker for line in splits[split]} == speakers
        assert {line.text for line in splits[split]} == set(corpus_trees.WORDS)
    assert [line.utterance_id for line in splits["noise"]] == ["running_tap.wav", "white_noise.wav"]
    assert splits["noise"][0].duration == 12.0 and splits["noise"][0].text == ""


def test_speech_commands_has_12_classes_with_unknown_words_and_silence(tmp_path):
    corpus_trees.speech_commands(tmp_path / "source", test_archive=True)
    splits = lines_of(prepare("speech_commands", tmp_path / "out", source=tmp_path / "source", classes=12))
    counts = {
        split: {kind: sum(line.extra["class"] == kind for line in lines) for kind in ("yes", "_unknown_", "_silence_")}
        for split, lines in splits.items() if split != "noise"
    }  # fmt: skip
    # A tenth of 8 and 4 recordings of the ten words, rounded up.
    assert counts["train"] == {"yes": 2, "_unknown_": 1, "_silence_": 1}
    assert counts["dev"] == {"yes": 1, "_unknown_": 1, "_silence_": 1}
    assert counts["test"] == {"yes": 1, "_unknown_": 1, "_silence_": 1}
    for split, lines in splits.items():
        for line in lines if split != "noise" else ():
            if line.extra["class"] == "_unknown_":
                assert line.text == "unknown" and line.extra["word"] in ("bed", "wow") and line.speaker
            elif line.extra["class"] == "_silence_":
                assert line.text == "" and line.speaker is None
            else:
                assert line.text == line.extra["class"]
    silent = [line for line in splits["train"] if not line.text]
    assert all(line.segment and line.duration == 1.0 and line.offset + 1 <= 0.8 * 12 for line in silent)
    (of_dev,) = [line for line in splits["dev"] if not line.text]
    assert 0.8 * 12 <= of_dev.offset <= 0.9 * 12 - 1
    again = lines_of(prepare("speech_commands", tmp_path / "again", source=tmp_path / "source", classes=12))
    assert again["train"] == splits["train"], "the same seed draws the same"
    assert notes_of(tmp_path / "out")["notes"] == []


def test_without_the_test_archive_it_is_said(trees, tmp_path):
    prepare("speech_commands", tmp_path / "out", source=trees("speech_commands"), classes=12)
    (note,) = notes_of(tmp_path / "out")["notes"]
    assert "the official test set of 12 classes is the archive speech_commands_test_set_v0.02.tar.gz" in note
    with pytest.raises(CorpusError, match="classes must be one of 35, 12, got 10"):
        prepare("speech_commands", tmp_path / "out", source=trees("speech_commands"), classes=10)


def test_the_test_archive_in_the_folder_of_the_words_is_refused(copy, tmp_path):
    source = copy("speech_commands")
    (source / "speech_commands_v0.02" / "_silence_").mkdir()
    with pytest.raises(CorpusError, match=r"beside the words; unpack speech_commands_test_set_v0.02.tar.gz into a f"):
        prepare("speech_commands", tmp_path / "out", source=source, classes=12)


def test_a_list_with_a_word_that_is_not_there_is_named(copy, tmp_path):
    source = copy("speech_commands")
    (source / "speech_commands_v0.02" / "yes" / "cc6ee39b_nohash_0.wav").unlink()
    with pytest.raises(CorpusError, match=r"yes/cc6ee39b_nohash_0.wav: no such recording, but a list names it; unpack"):
        prepare("speech_commands", tmp_path / "out", source=source)


# AN4 and yesno.


def test_an4_s_samples_without_a_header_are_written_as_they_are(trees, tmp_path):
    splits = lines_of(prepare("an4", tmp_path / "out", source=trees("an4")))
    assert shown(splits["test"]) == [
        ("an251-fcaw-b.flac", "yes"), ("an252-fcaw-b.flac", "go north"), ("an253-fcaw-b.flac", "r u b o u t"),
    ]  # fmt: skip
    assert {line.speaker for line in splits["train"] + splits["dev"]} == {"fash", "mdcs", "mjwl"}
    assert splits["test"][0].extra == {"gender": "f"}
    for line in splits["train"]:
        raw = next(trees("an4").rglob(f"{Path(line.audio_filepath).stem}.raw"))
        samples, rate = soundfile.read(line.audio_filepath, dtype="int16")
        np.testing.assert_array_equal(samples, np.fromfile(raw, ">i2"))
        assert rate == 16000


def test_an4_is_the_same_as_sphere_files_which_stay_where_they_are(trees, tmp_path):
    corpus_trees.an4(tmp_path / "sphere", raw=False)
    splits = lines_of(prepare("an4", tmp_path / "out", source=tmp_path / "sphere"))
    raw = lines_of(prepare("an4", tmp_path / "raw", source=trees("an4")))
    for split, lines in splits.items():
        assert [(line.text, line.speaker, line.duration) for line in lines] == [
            (line.text, line.speaker, line.duration) for line in raw[split]
        ]
    assert splits["test"][0].audio_filepath.endswith("an251-fcaw-b.sph") and not (tmp_path / "out" / "audio").exists()


def test_an4_s_faults_are_named(copy, tmp_path):
    source = copy("an4")
    cut, gone = (next(source.rglob(f"an25{k}-fcaw-b.raw")) for k in (1, 2))
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.unlink()
    with pytest.raises(CorpusError, match="2 faults") as caught:
        prepare("an4", tmp_path / "out", source=source)
    assert "samples have two each; it is cut" in str(caught.value) and "but the corpus lists it" in str(caught.value)
    left = lines_of(prepare("an4", tmp_path / "out", source=source, skip_missing=True))
    assert shown(left["test"]) == [("an253-fcaw-b.flac", "r u b o u t")]
    write_lines(source / "an4" / "etc" / "an4_test.transcription", ["YES"])
    with pytest.raises(
        CorpusError, match=r"an4_test.transcription:1: expected a text and a name in brackets, got 'YES'"
    ):
        prepare("an4", tmp_path / "out", source=source)


def test_yesno_s_names_are_its_texts(trees, tmp_path):
    splits = lines_of(prepare("yesno", tmp_path / "out", source=trees("yesno")))
    assert {split: len(lines) for split, lines in splits.items()} == {"train": 7, "dev": 1, "test": 4}
    for line in splits["train"] + splits["dev"] + splits["test"]:
        digits = line.utterance_id.removesuffix(".wav").split("_")
        assert line.text.split() == [("no", "yes")[int(digit)] for digit in digits]
    with pytest.raises(CorpusError, match="yesno: dev_share and test_share leave nothing for train"):
        prepare("yesno", tmp_path / "out", source=trees("yesno"), dev_share=0.5, test_share=0.5)


# Segments: TED-LIUM and VoxPopuli.


def test_tedlium_s_segments_have_words_alone(trees, tmp_path):
    splits = lines_of(prepare("tedlium3", tmp_path / "out", source=trees("tedlium3")))
    for split, talk in (("train", "AlGore_2009"), ("dev", "DanBarber_2010"), ("test", "GaryFlake_2010")):
        assert [(line.text, line.speaker, line.offset, line.duration, line.extra) for line in splits[split]] == [
            ("and it's a gift", talk, 1.5, 2.75, {"gender": "m"}),
            ("so that we don't forget", f"{talk}_2", 7.5, 4.25, {"gender": "f"}),
        ]
        assert all(line.segment and line.audio_filepath.endswith(f"{talk}.sph") for line in splits[split])
    assert notes_of(tmp_path / "out")["notes"] == [
        "left out by rule: 6 (marked not to be scored), 3 (with <unk>, a word that the transcript does not name)"
    ]
    splits = lines_of(prepare("tedlium3", tmp_path / "out", source=trees("tedlium3"), keep_unknown=True))
    assert [line.text for line in splits["dev"]][1] == "we that"


def test_tedlium_s_recordings_may_lie_beside_the_split(copy, tmp_path):
    source = copy("tedlium3")
    home = source / "TEDLIUM_release-3"
    shutil.move(home / "legacy" / "train" / "sph", home / "data" / "sph")
    splits = lines_of(prepare("tedlium3", tmp_path / "out", source=source))
    assert splits["train"][0].audio_filepath == str(home / "data" / "sph" / "AlGore_2009.sph")


def test_segments_beyond_their_recording_and_talks_without_segments_are_named(copy, tmp_path):
    source = copy("tedlium3")
    place = source / "TEDLIUM_release-3" / "legacy" / "train"
    write_sound(place / "sph" / "Nobody_2009.sph", "a", format="NIST", subtype="PCM_16")
    with open(place / "stm" / "AlGore_2009.stm", "a") as stream:
        stream.write("AlGore_2009 1 AlGore_2009 11.00 12.50 <o,f0,male> beyond the end\n")
        stream.write("AlGore_2009 1 AlGore_2009 10.00 9.00 <o,f0,male> backwards\n")
    left = lines_of(prepare("tedlium3", tmp_path / "out", source=source, skip_missing=True))
    assert len(left["train"]) == 2
    reasons = notes_of(tmp_path / "out")["left_out"]
    assert {Path(name).name: reason for name, reason in reasons.items()} == {
        "Nobody_2009.sph": "has no segments (.stm)",
        "AlGore_2009.sph@11.00": "ends at 12.50 s, behind the recording's end at 12.00 s",
        "AlGore_2009.sph@10.00": "ends before it begins",
    }
    (place / "stm" / "AlGore_2009.stm").write_text("AlGore_2009 1 AlGore_2009 a b\n")
    with pytest.raises(CorpusError, match=r"AlGore_2009\.stm:1: expected a recording, a channel, a speaker, a start"):
        prepare("tedlium3", tmp_path / "out", source=source)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ("nan 3", "begins or ends at no number of seconds"),
        ("1 nan", "begins or ends at no number of seconds"),
        ("inf inf", "begins or ends at no number of seconds"),
        ("-1 2", r"begins at -1\.00 s, before its recording"),
    ],
)
def test_a_segment_at_no_place_is_a_fault_of_the_copy_and_never_written(copy, tmp_path, times, message):
    source = copy("tedlium3")
    table = min(source.rglob("dev/stm/*.stm"))
    talk = table.stem
    table.write_text(f"{table.read_text()}{talk} 1 {talk} {times} <o,f0,male> words\n")
    with pytest.raises(CorpusError, match=rf"1 fault of this copy of tedlium3: .*{talk}\.sph@.*: {message}"):
        prepare("tedlium3", tmp_path / "out", source=source)
    assert not (tmp_path / "out").exists()
    manifests = prepare("tedlium3", tmp_path / "out", source=source, skip_missing=True)
    assert "words" not in {line.text for line in lines_of(manifests)["dev"]}


def test_an_stm_line_may_lack_labels_and_text(tmp_path):
    (tmp_path / "a.stm").write_text(
        "a 1 b 0 1.5\na A b 1.5 2 words < here\na 1 b 2 3 <o,f0,male> x y\na 1 b 3 4 <cut\n"
    )
    assert [(line.channel, line.labels, line.text) for line in read_stm(tmp_path / "a.stm")] == [
        ("1", "", ""), ("A", "", "words < here"), ("1", "o,f0,male", "x y"), ("1", "", "<cut"),
    ]  # fmt: skip


def test_voxpopuli_is_read_from_sessions_and_from_cut_files(trees, tmp_path):
    splits = lines_of(prepare("voxpopuli", tmp_path / "out", source=trees("voxpopuli")))
    for split in ("train", "dev", "test"):
        assert [(line.text, line.speaker, line.offset, line.duration) for line in splits[split]] == [
            ("thank you", "1000", 0.5, 2.75),
            ("the vote is closed", "1001", 4.0, 3.5),
        ]
    assert notes_of(tmp_path / "out")["notes"] == ["left out by rule: 1 (in no split (test_other))"]
    splits = lines_of(prepare("voxpopuli", tmp_path / "out", source=trees("voxpopuli"), text="original"))
    assert splits["dev"][0].text == "Thank you."
    corpus_trees.voxpopuli_cut(tmp_path / "cut")
    splits = lines_of(prepare("voxpopuli", tmp_path / "out", source=tmp_path / "cut"))
    assert shown(splits["train"]) == [("20090112-0900-PLENARY-3-en_train.ogg", "thank you")]
    table = tmp_path / "broken" / "asr_en.tsv.gz"
    table.parent.mkdir()
    table.write_bytes((trees("voxpopuli") / "asr_en.tsv.gz").read_bytes()[:100])
    with pytest.raises(CorpusError, match=r"asr_en\.tsv\.gz: is not a whole \.gz"):
        prepare("voxpopuli", tmp_path / "out", source=tmp_path / "broken")


# Read sentences: VCTK, LJSpeech, FLEURS, MLS, TIMIT; digits: AudioMNIST.


def test_vctk_chooses_a_microphone_and_leaves_out_who_has_no_texts(trees, tmp_path):
    splits = lines_of(prepare("vctk", tmp_path / "out", source=trees("vctk"), test_share=0.2))
    lines = [line for each in splits.values() for line in each]
    assert sorted(line.utterance_id for line in lines) == [
        f"{speaker}_00{k}_mic1.flac" for speaker in ("p225", "p226", "p227", "p228", "s5") for k in (1, 2)
    ]
    assert {line.text for line in lines} == {"She read a letter.", "The rain stopped."}
    assert lines[0].extra.keys() == {"age", "gender", "accent"}
    assert notes_of(tmp_path / "out")["notes"] == ["left out by rule: 1 (of p315, who has no texts)"]
    splits = lines_of(prepare("vctk", tmp_path / "out", source=trees("vctk"), mic=2))
    assert sum(map(len, splits.values())) == 8
    assert notes_of(tmp_path / "out")["notes"] == ["microphone 2 has no recordings of s5"]


def test_vctk_is_published_without_some_recordings_of_one_person(copy, tmp_path):
    source = copy("vctk")
    for path in [*source.rglob("p228_*")]:
        path.rename(path.with_name(path.name.replace("p228", "p362")))
    (source / "wav48_silence_trimmed" / "p228" / "p362_002_mic1.flac").unlink()
    splits = lines_of(prepare("vctk", tmp_path / "out", source=source))
    assert sum(line.speaker == "p362" for each in splits.values() for line in each) == 1
    said = "left out by rule: 1 (of p315, who has no texts), 1 (of p362, some of whose sentences the corpus has no"
    assert notes_of(tmp_path / "out")["notes"] == [f"{said} recordings of)"]
    (source / "wav48_silence_trimmed" / "p227" / "p227_002_mic1.flac").unlink()  # anybody else's is a fault
    with pytest.raises(CorpusError, match=r"1 fault of this copy.*p227_002_mic1\.flac: no such recording"):
        prepare("vctk", tmp_path / "other", source=source)


def test_ljspeech_divides_chapters_and_knows_no_quotes(trees, tmp_path):
    splits = lines_of(prepare("ljspeech", tmp_path / "out", source=trees("ljspeech")))
    chapters = [{line.utterance_id[:5] for line in lines} for lines in splits.values()]
    assert sum(map(len, chapters)) == len(set().union(*chapters)) == 5
    line = next(line for lines in splits.values() for line in lines if line.utterance_id == "LJ003-0002.wav")
    assert (line.text, line.speaker) == ('"In eighteen twelve," said number 2', "lj")
    raw = lines_of(prepare("ljspeech", tmp_path / "out", source=trees("ljspeech"), text="raw"))
    assert '"In 1812," said no. 2' in {line.text for lines in raw.values() for line in lines}


def test_audiomnist_divides_people(trees, tmp_path):
    splits = lines_of(prepare("audiomnist", tmp_path / "out", source=trees("audiomnist")))
    lines = [line for each in splits.values() for line in each]
    assert len(lines) == 10 and {line.text for line in lines} == {"zero", "seven"}
    assert {line.extra["age"] for line in lines} == {30, 25} and lines[0].extra["native_speaker"] == "no"
    again = lines_of(prepare("audiomnist", tmp_path / "out", source=trees("audiomnist"), seed=5))
    assert {line.speaker for line in again["test"]} != {line.speaker for line in splits["test"]}


def test_too_few_people_to_divide_are_named(copy, tmp_path):
    source = copy("audiomnist")
    for speaker in ("01", "02", "03"):
        shutil.rmtree(source / "AudioMNIST" / "data" / speaker)
    with pytest.raises(CorpusError, match=r"holds 04, 05 alone, and train, dev and test need three to divide among"):
        prepare("audiomnist", tmp_path / "out", source=source)
    (source / "AudioMNIST" / "data" / "audioMNIST_meta.txt").write_text("not JSON")
    with pytest.raises(CorpusError, match=r"audioMNIST_meta\.txt: is not the corpus's table of speakers"):
        prepare("audiomnist", tmp_path / "out", source=source)


def test_fleurs_has_two_texts_and_wants_its_archives_unpacked(copy, tmp_path):
    source = copy("fleurs")
    splits = lines_of(prepare("fleurs", tmp_path / "out", source=source))
    assert [(line.text, line.extra) for line in splits["train"]] == [
        ("satz nummer 0 für alle", {"sentence": "7", "gender": "f"}),
        ("satz nummer 1 für alle", {"sentence": "7", "gender": "f"}),
        ("satz nummer 2 für alle", {"sentence": "9", "gender": "f"}),
    ]
    splits = lines_of(prepare("fleurs", tmp_path / "out", source=source, text="raw", language="de_de"))
    assert splits["test"][0].text == "„Satz nummer 0 für alle“."
    with pytest.raises(CorpusError, match=r"holds no language 'fr_fr'; name one of them with language=: de_de"):
        prepare("fleurs", tmp_path / "out", source=source, language="fr_fr")
    place = source / "data" / "de_de" / "audio"
    shutil.move(place / "dev", tmp_path / "dev")
    (place / "dev.tar.gz").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"dev\.tar\.gz: unpack it where it is first"):
        prepare("fleurs", tmp_path / "out", source=source)
    with pytest.raises(CorpusError, match=r"fleurs: name a language to download, such as language=de_de, got None"):
        prepare("fleurs", tmp_path / "out")


def test_mls_has_small_sets(trees, tmp_path):
    splits = lines_of(prepare("mls", tmp_path / "out", source=trees("mls")))
    assert shown(splits["train"])[0] == ("1889_1575_000000.opus", "ze śmiechem")
    assert (splits["dev"][0].speaker, splits["dev"][0].extra) == ("2000", {"book": "1575"})
    for hours, numbers in (("9hr", (0, 2)), ("1hr", (0, 1))):
        splits = lines_of(prepare("mls", tmp_path / "out", source=trees("mls"), hours=hours))
        assert [line.utterance_id for line in splits["train"]] == [f"1889_1575_{k:06d}.opus" for k in numbers]
        assert len(splits["dev"]) == 3
        assert notes_of(tmp_path / "out")["notes"] == [f"left out by rule: 1 (not in the set of {hours})"]
    with pytest.raises(CorpusError, match=r"mls: language must be one of dutch, english, .*, got None"):
        prepare("mls", tmp_path / "out")


def test_timit_has_the_sets_that_are_reported_in_words_and_phones(trees, tmp_path):
    splits = lines_of(prepare("timit", tmp_path / "out", source=trees("timit")))
    assert {split: {line.speaker for line in lines} for split, lines in splits.items()} == {
        "train": {"fcjf0"}, "dev": {"faks0"}, "test": {"mdab0"},
    }  # fmt: skip
    assert shown(splits["test"]) == [("SI648.WAV", "A sailboat may."), ("SX37.WAV", "Critical equipment.")]
    assert splits["test"][0].extra == {"region": "dr1", "gender": "m"}
    splits = lines_of(prepare("timit", tmp_path / "out", source=trees("timit"), labels="phones", full_test=True))
    assert {line.speaker for line in splits["test"]} == {"mdab0", "mabw0"}
    assert splits["train"][0].text == "sil ih sil k r ih dx ah sh uw sil"


def test_timit_s_names_may_be_small_and_its_copies_converted(copy, tmp_path):
    source = copy("timit")
    for path in sorted(source.rglob("*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(path.name.lower()))
    for path in list(source.rglob("*.wav")):
        shutil.copy(path, path.with_name(f"{path.name}.wav"))
    splits = lines_of(prepare("timit", tmp_path / "out", source=source))
    assert shown(splits["train"]) == [("si648.wav", "A sailboat may."), ("sx37.wav", "Critical equipment.")]
    next(source.rglob("fcjf0/sx37.txt")).unlink()
    with pytest.raises(CorpusError, match=r"sx37\.wav: has no transcript \(\.TXT\)"):
        prepare("timit", tmp_path / "out", source=source)


def test_the_61_phones_of_timit_are_39_classes():
    phones = """iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h b d g p t k dx q bcl dcl gcl pcl tcl kcl
        jh ch s sh z zh f th v dh m n ng em en eng nx l r w y hh hv el pau epi h#""".split()  # noqa: SIM905
    assert len(phones) == 61
    assert len({timit._CLASS_OF.get(phone, phone) for phone in phones} - {""}) == 39
    assert not timit._DEV & timit._TEST and (len(timit._DEV), len(timit._TEST)) == (50, 24)


# What is mixed with: MUSAN and RIRS_NOISES.


def test_musan_and_rirs_noises_are_noise_and_rooms(trees, tmp_path):
    splits = lines_of(prepare("musan", tmp_path / "musan", source=trees("musan")))
    assert {split: len(lines) for split, lines in splits.items()} == {"noise": 2, "music": 1, "speech": 1}
    assert [line.extra["collection"] for line in splits["noise"]] == ["free-sound", "sound-bible"]
    splits = lines_of(prepare("rirs_noises", tmp_path / "rirs", source=trees("rirs_noises")))
    assert [line.extra["room"] for line in splits["rooms"]] == ["smallroom-Room001", "smallroom-Room002"]
    assert [(line.extra["room"], line.channel) for line in splits["real_rooms"]] == [
        ("large", 1), ("large", 2), ("large", 3), ("air_aula", None),
    ]  # fmt: skip
    assert [line.channel for line in splits["noise"]] == [None, 1, 2]


def test_after_noise_alone_no_command_would_train(trees, tmp_path, run_command):
    code, _, said = run_command("prepare", "musan", "--source", trees("musan"), "--out", tmp_path / "musan")
    assert code == 0 and "next: speechgru check" in said
    code, _, said = run_command("check", *sorted((tmp_path / "musan").glob("*.jsonl")))
    assert code == 1 and "next:" not in said
