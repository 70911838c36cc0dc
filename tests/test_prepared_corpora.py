"""Law 9: what `prepare` writes, `check` accepts and `train` reads, whatever form the recordings have."""

import shutil
from pathlib import Path

import pytest
import soundfile

from speechgru.audio.reading import read_recording
from speechgru.config.sections import RunConfig
from speechgru.corpora import prepare
from speechgru.utterances.check import check
from speechgru.utterances.examination import examine, make_vocabulary
from speechgru.utterances.manifest import read_manifest

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


def without_xing(content):
    """An MP3 whose first frame counts nothing."""
    return content.replace(b"Xing", bytes(4), 1).replace(b"Info", bytes(4), 1)


def without_count(content):
    """A FLAC whose header counts no samples, as one that was written to a pipe."""
    return content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]


@pytest.fixture
def folder(tmp_path, write_wav):
    """Recordings of odd but whole forms with their texts."""
    if not soundfile.check_format("MP3", "MPEG_LAYER_III"):
        pytest.skip("this libsndfile does not write MP3")
    for seed, name in enumerate(("a.mp3", "b.mp3", "c.flac", "d.wav", "e.ogg", "f.opus", "g.aiff")):
        subtype = {"subtype": "OPUS", "format": "OGG"} if name == "f.opus" else {}
        write_wav(tmp_path / "mine", name, seconds=3.0 + seed / 10, seed=seed, num_channels=1 + seed % 2, **subtype)
    mine = tmp_path / "mine"
    (mine / "joined.mp3").write_bytes((mine / "a.mp3").read_bytes() + (mine / "a.mp3").read_bytes())
    (mine / "b.mp3").write_bytes(without_xing((mine / "b.mp3").read_bytes()))
    (mine / "c.flac").write_bytes(without_count((mine / "c.flac").read_bytes()))
    if CASES.is_dir():
        for name in ("no_xing.mp3", "piped.flac", "android_no_eos.opus"):
            shutil.copy(CASES / name, mine / name)
    for path in list(mine.iterdir()):
        # The same letters in each: those of the training part are the vocabulary.
        path.with_suffix(".txt").write_text("these are the words of a recording", encoding="utf-8")
    return mine


def test_law_9_what_prepare_writes_is_accepted_by_check_and_training(folder, tmp_path):
    manifests = prepare("folder", tmp_path / "out", source=folder)
    config = RunConfig.model_validate({"data": {"num_workers": 1}, "check": {"leave_out": ["duration mismatch"]}})
    lines = [line for path in manifests.values() for line in read_manifest(path)]
    assert len(lines) == len(list(folder.glob("*.txt")))
    for line in lines:
        assert line.duration == pytest.approx(read_recording(line.audio_filepath).duration, abs=0.05), line
    for found in check(list(manifests.values()), config=config):
        assert found.problems == []
        assert [entry for entry in found.suspicions if "mismatch" in entry.reason or "unread" in entry.reason] == []
    usable, problems = examine(lines, config=config, vocabulary=make_vocabulary(config, lines))
    assert problems == [] and len(usable) == len(lines)
