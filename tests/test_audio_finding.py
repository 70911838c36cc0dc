"""Which files of a folder are recordings."""

import os

import pytest

from speechgru.audio.finding import find_recordings


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1")


def found(folder):
    return [path.relative_to(folder).as_posix() for path in find_recordings(folder)]


def test_recordings_of_any_form_and_depth_are_found_in_order(tmp_path):
    names = ["B.WAV", "a.flac", "c.m4a", "d.mp3", "e.opus", "f.webm", "g.3gp", "h.aif", "x/y/z.wma", "x/a.amr"]
    make(tmp_path, *names, "a.txt", "notes.csv", "no suffix", "x/y/cover.jpg")
    assert found(tmp_path) == sorted(names)
    (tmp_path / "folder.wav").mkdir()
    assert found(tmp_path) == sorted(names)


def test_what_is_hidden_or_a_macs_is_passed_over(tmp_path):
    make(tmp_path, "a.wav", "._a.wav", ".b.wav", ".cache/c.wav", "__MACOSX/a.wav", "x/__MACOSX/._a.wav", "x/.git/d.wav")
    assert found(tmp_path) == ["a.wav"]


def test_a_hidden_folder_that_was_asked_for_is_looked_into(tmp_path):
    make(tmp_path / ".mine", "a.wav")
    assert found(tmp_path / ".mine") == ["a.wav"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_and_a_circle_ends(tmp_path):
    make(tmp_path / "elsewhere", "a.wav")
    make(tmp_path / "mine", "b.wav")
    (tmp_path / "mine" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mine" / "circle").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "c.wav").symlink_to(tmp_path / "elsewhere" / "a.wav")
    (tmp_path / "mine" / "gone.wav").symlink_to(tmp_path / "none.wav")
    assert found(tmp_path / "mine") == ["b.wav", "c.wav", "linked/a.wav"]
