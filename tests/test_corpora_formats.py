"""What other tools wrote: the same corpus in every layout gives the same manifests, and faults are named."""

import gzip
import importlib.util
import json
import shutil
import sys
import tarfile

import foreign_layouts as layouts
import pytest

from speechgru.audio.reading import read_recording
from speechgru.cli import console
from speechgru.config.sections import RunConfig
from speechgru.corpora import prepare
from speechgru.corpora.extracting import tar_members
from speechgru.corpora.records import read_records
from speechgru.errors import CorpusError, UserError
from speechgru.utterances.check import check
from speechgru.utterances.examination import examine, make_vocabulary
from speechgru.utterances.manifest import read_manifest

needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow (extra parquet)")
every_layout = pytest.mark.parametrize(
    "layout", [pytest.param(name, marks=needs_pyarrow if name in layouts.ARROW else ()) for name in layouts.LAYOUTS]
)
CONFIG = RunConfig.model_validate({"data": {"sample_rate": 8000, "num_workers": 1}})


@pytest.fixture
def tree(tmp_path):
    """Writes a layout into a folder with a space and an umlaut; gives the corpus's name and the folder."""
    return lambda layout: layouts.make_tree(layout, tmp_path / "größe 1")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line in this process; gives the exit code and all that was printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            console.main()
        printed = "".join(capsys.readouterr())
        assert "Traceback" not in printed
        return caught.value.code or 0, printed

    return run


def facts(manifests):
    """By split the texts, durations in milliseconds, and speakers."""
    return {
        split: sorted((line.text, round(line.duration * 1000), line.speaker) for line in read_manifest(path))
        for split, path in manifests.items()
    }


@every_layout
def test_one_corpus_in_every_layout_gives_the_same_manifests_that_check_and_training_accept(layout, tree, tmp_path):
    corpus, source = tree(layout)
    manifests = prepare(corpus, tmp_path / "out", source=source)
    assert facts(manifests) == layouts.expected()
    samples = {line.text: line.samples_N for lines in layouts.CORPUS.values() for line in lines}
    lines = [line for path in manifests.values() for line in read_manifest(path)]
    for line in lines:  # not only as long as the recording, but the recording
        read = read_recording(line.audio_filepath, offset=line.offset, duration=line.duration)
        assert abs(read.samples_N - samples[line.text]).max() < 1e-4
    assert not any(found.problems for found in check(list(manifests.values()), config=CONFIG))
    usable, problems = examine(lines, config=CONFIG, vocabulary=make_vocabulary(CONFIG, lines))
    assert not problems and len(usable) == len(lines)


@every_layout
def test_the_command_prepares_each_layout_twice_alike(layout, tree, tmp_path, run):
    corpus, source = tree(layout)
    written = []
    for _ in range(2):
        code, printed = run("prepare", corpus, "--source", source, "--out", tmp_path / "out")
        assert code == 0, printed
        written.append({p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()})
    assert written[0] == written[1]
    is_copied = "ark" in layout or layout in ("nemo tarred", "lhotse shar", *layouts.ARROW)
    assert (tmp_path / "out" / "audio").is_dir() == is_copied
    assert ("7 recordings were copied out of archives" in printed) == is_copied


def test_sets_are_named_where_their_names_are_not_the_usual(tree, tmp_path):
    _, source = tree("kaldi")
    for split in ("train", "dev", "test"):
        (source / "data" / split).rename(source / "data" / f"{split}_clean")
    with pytest.raises(CorpusError, match=r"holds none that is called train, dev or test.*train=NAME"):
        prepare("kaldi", tmp_path / "out", source=source / "data")
    manifests = prepare(
        "kaldi", tmp_path / "out", source=source / "data", train=["train_clean", "dev_clean"], test=["test_clean"]
    )
    assert {split: len(lines) for split, lines in facts(manifests).items()} == {"train": 5, "test": 2}
    with pytest.raises(
        CorpusError, match=r"data/missing: no such file or folder; dev must name .*there are dev_clean, "
    ):
        prepare("kaldi", tmp_path / "out", source=source / "data", train=["train_clean"], dev=["missing"])


def test_sets_that_are_not_read_are_said_and_train_is_never_missing_in_silence(tree, tmp_path):
    _, source = tree("kaldi")
    data = source / "data"
    (data / "dev").rename(data / "train_dev")
    prepare("kaldi", tmp_path / "out", source=source)
    said = "not read: train_dev; train=NAME dev=NAME test=NAME say which is which"
    assert json.loads((tmp_path / "out" / "prepared.json").read_text())["notes"][0] == said
    (data / "train").rename(data / "train_nodev")
    message = r"data: holds test, nothing that is called train, and train_dev, train_nodev; say .* '.*' train=NAME"
    refuse("kaldi", source, tmp_path / "none", message)
    assert not (tmp_path / "none").exists()
    manifests = prepare("kaldi", tmp_path / "test", source=source, test=["data/test"])  # asked for alone
    assert list(manifests) == ["test"]


def test_a_set_is_named_once(tree, tmp_path):
    _, source = tree("kaldi")
    message = r"kaldi: .*data/train is named for train and again for dev; name it once"
    refuse("kaldi", source / "data", tmp_path / "out", message, train=["train"], dev=["train"])
    message = "is named for train and again for train"
    refuse("kaldi", source / "data", tmp_path / "out", message, train=["train", "./train/"])


@pytest.mark.parametrize(
    ("layout", "of", "name"),
    [
        ("kaldi", "data/train", "odd [(*"),
        ("nemo", "*train*.json", "odd [(*.json"),
        ("lhotse cuts", "*cuts_train*", "my_cuts_odd-(*.jsonl.gz"),
        ("audiofolder csv", "**/train", "odd [(*"),
        ("parquet", "**/train*.parquet", "odd [(*.parquet"),
        ("deepspeech", "train.csv", "odd [(*.csv"),
    ],
)
def test_a_further_set_is_said_whatever_its_name(layout, of, name, tree, tmp_path):
    corpus, source = tree(layout)
    first = min(source.glob(of))
    (shutil.copytree if first.is_dir() else shutil.copy)(first, first.with_name(name))
    assert facts(prepare(corpus, tmp_path / "out", source=source)) == layouts.expected()
    note = json.loads((tmp_path / "out" / "prepared.json").read_text())["notes"][0]
    assert note == f"not read: {name}; train=NAME dev=NAME test=NAME say which is which"


def test_one_set_alone_is_train_and_a_share_of_its_people_dev(tree, tmp_path):
    _, source = tree("kaldi")
    manifests = prepare("kaldi", tmp_path / "out", source=source / "data" / "train", dev_share=0.3)
    people = {split: {speaker for _, _, speaker in lines} for split, lines in facts(manifests).items()}
    assert people["train"] | people["dev"] == {"ada", "bob", "eve"} and not people["train"] & people["dev"]
    with pytest.raises(CorpusError, match="leave dev_share out"):
        prepare("kaldi", tmp_path / "out", source=source, dev_share=0.3)


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def refuse(corpus, source, out, message, **options):
    with pytest.raises(CorpusError, match=message):
        prepare(corpus, out, source=source, **options)


def test_kaldi_commands_are_refused_by_name_and_not_run(tree, tmp_path):
    corpus, source = tree("kaldi")
    marker = tmp_path / "ran"
    edit(source / "data/train/wav.scp", "bob-1 wavs/train/bob-1.wav", f"bob-1 touch {marker} |")
    refuse(corpus, source, tmp_path / "out", "wav.scp: bob-1 is what a command prints", skip_missing=True)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("text", "bob-1 größer als zuvor\n", "", r"wav.scp: bob-1 has no transcript"),
        ("wav.scp", "bob-1 wavs/train/bob-1.wav\n", "", r"text: bob-1 has a transcript, and no line in wav.scp"),
        ("wav.scp", "train/bob-1.wav", "train/lost.wav", r"bob-1 \(.*lost.wav: no such recording"),
        ("utt2dur", "bob-1 0.8", "bob-1 1.8", r"bob-1 says 1.800 s, and the recording has 0.800 s"),
    ],
)
def test_kaldi_faults_are_named_and_left_out_on_request(tree, tmp_path, file, old, new, message):
    corpus, source = tree("kaldi")
    edit(source / "data/train" / file, old, new)
    refuse(corpus, source, tmp_path / "out", message + r".*\(--skip-missing\)")
    assert not (tmp_path / "out" / "train.jsonl").exists()
    manifests = prepare(corpus, tmp_path / "out", source=source, skip_missing=True)
    assert len(read_manifest(manifests["train"])) == 3
    assert len(json.loads((tmp_path / "out/prepared.json").read_text())["left_out"]) == 1


def test_a_doubled_id_names_its_line(tree, tmp_path):
    corpus, source = tree("kaldi")
    path = source / "data/train/text"
    path.write_text(path.read_text(encoding="utf-8") + "ada-1 something else\n", encoding="utf-8")
    refuse(corpus, source, tmp_path / "out", "text:5: names ada-1 a second time")


def test_segments_that_reach_beyond_their_recording_are_cut_as_kaldi_does_and_said(tree, tmp_path):
    corpus, source = tree("kaldi segments")
    edit(source / "train/segments", "2.7000 3.8000", "2.7000 4.1000")
    manifests = prepare(corpus, tmp_path / "out", source=source)
    assert facts(manifests) == layouts.expected()
    (note,) = json.loads((tmp_path / "out/prepared.json").read_text())["notes"]
    assert "1 segment ends up to 0.5 s behind" in note and "eve-1" in note
    edit(source / "train/segments", "2.7000 4.1000", "2.7000 5.1000")
    refuse(corpus, source, tmp_path / "out", "eve-1 is the segment from 2.7 s to 5.1 s of a recording of 3.800 s")
    edit(source / "train/segments", "2.7000 5.1000", "2.7000 -1")
    assert facts(prepare(corpus, tmp_path / "out", source=source)) == layouts.expected()


def test_people_are_not_known_where_each_utterance_is_its_own(tree, tmp_path):
    corpus, source = tree("kaldi")
    names = [line.split()[0] for line in (source / "data/train/utt2spk").read_text().splitlines()]
    (source / "data/train/utt2spk").write_text("".join(f"{name} {name}\n" for name in names))
    manifests = prepare(corpus, tmp_path / "out", source=source)
    assert {line.speaker for line in read_manifest(manifests["train"])} == {None}
    assert "speakers are not known" in json.loads((tmp_path / "out/prepared.json").read_text())["notes"][0]


def cut_file(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize(
    ("layout", "file", "message"),
    [
        ("espnet flac.ark", "dump/raw/train/data/format.1/data_wav.flac.ark", r"ark is cut \([\d,]+ of [\d,]+ bytes\)"),
        ("espnet wav.ark", "dump/raw/train/data/format.1/data_wav.wav.ark", r"ark is cut \([\d,]+ of [\d,]+ bytes\)"),
        ("nemo tarred", "train/audio_0.tar", r"audio_0.tar: is (no tar, damaged or )?cut.*copy it again"),
        ("lhotse shar", "train/recording.000001.tar", r"recording.000001.tar: is (no tar, damaged or )?cut"),
        ("lhotse shar", "train/cuts.000001.jsonl.gz", r"cuts.000001.jsonl.gz: is cut or damaged"),
        pytest.param("parquet", "data/train-00001-of-00002.parquet", "damaged or cut", marks=needs_pyarrow),
        pytest.param("saved to disk", "train/data-00000-of-00001.arrow", "damaged or cut", marks=needs_pyarrow),
        ("deepspeech", "clips/bob-1.wav", r"train.csv:4 says 12844 bytes, and .*bob-1.wav has 3853"),
    ],
)
def test_a_cut_archive_is_one_message_that_names_it(layout, file, message, tree, tmp_path):
    corpus, source = tree(layout)
    cut_file(source / file, 0.7 if layout.startswith(("espnet", "nemo")) else 0.3)
    refuse(corpus, source, tmp_path / "out", message)


def test_an_ark_of_features_and_a_dump_of_features_are_refused(tree, tmp_path):
    corpus, source = tree("espnet flac.ark")
    ark = source / "dump/raw/train/data/format.1/data_wav.flac.ark"
    ark.write_bytes(ark.read_bytes().replace(b"AUDIO", b"\0BFM ", 1))
    refuse(corpus, source, tmp_path / "out", r"ada-1: .*no recording at byte 6 \(it begins with b'.x00BFM")
    (source / "dump/raw/train/feats_type").write_text("fbank_pitch\n")
    refuse(corpus, source, tmp_path / "out", "feats_type: is fbank_pitch, which is features")


def test_a_further_segment_in_a_nemo_tar_is_the_recording_s_own(tree, tmp_path):
    corpus, source = tree("nemo tarred")
    manifest = source / "train/tarred_audio_manifest.json"
    records = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    more = {**records[0], "audio_filepath": "wavs_ada-1-sub1.wav", "offset": 0.5, "duration": 0.25, "text": "light"}
    layouts.write_json_lines(manifest, [*records, more])
    lines = read_manifest(prepare(corpus, tmp_path / "out", source=source)["train"])
    assert lines[-1].audio_filepath == lines[0].audio_filepath and (lines[-1].offset, lines[-1].duration) == (0.5, 0.25)
    layouts.write_json_lines(manifest, [*records, {**more, "audio_filepath": "lost.wav"}])
    refuse(
        corpus, source, tmp_path / "out", r"tarred_audio_manifest.json:5 names lost.wav, which is not in .*audio_0.tar"
    )


def test_nemo_fields_of_other_types(tree, tmp_path):
    corpus, source = tree("nemo")
    manifest = source / "train_manifest.json"
    edit(manifest, '"speaker": "bob"', '"speaker": 17, "lang": "de", "offset": null')
    bob = read_manifest(prepare(corpus, tmp_path / "out", source=source)["train"])[2]
    assert (bob.speaker, bob.extra, bob.segment) == ("17", {"lang": "de"}, False)
    edit(manifest, '"duration": 0.8', '"duration": "long"')
    refuse(corpus, source, tmp_path / "out", "train_manifest.json:3: duration must be a number of seconds")


def test_a_nemo_manifest_is_not_overwritten_by_what_is_left_of_it(tree, tmp_path):
    corpus, source = tree("nemo")
    manifest = (source / "train_manifest.json").rename(source / "train.jsonl")
    edit(manifest, '"duration": 0.8', '"duration": "long"')
    before = manifest.read_bytes()
    with pytest.raises(UserError, match=r"train\.jsonl: is what this command reads, and would be lost"):
        prepare(corpus, source, source=source, train=["train.jsonl"], skip_missing=True)
    assert manifest.read_bytes() == before


def test_a_sparse_member_of_a_tar_does_not_become_gigabytes_of_nothing(tmp_path):
    """A kilobyte that says that it holds a gigabyte, of which no byte is stored."""
    header = tarfile.TarInfo("bomb.wav")
    header.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % (1 << 30)
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
    (tmp_path / "audio.tar").write_bytes(bytes(block) + bytes(1024))
    with pytest.raises(CorpusError, match=r"audio\.tar: bomb\.wav is stored with gaps; pack it without"):
        list(tar_members(tmp_path / "audio.tar"))


def test_lhotse_supervisions_inside_a_cut_are_segments_of_its_recording(tree, tmp_path):
    corpus, source = tree("lhotse cuts")
    line = layouts.CORPUS["train"][0]
    cut = layouts.cut_of(line, {"type": "file", "channels": [0], "source": f"audio/{line.name}.flac"})
    one, other = dict(cut["supervisions"][0]), dict(cut["supervisions"][0])
    one |= {"start": 0.1, "duration": 0.2, "text": "turn"}
    other |= {"id": "ada-1b", "start": 0.3, "duration": 0.1, "text": "on"}
    cut |= {"start": 0.25, "duration": 0.5, "supervisions": [one, other]}
    layouts.write_json_lines(source / "tiny_cuts_train.jsonl.gz", [cut])
    lines = read_manifest(prepare(corpus, tmp_path / "out", source=source)["train"])
    assert [(line.text, round(line.offset, 6), line.duration) for line in lines] == [
        ("turn", 0.35, 0.2),
        ("on", 0.55, 0.1),
    ]
    assert lines[0].extra == {"language": "en", "room": "kitchen"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "MixedCut", "tracks": []}, "is mixed of several"),
        ({"recording": None}, "has no recording"),
        ({"source": {"type": "command", "channels": [0], "source": "touch ran"}}, "commands of a corpus are not run"),
        (
            {"source": {"type": "url", "channels": [0], "source": "https://a/b.wav"}},
            "lies on a network; fetch it first",
        ),
        ({"source": {"type": "shar", "channels": [0], "source": ""}}, "name the Shar folder"),
        ({"transforms": [{"name": "Speed", "kwargs": {"factor": 0.9}}]}, "is changed on reading"),
        ({"supervisions": []}, "has no supervision, and so no transcript"),
    ],
)
def test_lhotse_cuts_that_are_no_recordings_are_refused(tree, tmp_path, change, message):
    corpus, source = tree("lhotse cuts")
    line = layouts.CORPUS["train"][0]
    cut = layouts.cut_of(line, change.pop("source", {"type": "file", "channels": [0], "source": "audio/ada-1.flac"}))
    if "transforms" in change:
        cut["recording"] |= change
    else:
        cut |= change
    layouts.write_json_lines(source / "tiny_cuts_train.jsonl.gz", [cut])
    refuse(corpus, source, tmp_path / "out", f"tiny_cuts_train.jsonl.gz:1.*{message}")


#: What stands in place of a field.
ODD = [None, True, -1, 7, 10**400, float("nan"), "", "x", "a\0b", "x" * 5000, "\ud800", [], [1], {}, {"a": 1}]


def fields_of(record):
    """Every field of a record, at any depth, as the container that holds it and the key."""
    pairs = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for key, value in list(pairs):
        yield record, key
        yield from fields_of(value)


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        ("nemo", "train_manifest.json"),
        ("nemo tarred", "test/tarred_audio_manifest.json"),
        ("lhotse cuts", "tiny_cuts_test.jsonl.gz"),
        ("lhotse supervisions", "tiny_supervisions_test.jsonl.gz"),
        ("lhotse shar", "test/cuts.000000.jsonl.gz"),
        ("audiofolder jsonl", "data/test/metadata.jsonl"),
    ],
)
def test_a_field_of_another_type_is_one_message_or_a_manifest_that_can_be_read(layout, file, tree, tmp_path):
    corpus, source = tree(layout)
    records = [record for _, record in read_records(source / file)]
    for place, (_, key) in enumerate(fields_of(records[0])):
        for odd in (ODD[(4 * place + each) % len(ODD)] for each in range(4)):  # all of them take a minute
            changed = json.loads(json.dumps(records))
            container, _ = list(fields_of(changed[0]))[place]
            container[key] = odd
            content = "".join(json.dumps(record) + "\n" for record in changed).encode()
            (source / file).write_bytes(gzip.compress(content, 1) if file.endswith(".gz") else content)
            split = "train" if "train" in file else "test"
            name = str((source / file).parent if "tarred" in layout or "shar" in layout or "folder" in layout else file)
            try:
                manifests = prepare(corpus, tmp_path / "out", source=source, skip_missing=True, **{split: [name]})
            except UserError:
                continue
            for path in manifests.values():
                read_manifest(path)


@needs_pyarrow
def test_parquet_columns_are_found_named_or_listed(tree, tmp_path):
    corpus, source = tree("parquet")
    lines = read_manifest(prepare(corpus, tmp_path / "out", source=source, text="client_id")["train"])
    assert [line.text for line in lines] == ["ada", "ada", "bob", "eve"] and lines[0].extra["up_votes"] == 2
    refuse(corpus, source, tmp_path / "out", "lacks the column 'words_'; it has audio, sentence", text="words_")
    refuse(
        corpus, source, tmp_path / "out", "column 'sentence' is not one of bytes and path; such are", audio="sentence"
    )
    (source / "data/train-00001-of-00002.parquet").unlink()
    refuse(corpus, source, tmp_path / "out", "has 1 of the 2 files")


def test_without_pyarrow_the_message_names_the_extra(tree, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"pip install 'speechgru\[parquet\]'"):
        prepare("huggingface", tmp_path / "out", source=tmp_path)


@pytest.mark.parametrize("corpus", ["kaldi", "espnet", "nemo", "lhotse", "huggingface", "deepspeech"])
def test_what_is_no_such_corpus_ends_with_one_message_and_code_2(corpus, tmp_path, run):
    (tmp_path / "empty").mkdir()
    odd = tmp_path / "train.csv"
    odd.write_bytes(b"\xff\xfe\x00garbage")
    shutil.copy(odd, tmp_path / "train.json")
    shutil.copy(odd, tmp_path / "tiny_cuts_train.jsonl.gz")
    for source in ("empty", "missing", ".", "train.csv"):
        code, printed = run("prepare", corpus, "--source", tmp_path / source, "--out", tmp_path / "o")
        assert code == 2 and (str(tmp_path / source) in printed or source == "."), (source, printed)
    assert run("prepare", corpus, "--out", tmp_path / "o")[0] == 2


def test_a_member_s_name_leads_nowhere_else(tree, tmp_path):
    corpus, source = tree("nemo tarred")
    line = layouts.CORPUS["train"][0]
    layouts.write_tar(source / "train/audio_0.tar", [("../../evil.wav", line.encode())])
    record = {"audio_filepath": "../../evil.wav", "duration": line.duration, "text": "a", "shard_id": 0}
    layouts.write_json_lines(source / "train/tarred_audio_manifest.json", [record])
    refuse(
        corpus, source, tmp_path / "out", "evil.wav': a recording's name in an archive must be a plain relative path"
    )
    assert not list(tmp_path.rglob("evil.wav"))


@pytest.mark.parametrize(
    ("table", "line", "message"),
    [
        ("wav.scp", "one marks\0.ark:7\n", r"marks.*\.ark: cannot be read \(embedded null byte\); copy it again"),
        ("segments", "one one 0 0.5 \u00b2\n", None),  # a digit, and no number: no channel is meant
    ],
)
def test_a_table_with_signs_that_no_name_or_number_has_ends_in_one_message(table, line, message, tmp_path, write_wav):
    data = tmp_path / "data" / "train"
    data.mkdir(parents=True)
    write_wav(data, "one.wav")
    (data / "text").write_text("one on\n")
    (data / "wav.scp").write_text(f"one {data / 'one.wav'}\n")
    (data / table).write_text(line, encoding="utf-8")
    if message is None:
        manifests = prepare("kaldi", tmp_path / "out", source=tmp_path / "data")
        assert [line.channel for line in read_manifest(manifests["train"])] == [None]
    else:
        with pytest.raises(UserError, match=message):
            prepare("kaldi", tmp_path / "out", source=tmp_path / "data")
