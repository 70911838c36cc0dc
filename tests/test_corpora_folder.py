"""Your own recordings: every mistake is named, and the split is the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechgru.corpora import prepare
from speechgru.errors import CorpusError
from speechgru.utterances.manifest import read_manifest


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
        (["file,text", "../x.wav,yes"], r"transcripts\.csv:2: \.\./x\.wav is not among the audio files"),
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
    expect(tmp_path, source, "holds 2 recordings with transcripts; at least 3")
    expect(tmp_path, source, "dev_share must be a fraction", dev_share=0)
    expect(tmp_path, source, "leave nothing for train", dev_share=0.5, test_share=0.5)
    expect(tmp_path, source, "seed must be a whole number", seed="a")
