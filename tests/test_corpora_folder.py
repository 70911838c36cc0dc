"""Your own recordings: every mistake is named, and the split is the same each time."""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechgru.corpora import prepare
from speechgru.corpora.folder import read_folder
from speechgru.corpora.splits import divide
from speechgru.errors import CorpusError, UserError
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest


def write_audio(path: Path, seconds: float = 0.5, sample_rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(int(seconds * sample_rate)), sample_rate)
    return path


def write_sidecars(source: Path, count: int = 20) -> Path:
    for index in range(count):
        suffix = (".wav", ".flac", ".ogg")[index % 3]
        path = write_audio(source / f"part{index % 2}" / f"{index:02d}{suffix}", sample_rate=(8000, 44100)[index % 2])
        path.with_suffix(".txt").write_text(f"Turn it on, {index}!\n", encoding="utf-8")
    return source


def write_table(source: Path, rows: list[str], name: str = "transcripts.csv") -> Path:
    source.mkdir(parents=True, exist_ok=True)
    (source / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return source


def names(path: Path) -> set[str]:
    return {u.utterance_id for u in read_manifest(path)}


def test_sidecars_become_manifests_and_audio_stays(tmp_path):
    source = write_sidecars(tmp_path / "mine")
    before = sorted(source.rglob("*"))
    manifests = prepare("folder", tmp_path / "out", source=source)
    utterances = [u for path in manifests.values() for u in read_manifest(path)]
    assert {len(read_manifest(manifests[split])) for split in ("dev", "test")} == {2}
    assert len({u.audio_filepath for u in utterances}) == len(utterances) == 20
    for u in utterances:
        assert u.text == f"Turn it on, {int(Path(u.audio_filepath).stem)}!"
        assert u.duration == pytest.approx(0.5, abs=0.01)
        assert u.speaker is None
    assert sorted(source.rglob("*")) == before


def test_split_is_the_same_each_time_and_another_with_another_seed(tmp_path):
    source = write_sidecars(tmp_path / "mine")
    first = prepare("folder", tmp_path / "a", source=source)
    again = prepare("folder", tmp_path / "b", source=source)
    other = prepare("folder", tmp_path / "c", source=source, seed=1)
    assert all(first[split].read_bytes() == again[split].read_bytes() for split in first)
    assert names(first["test"]) != names(other["test"])


@pytest.mark.parametrize("count", [3, 4, 5])
def test_smallest_folders_fill_every_split(tmp_path, count):
    source = write_sidecars(tmp_path / "mine", count)
    manifests = prepare("folder", tmp_path / "out", source=source, dev_share=0.5, test_share=0.49)
    assert sum(len(read_manifest(path)) for path in manifests.values()) == count


@pytest.mark.parametrize(("name", "separator"), [("transcripts.csv", ","), ("transcripts.tsv", "\t")])
def test_table_with_speakers_is_split_by_speaker(tmp_path, name, separator):
    source = tmp_path / "mine"
    rows = [separator.join(("File", "speaker", "text"))]
    for index in range(24):
        write_audio(source / f"{index}.wav")
        rows.append(separator.join((f"{index}.wav", f"speaker{index % 4}", '"yes, ""now"""')))
    manifests = prepare("folder", tmp_path / "out", source=write_table(source, rows, name))
    speakers = {split: {u.speaker for u in read_manifest(path)} for split, path in manifests.items()}
    assert sum(len(found) for found in speakers.values()) == 4 == len(set().union(*speakers.values()))
    assert all(u.text == 'yes, "now"' for u in read_manifest(manifests["train"]))


@pytest.mark.parametrize("speakers", [("ada", "bob"), ("ada", "bob", "eve", "")])
def test_too_few_or_unknown_speakers_are_split_by_recording(tmp_path, speakers):
    source = tmp_path / "mine"
    rows = ["file,text,speaker"]
    for index in range(20):
        write_audio(source / f"{index}.wav")
        rows.append(f"{index}.wav,yes,{speakers[index % len(speakers)]}")
    manifests = prepare("folder", tmp_path / "out", source=write_table(source, rows))
    assert [len(read_manifest(manifests[split])) for split in ("train", "dev", "test")] == [16, 2, 2]


def expect(tmp_path: Path, source: Path | None, message: str, **options) -> None:
    with pytest.raises(CorpusError, match=message):
        prepare("folder", tmp_path / "out", source=source, **options)
    assert not (tmp_path / "out").exists()


def test_recordings_without_transcript_are_listed(tmp_path):
    source = write_sidecars(tmp_path / "mine")
    (source / "part0" / "02.txt").unlink()
    expect(tmp_path, source, r"mine: part0/02\.ogg: no transcript; write each as a \.txt")
    for path in source.rglob("*.txt"):
        path.unlink()
    expect(tmp_path, source, r"part0/00\.wav, .* and 15 more \(20 in all\): no transcript")


def test_transcripts_without_recording_are_listed(tmp_path):
    source = write_sidecars(tmp_path / "mine")
    (source / "README.txt").write_text("about these recordings")
    prepare("folder", tmp_path / "fine", source=source)
    (source / "part0" / "lost.txt").write_text("where am i")
    expect(tmp_path, source, r"part0/lost\.txt: transcript without a recording")


@pytest.mark.parametrize(("text", "message"), [("", "has 0 lines"), ("one\ntwo\n", r"00\.txt: has 2 lines with text")])
def test_transcript_is_one_line(tmp_path, text, message):
    source = write_sidecars(tmp_path / "mine")
    (source / "part0" / "00.txt").write_text(text)
    expect(tmp_path, source, message)


def test_two_recordings_cannot_share_a_transcript(tmp_path):
    source = write_sidecars(tmp_path / "mine")
    write_audio(source / "part0" / "00.flac")
    expect(tmp_path, source, r"00\.(wav|flac): shares its transcript with 00\.(wav|flac)")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["name,text", "0.wav,yes"], r"transcripts\.csv:1: the first row must name .*got name, text"),
        ([""], r"transcripts\.csv:1: .*got nothing"),
        (["file,text", "0.wav,yes, please"], r"transcripts\.csv:2: has 3 cells, the first row 2"),
        (["file,text", "0.wav,yes", "1.wav,"], r"transcripts\.csv:3: the cell text is empty"),
        (["file,text", ",yes"], r"transcripts\.csv:2: the cell file is empty"),
        (["file,text", "0.wav,yes", "0.wav,no"], r"transcripts\.csv:3: 0\.wav stands a second time"),
        (["file,text", "9.wav,yes", "0.wav,no"], r"transcripts\.csv: 9\.wav \(line 2\): no such recording"),
        (["file,text", "0.wav,yes"], r"transcripts\.csv: 1\.wav, 2\.wav: recording without a row"),
        (["file,text", '0.wav,"yes'], r"transcripts\.csv:2: is not a proper table"),
        (["file,text", "../x.wav,yes"], r"transcripts\.csv:2: \.\./x\.wav is not among the files below"),
    ],
)
def test_mistakes_in_a_table_are_named_with_their_line(tmp_path, rows, message):
    write_audio(tmp_path / "x.wav")
    for index in range(3):
        write_audio(tmp_path / "mine" / f"{index}.wav")
    expect(tmp_path, write_table(tmp_path / "mine", rows), message)


def test_table_that_is_not_utf8_is_named(tmp_path):
    write_audio(tmp_path / "mine" / "0.wav")
    (tmp_path / "mine" / "transcripts.csv").write_bytes("file,text\n0.wav,grün".encode("latin-1"))
    expect(tmp_path, tmp_path / "mine", r"transcripts\.csv: is not UTF-8 text")


def test_two_tables_are_refused(tmp_path):
    write_audio(tmp_path / "mine" / "0.wav")
    write_table(tmp_path / "mine", ["file\ttext"], "transcripts.tsv")
    expect(tmp_path, write_table(tmp_path / "mine", ["file,text"]), r"holds transcripts\.csv and transcripts\.tsv")


def test_unreadable_and_empty_recordings_are_listed(tmp_path):
    source = write_sidecars(tmp_path / "mine")
    (source / "part0" / "00.wav").write_text("not audio")
    write_audio(source / "part1" / "09.wav", seconds=0)
    expect(tmp_path, source, r"part0/00\.wav, part1/09\.wav: not audio that can be read, or no sound")


def test_wrong_sources_and_options_are_named(tmp_path):
    expect(tmp_path, None, "needs --source")
    expect(tmp_path, tmp_path / "nowhere", "nowhere: no such folder")
    (tmp_path / "empty").mkdir()
    expect(tmp_path, tmp_path / "empty", "holds no audio file")
    source = write_sidecars(tmp_path / "mine", 2)
    expect(tmp_path, source, "holds 2 recordings with a transcript; at least 3")
    expect(tmp_path, source, "dev_share must be a fraction", dev_share=0)
    expect(tmp_path, source, "leave nothing for train", dev_share=0.5, test_share=0.5)
    expect(tmp_path, source, "seed must be a whole number", seed="a")


# -- the layouts that people bring -------------------------------------------------------------------------------------


def write_recordings(source: Path, names_of: list[str]) -> Path:
    for name in names_of:
        write_audio(source / name, seconds=0.2, sample_rate=8000)
    return source


def prepared(tmp_path: Path, source: Path, **options) -> dict[str, Utterance]:
    """All recordings by their path below the source."""
    manifests = prepare("folder", tmp_path / "out", source=source, **options)
    utterances = [utterance for path in manifests.values() for utterance in read_manifest(path)]
    return {Path(each.audio_filepath).relative_to(source.absolute()).as_posix(): each for each in utterances}


def notes_of(tmp_path: Path) -> str:
    return "\n".join(json.loads((tmp_path / "out" / "prepared.json").read_text(encoding="utf-8"))["notes"])


NAMES = ["a.wav", "b.wav", "c.wav"]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("transcripts.csv", "file,text\na.wav,yes\nb.wav,no\nc.wav,stop\n"),
        ("transcripts.csv", "file;text;speaker\r\na.wav;yes;ada\r\nb.wav;no;bob\r\nc.wav;stop;ada\r\n"),
        ("transcripts.csv", "sep=;\nfile;text\na.wav;yes\nb.wav;no\nc.wav;stop\n"),
        ("transcripts.tsv", "file\ttext\na.wav\tyes\nb.wav\tno\nc.wav\tstop\n"),
        ("Transcripts.CSV", "File;Text;;\na.wav;yes;;\nb.wav;no;;\nc.wav;stop;;\n"),
        ("metadata.csv", "file_name,transcription\na.wav,yes\nb.wav,no\nc.wav,stop\n"),
        ("metadata.csv", "a|yes\nb|no\nc|stop\n"),
        ("metadata.csv", "id|file|Normalized Text\n1|a|yes\n2|b|no\n3|c|stop\n"),
        ("labels.csv", "path,sentence,client_id\na.wav,yes,x\nb.wav,no,y\nc.wav,stop,x\n"),
        ("transcripts.csv", "file,text,\n./a.wav,yes,\nx/../b.wav,no,\n\n~/mine/c.wav,stop,\n"),
        ("transcripts.csv", "file,text\n.\\a.wav,yes\nB.WAV,no\nc.wav,stop\n".replace("B.WAV", "b")),
    ],
)
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_read_as_programs_write_them(tmp_path, monkeypatch, name, table, coding):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    source = write_recordings(tmp_path / "mine", NAMES)
    (source / name).write_bytes(table.encode(coding))
    found = prepared(tmp_path, source)
    assert {name: each.text for name, each in found.items()} == {"a.wav": "yes", "b.wav": "no", "c.wav": "stop"}


def test_further_columns_are_kept_as_fields(tmp_path):
    source = write_recordings(tmp_path / "mine", NAMES)
    rows = ["file,text,Room,snr db,code,duration,note", "a.wav,yes,hall,20,007,9,", "b.wav,no,bath,-3.5,008,9,loud"]
    write_table(source, [*rows, "c.wav,stop,hall,,009,9,"])
    found = prepared(tmp_path, source)
    assert found["a.wav"].extra == {"room": "hall", "snr_db": 20, "code": "007"}
    assert found["b.wav"].extra == {"room": "bath", "snr_db": -3.5, "code": "008", "note": "loud"}
    assert found["c.wav"].duration == pytest.approx(0.2)


def test_a_table_names_recordings_whatever_their_names_end_in(tmp_path):
    source = write_recordings(tmp_path / "mine", NAMES)
    for name in ("d.mat", "deep/cafe\u0301.part", "e"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes((source / "a.wav").read_bytes())
    (source / "notes.md").write_text("ours")
    rows = ["a.wav,yes", "b.wav,no", "c.wav,stop", "d.mat,go", "deep/caf\u00e9.part,left", "e,right"]
    found = prepared(tmp_path, write_table(source, ["file,text", *rows]))
    assert found.keys() == {*NAMES, "d.mat", "deep/cafe\u0301.part", "e"}
    write_table(source, ["file,text", *rows, "notes.md,up"])
    with pytest.raises(CorpusError, match=r"notes\.md: not audio that can be read"):
        prepare("folder", tmp_path / "out", source=source)


def test_a_column_names_the_channel_of_each_side_of_a_call(tmp_path):
    source = write_recordings(tmp_path / "mine", NAMES)
    soundfile.write(source / "call.wav", np.zeros((4000, 2)), 8000)
    rows = ["file,text,channel", "call.wav,hello,2", "call.wav,who is there,1", "a.wav,yes,", "b.wav,no,1", "c.wav,a,"]
    write_table(source, rows)
    sides = [entry for entry in read_folder(source) if entry.audio_filepath.endswith("call.wav")]
    assert [(entry.channel, entry.text) for entry in sides] == [(1, "who is there"), (2, "hello")]
    manifests = prepare("folder", tmp_path / "out", source=source)
    found = [line for path in manifests.values() for line in read_manifest(path)]
    assert sorted(line.channel or 0 for line in found) == [0, 0, 1, 1, 2]
    # Both sides of a call are one room: no part of it may be tested where another was learnt.
    calls = [sum("call" in line.audio_filepath for line in read_manifest(path)) for path in manifests.values()]
    assert sorted(calls) == [0, 0, 2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,yes,2", r"transcripts.csv:3: .*a.wav: has 1 channel, and number 2 was asked for; it has one alone"),
        ("a.wav,yes,0", r"transcripts.csv:3: channel must be a channel's number from 1 on, got 0; give another name"),
        ("a.wav,yes,left", r"transcripts.csv:3: channel must be a channel's number from 1 on, got 'left'"),
        ("b.wav,no,1", r"transcripts.csv:3: b.wav stands a second time; keep one row of it, or name its channels"),
    ],
)
def test_a_channel_that_is_none_is_named_with_its_row(tmp_path, row, message):
    source = write_recordings(tmp_path / "mine", NAMES)
    write_table(source, ["file,text,channel", "b.wav,no,1", row, "c.wav,stop,"])
    with pytest.raises(CorpusError, match=message):
        prepare("folder", tmp_path / "out", source=source)


def test_paths_below_a_relative_source_are_found_however_they_are_written(tmp_path, monkeypatch):
    source = write_recordings(tmp_path / "mine", [*NAMES, "deep/d.wav"])
    other = write_audio(tmp_path / "elsewhere" / "e.wav")
    (source / "e.wav").symlink_to(other)
    (source / "more").symlink_to(write_recordings(tmp_path / "linked", ["f.wav"]))
    (source / "more" / "round").symlink_to(source)
    monkeypatch.chdir(tmp_path)
    cells = [f"{source}/a.wav", "x/../b.wav", "./c.wav", "deep//d.wav", str(other), "more/f.wav"]
    write_table(Path("mine"), ["file,text", *(f"{cell},yes" for cell in cells)])
    assert set(prepared(tmp_path, Path("mine"))) == {*NAMES, "deep/d.wav", "e.wav", "more/f.wav"}
    assert len(read_folder(Path("mine"))) == 6


def test_common_voices_texts_with_a_single_quote_are_read_and_wrong_lines_named(tmp_path):
    source = write_recordings(tmp_path / "cv", [f"clips/common_voice_{k}.wav" for k in range(4)])
    rows = ["client_id\tpath\tsentence\tup_votes"]
    texts = ['"Hello, he said.', 'The 12" version', '"all" of it', '"so, ""now"""']
    rows += [f"x{k}\tcommon_voice_{k}.wav\t{text}\t2" for k, text in enumerate(texts)]
    found = prepared(tmp_path, write_table(source, rows, "validated.tsv"))
    assert [each.text for _, each in sorted(found.items())] == [*texts[:3], 'so, "now"']
    write_table(source, [*rows[:2], "", "x1\tcommon_voice_1.wav\t"], "validated.tsv")
    expect(tmp_path / "b", source, r"validated\.tsv:4: the cell text is empty")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["file,text", '0.wav,"yes', "1.wav,no", "2.wav,stop"], r"csv:2: is not a proper table .*must end with one"),
        (["file,text", "0.wav,no", '1.wav,"yes', '2.wav,stop"'], r"csv:3: a cell of this row ends in line 4; close"),
        (["file,text,offset", "0.wav,yes,1"], r"csv:1: has the column offset, which only a manifest can have"),
        (["file,text,room,room", "0.wav,yes,1,2"], r"csv:1: names the column room twice"),
        (["0.wav,yes,ada"], r"csv:1: the first row must name the columns .*got 0\.wav, yes, ada"),
    ],
)
def test_the_line_that_is_wrong_is_the_one_that_is_named(tmp_path, rows, message):
    source = write_recordings(tmp_path / "mine", ["0.wav", "1.wav", "2.wav"])
    expect(tmp_path, write_table(source, rows), message)


def test_a_table_among_several_is_named(tmp_path):
    source = write_recordings(tmp_path / "mine", NAMES)
    rows = ["file,text", *(f"{name},yes" for name in NAMES)]
    write_table(write_table(source, rows, "train.csv"), rows, "dev.csv")
    expect(tmp_path, source, r"holds dev\.csv and train\.csv; keep one of them, or name it: --table dev\.csv")
    assert len(prepared(tmp_path, source, table="train.csv")) == 3
    expect(tmp_path / "b", source, r"test\.csv: no such table", table="test.csv")


def test_names_and_texts_have_one_form_of_accents(tmp_path):
    decomposed, composed = (unicodedata.normalize(form, "gr\u00fcn") for form in ("NFD", "NFC"))
    source = write_recordings(tmp_path / "mine", [f"{decomposed}1.wav", f"{composed}2.wav", f"{decomposed}3.wav"])
    for name in (f"{composed}1", f"{decomposed}2", f"{decomposed}3"):
        (source / f"{name}.txt").write_text(decomposed, encoding="utf-8")
    assert {each.text for each in prepared(tmp_path, source).values()} == {composed}
    table = tmp_path / "table"
    write_recordings(table, [f"{decomposed}{k}.wav" for k in range(4)])
    speakers = (composed, decomposed, composed, decomposed)
    write_table(table, ["file,text,speaker", *(f"{composed}{k}.wav,{decomposed},{speakers[k]}" for k in range(4))])
    found = prepared(tmp_path / "b", table)
    assert len(found) == 4
    assert {(each.text, each.speaker) for each in found.values()} == {(composed, composed)}


def test_what_is_hidden_or_a_macs_is_passed_over(tmp_path):
    source = write_sidecars(tmp_path / "mine", 6)
    for name in ("._a.txt", "__MACOSX/._00.txt", "__MACOSX/x.wav", ".git/notes.txt", "part0/.hidden.wav", ".a/b.wav"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("no sound")
    assert len(prepared(tmp_path, source)) == 6


def test_a_folder_for_each_word_is_read_and_said(tmp_path):
    words = ["go", "stop", "turn_on"]
    source = write_recordings(tmp_path / "mine", [f"{word}/ada_{k}.wav" for word in words for k in range(3)])
    write_recordings(source, ["_background_noise_/hum.wav"])
    found = prepared(tmp_path, source)
    assert {name.split("/")[0]: each.text for name, each in found.items()} == {
        "go": "go", "stop": "stop", "turn_on": "turn on"
    }  # fmt: skip
    assert len(found) == 9 and "texts are the names of the 3 folders: go, stop, turn_on" in notes_of(tmp_path)
    assert "left out: 1 (in a folder whose name begins with _)" in notes_of(tmp_path)


def test_folders_that_may_be_anything_are_words_only_when_asked(tmp_path):
    source = write_recordings(tmp_path / "mine", [f"{speaker}/{word}/1.wav" for speaker in "abc" for word in "012"])
    expect(tmp_path, source, r"a/0/1\.wav, .*: no transcript; .* is what is said: --word-folders")
    found = prepared(tmp_path, source, word_folders=True, speaker_folders=True)
    assert {(name[0], each.text, each.speaker) for name, each in found.items()} == {
        (speaker, word, speaker) for speaker in "abc" for word in "012"
    }
    assert "split by speaker: train 1, dev 1, test 1" in notes_of(tmp_path)
    (source / "a" / "0" / "1.txt").write_text("zero")
    expect(tmp_path / "b", source, r"a/1/1\.wav, .*: no transcript")


def test_the_first_folder_names_the_speaker_when_asked(tmp_path):
    source = write_sidecars(tmp_path / "mine", 6)
    assert {each.speaker for each in prepared(tmp_path, source).values()} == {None}
    assert "speakers are unknown" in notes_of(tmp_path)
    found = prepared(tmp_path, source, speaker_folders=True)
    assert {(name[:5], each.speaker) for name, each in found.items()} == {("part0", "part0"), ("part1", "part1")}
    write_table(source, ["file,text,speaker", *(f"{each},yes,ada" for each in found)])
    message = "the table names the speaker 'ada' of part0, and --speaker-folders the folder; leave one out"
    expect(tmp_path / "b", source, message, speaker_folders=True)


def test_what_is_missing_is_left_out_when_asked_and_named(tmp_path):
    source = write_sidecars(tmp_path / "mine", 8)
    (source / "part0" / "02.txt").unlink()
    (source / "part0" / "lost.txt").write_text("where am i")
    (source / "part1" / "01.txt").write_text(" ")
    (source / "part1" / "03.wav").write_bytes(b"not audio")
    expect(tmp_path, source, r"02\.ogg: no transcript; .*leave these out \(--skip-missing\)")
    assert len(prepared(tmp_path, source, skip_missing=True)) == 5
    record = json.loads((tmp_path / "out" / "prepared.json").read_text(encoding="utf-8"))
    reasons = {Path(name).name: reason for name, reason in record["left_out"].items()}
    assert reasons.pop("03.wav").startswith("cannot be decoded")
    assert reasons == {"02.ogg": "no transcript", "lost.txt": "no recording", "01.flac": "an empty transcript"}
    table = write_recordings(tmp_path / "table", [*NAMES, "d.wav", "e.wav"])
    write_table(table, ["file,text", *(f"{name},yes" for name in NAMES), "d.wav,", "x.wav,no"])
    assert set(prepared(tmp_path, table, skip_missing=True)) == set(NAMES)
    record = json.loads((tmp_path / "out" / "prepared.json").read_text(encoding="utf-8"))
    assert sorted(map(str, record["left_out"].values())) == ["no recording", "no transcript", "no transcript"]


def test_a_file_name_that_is_no_text_is_named_before_anything_is_read(tmp_path):
    source = write_sidecars(tmp_path / "mine", 3)
    try:
        os.rename(source / "part0" / "00.wav", os.fsencode(source / "part0") + b"/\xe9.wav")
    except OSError:
        pytest.skip("the file system takes no name that is not UTF-8")
    expect(tmp_path, source, r"the name of '.*part0/\\udce9\.wav' is not UTF-8, .*; rename the file")


def test_recordings_in_forms_that_are_not_read_are_named_with_what_converts_them(tmp_path):
    source = tmp_path / "mine"
    source.mkdir()
    for name in ("a.m4a", "b.m4a"):
        (source / name).write_bytes(b"x")
        (source / name).with_suffix(".txt").write_text("yes")
    expect(
        tmp_path,
        source,
        r"a\.m4a, b\.m4a: not audio that can be read, .* \(a\.m4a cannot be decoded .*convert it to WAV",
    )


# -- splits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_shares_are_kept_as_far_as_speakers_allow(seed):
    split_of = divide({"ada": 60, "bob": 2, "eve": 2}, {"dev": 0.1, "test": 0.1}, seed=seed, kept={})
    assert split_of["ada"] == "train" and sorted(split_of.values()) == ["dev", "test", "train"]


@given(
    st.dictionaries(st.text(max_size=4), st.integers(1, 50), min_size=3, max_size=40),
    st.sampled_from([(0.1, 0.1), (0.2, 0.3), (0.5, 0.49), (0.01, 0.01)]),
    st.integers(0, 5),
)
def test_every_unit_has_one_split_and_every_split_a_unit(sizes, shares, seed):
    shares = dict(zip(("dev", "test"), shares, strict=True))
    split_of = divide(sizes, shares, seed=seed, kept={})
    assert split_of.keys() == sizes.keys() and set(split_of.values()) == {"train", "dev", "test"}
    assert split_of == divide(dict(reversed(sizes.items())), shares, seed=seed, kept={}), "whatever the order"
    more = sizes | {f"new {k}": 3 for k in range(5)}
    grown = divide(more, shares, seed=seed, kept=split_of)
    assert {unit: grown[unit] for unit in sizes} == split_of, "those that were there stay"


def test_with_many_units_of_one_size_shares_are_exact():
    split_of = divide({str(k): 1 for k in range(1000)}, {"dev": 0.05, "test": 0.2}, seed=0, kept={})
    assert Counter(split_of.values()) == {"train": 750, "dev": 50, "test": 200}


def test_recordings_that_are_added_move_no_other(tmp_path):
    source = write_sidecars(tmp_path / "mine", 20)
    first = {split: names(path) for split, path in prepare("folder", tmp_path / "out", source=source).items()}
    for index in range(20, 60):
        write_audio(source / f"{index}.wav", seconds=0.2)
        (source / f"{index}.txt").write_text("yes")
    second = {split: names(path) for split, path in prepare("folder", tmp_path / "out", source=source).items()}
    assert all(first[split] <= second[split] for split in first)
    assert {split: len(second[split]) for split in second} == {"train": 48, "dev": 6, "test": 6}
    assert "dealt 40 new recordings; all others stay where they were" in notes_of(tmp_path)
    other = {split: names(path) for split, path in prepare("folder", tmp_path / "out", source=source, seed=1).items()}
    assert not all(first[split] <= other[split] for split in first), "another seed is another split"


@pytest.mark.parametrize("speakers", [0, 7])
def test_folds_hold_each_recording_but_tests_out_once(tmp_path, speakers):
    rows = [f"{index}.wav,yes" + (f",s{index % speakers}" if speakers else "") for index in range(21)]
    for index in range(21):
        write_audio(tmp_path / "mine" / f"{index}.wav", seconds=0.1)
    source = write_table(tmp_path / "mine", ["file,text" + (",speaker" if speakers else ""), *rows])
    manifests = prepare("folder", tmp_path / "out", source=source, folds=5)
    held_out = Counter()
    every = names(manifests["train"]) | names(manifests["dev"])
    for fold in range(1, 6):
        train, dev = (read_manifest(tmp_path / "out" / f"fold{fold}" / f"{split}.jsonl") for split in ("train", "dev"))
        assert {u.utterance_id for u in train} == every - {u.utterance_id for u in dev} != set()
        assert not speakers or not {u.speaker for u in train} & {u.speaker for u in dev}
        held_out.update(u.utterance_id for u in dev)
    assert held_out == Counter(every)
    notes = json.loads((tmp_path / "out" / "prepared.json").read_text())["notes"]
    assert any(f"by {'speakers' if speakers else 'recordings'}; train once with each" in note for note in notes)


@pytest.mark.parametrize("folds", [1, -2, True, 2.0])
def test_a_number_of_folds_that_is_none_is_refused(tmp_path, folds):
    with pytest.raises(CorpusError, match=r"folds must be a number from 2 on, such as 5, or 0 for none"):
        prepare("folder", tmp_path / "out", source=tmp_path, folds=folds)
    with pytest.raises(CorpusError, match=r"folds is 30, and there are 16 recordings beside test"):
        prepare("folder", tmp_path / "out", source=write_sidecars(tmp_path / "mine", 18), folds=30)


def test_an_odd_share_is_said(tmp_path):
    source = tmp_path / "mine"
    rows = ["file,text,speaker"]
    for index, speaker in enumerate(["ada"] * 4 + ["bob", "eve"]):
        write_audio(source / f"{index}.wav", seconds=0.2)
        rows.append(f"{index}.wav,yes,{speaker}")
    prepare("folder", tmp_path / "out", source=write_table(source, rows))
    assert (
        "asked for 80%, 10%, 10% of the recordings in train, dev and test; 3 speakers allow 67%, 17%, 17%"
        in notes_of(tmp_path)
    )


def test_what_prepare_writes_moves_with_its_recordings(tmp_path):
    source = write_sidecars(tmp_path / "project" / "mine", 4)
    manifests = prepare("folder", tmp_path / "project" / "data" / "mine", source=source)
    assert "../../mine/part" in manifests["train"].read_text(encoding="utf-8")
    (tmp_path / "project").rename(tmp_path / "elsewhere")
    for utterance in read_manifest(tmp_path / "elsewhere" / "data" / "mine" / "train.jsonl"):
        assert Path(utterance.audio_filepath).is_file()


def test_a_workbook_is_refused_by_name(tmp_path, write_wav):
    write_wav(tmp_path, "a.wav")
    (tmp_path / "transcripts.csv").write_bytes(b"PK\x03\x04" + bytes(99))
    with pytest.raises(
        CorpusError, match=r"transcripts\.csv: is a spreadsheet's own file, .*; save it as CSV in UTF-8"
    ):
        prepare("folder", tmp_path / "out", source=tmp_path)


def test_a_folder_that_is_taken_away_does_not_come_back(tmp_path, monkeypatch, write_wav):
    """Of four files it had the last alone, and the command was content."""
    for number, word in enumerate(("yes", "no", "stop")):
        write_wav(tmp_path / "mine", f"{word}.wav", seed=number)
        (tmp_path / "mine" / f"{word}.txt").write_text(word)
    out = tmp_path / "out"

    def taken_away(path, utterances):
        written = write_manifest(path, utterances)
        if path.stem == "test":
            out.rename(tmp_path / "away")
        return written

    monkeypatch.setattr("speechgru.corpora.folder.write_manifest", taken_away)
    with pytest.raises(UserError, match=r"out: is gone, moved or removed while this command worked there"):
        prepare("folder", out, source=tmp_path / "mine")
    assert not out.exists() and len(list((tmp_path / "away").iterdir())) == 3
    monkeypatch.undo()
    assert len(prepare("folder", out, source=tmp_path / "mine")) == 3
