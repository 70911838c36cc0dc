"""Recordings as one ZIP file: read as their folder is, refused where they are not whole, gone after a failure."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechgru.corpora.zipped import unpacked
from speechgru.errors import CorpusError, UserError
from speechgru.utterances.manifest import read_manifest


@pytest.fixture
def recorded(tmp_path):
    """A folder as `speechgru record` leaves it, of two recordings, with relative paths."""
    folder = tmp_path / "Jürgen"
    (folder / "audio").mkdir(parents=True)
    lines = []
    for number in (1, 2):
        soundfile.write(folder / "audio" / f"{number:04d}.wav", np.full(800, 0.1 * number), 8000)
        lines.append({"audio_filepath": f"audio/{number:04d}.wav", "duration": 0.1, "text": "ab", "prompt": number})
    (folder / "recordings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def pack(folder: Path, *, inside: bool = True, **extra: str) -> Path:
    """A ZIP file of a folder, or of its content alone, and of further files."""
    path = folder.with_name(f"{folder.name}.ZIP")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent if inside else folder))
        for name, content in extra.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("inside", [True, False])
def test_a_zip_is_read_as_its_folder_and_unpacked_once(recorded, tmp_path, inside):
    path = pack(recorded, inside=inside, **{"__MACOSX/Jürgen/._x": "", ".DS_Store": ""})
    with unpacked(path, tmp_path / "run" / "recordings") as found:
        lines = read_manifest(found / "recordings.jsonl")
        assert [line.text for line in lines] == ["ab", "ab"]
        first = Path(lines[0].audio_filepath)
        assert first.read_bytes() == (recorded / "audio" / "0001.wav").read_bytes()
        changed = first.stat().st_mtime_ns
    with unpacked(path, tmp_path / "run" / "recordings") as again:
        assert again == found and first.stat().st_mtime_ns == changed, "what is cached by time stays valid"
    for other in (recorded, recorded / "recordings.jsonl", tmp_path / "nowhere"):
        with unpacked(other, tmp_path / "elsewhere") as same:
            assert same == other
    assert not (tmp_path / "elsewhere").exists()


def test_where_the_recordings_do_not_serve_nothing_is_left(recorded, tmp_path):
    with pytest.raises(UserError, match="too few"), unpacked(pack(recorded), tmp_path / "run" / "recordings"):
        raise UserError("too few")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt), unpacked(pack(recorded), tmp_path / "run" / "recordings"):
        raise KeyboardInterrupt
    assert not list((tmp_path / "run").iterdir())


def encrypted(path):
    """Sets the marks of encryption in both headers of the first member."""
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def packed_otherwise(path):
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)  # the first is a folder
    content[place + 10] = 97
    path.write_bytes(content)


BROKEN = {
    "no zip": (lambda path: path.write_bytes(b"RIFF" * 100), r"is not a whole \.zip \(File is not a zip file\)"),
    "empty": (lambda path: path.write_bytes(b""), r"is not a whole \.zip"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-200]), r"is not a whole \.zip"),
    "encrypted": (encrypted, "is encrypted; unpack it with its password, and give the folder"),
    "packed otherwise": (packed_otherwise, "cannot be unpacked here .*; give its folder, unpacked"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "cannot be read"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_zip_that_is_not_whole_is_one_error_that_names_it(recorded, tmp_path, how):
    path = pack(recorded)
    spoil, message = BROKEN[how]
    spoil(path)
    with pytest.raises(CorpusError, match=f"Jürgen.ZIP: {message}"), unpacked(path, tmp_path / "run" / "recordings"):
        pass
    assert not (tmp_path / "run").exists()


def test_any_byte_of_a_zip_may_be_wrong(recorded, tmp_path):
    path = pack(recorded)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        spoilt = bytearray(content)
        for place in rng.integers(len(spoilt), size=3):
            spoilt[place] = rng.integers(256)
        path.write_bytes(spoilt)
        # Nothing but one error that people can read, if any.
        with contextlib.suppress(UserError), unpacked(path, tmp_path / "run" / "recordings"):
            pass
        shutil.rmtree(tmp_path / "run", ignore_errors=True)


def test_a_manifest_that_names_files_of_this_machine_is_refused(recorded, tmp_path):
    outside = tmp_path / "private.wav"
    soundfile.write(outside, np.zeros(800), 8000)
    manifest = recorded / "recordings.jsonl"
    for name in (str(outside), "../../../private.wav"):
        manifest.write_text(json.dumps({"audio_filepath": name, "duration": 0.1, "text": "ab"}) + "\n")
        with (
            pytest.raises(UserError, match=r"its recordings\.jsonl names .*private\.wav, which is not in the archive"),
            unpacked(pack(recorded), tmp_path / "run" / "recordings"),
        ):
            pass
