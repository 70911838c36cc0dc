"""Recordings whose names are not UTF-8: each verb keeps them or names them, before anything long is done."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.table import Table

from speechgru.cli.console import Terminal
from speechgru.corpora import connected, prepare
from speechgru.errors import CorpusError, ManifestError
from speechgru.files import write_json
from speechgru.grammar import Grammar
from speechgru.recording.corpus import RecordingFolder
from speechgru.runtime.transcription import transcribe
from speechgru.utterances import negatives
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest

BUNDLE = Path(__file__).parent / "data" / "bundles" / "v3"

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")


@pytest.fixture
def folder(tmp_path, write_wav):
    """Four recordings with their texts; the last one's name is in Latin-1."""
    folder = tmp_path / "mine"
    for seed in range(4):
        write_wav(folder, f"{seed}.wav", seed=seed, sample_rate=8000)
        (folder / f"{seed}.txt").write_text("yes")
    for suffix in (b".wav", b".txt"):
        os.rename(os.fsencode(folder) + b"/3" + suffix, os.fsencode(folder) + b"/caf\xe9" + suffix)
    return folder


def test_transcribing_keeps_the_name(folder):
    records = transcribe(BUNDLE, [folder])
    assert [record["error"] for record in records] == [None] * 4
    assert os.fsencode(records[-1]["audio_filepath"]).endswith(b"/caf\xe9.wav")
    (record,) = transcribe(BUNDLE, [os.fsdecode(b"none\xe9.wav")])
    assert "no such recording" in record["error"]


def test_a_bundle_in_such_a_folder_works(folder, tmp_path):
    bundle = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(BUNDLE, bundle)
    (here,), (there,) = (transcribe(place, [folder / "0.wav"]) for place in (bundle, BUNDLE))
    assert here["error"] is None and here["confidence"] == there["confidence"] and here["text"] == there["text"]


def test_prepare_names_it_before_anything_is_written(folder, tmp_path):
    with pytest.raises(CorpusError, match=r"caf\\udce9\.wav.* is not UTF-8, so that no manifest can hold it; rename"):
        prepare("folder", tmp_path / "out", source=folder)
    assert not list((tmp_path / "out").glob("*"))


def test_negatives_name_it_before_anything_is_read(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(negatives, "read_header", lambda path: pytest.fail("read"))
    with pytest.raises(ManifestError, match=r"caf\\udce9\.wav': its name is not UTF-8, .*; rename the file"):
        negatives.add_negatives([folder], tmp_path / "negatives.jsonl")
    assert not (tmp_path / "negatives.jsonl").exists()


def test_negatives_take_a_folder(folder, tmp_path):
    os.remove(os.fsencode(folder) + b"/caf\xe9.wav")
    added = negatives.add_negatives([folder, folder / "0.wav"], tmp_path / "negatives.jsonl")
    assert (added.num_added, added.num_known, added.seconds) == (3, 1, 3.0)
    assert len(read_manifest(tmp_path / "negatives.jsonl")) == 3


def test_a_manifest_that_cannot_hold_a_name_stays_as_it_was(tmp_path):
    path = write_manifest(tmp_path / "m.jsonl", [Utterance("/a.wav", 1.0, "yes")])
    before = path.read_bytes()
    with pytest.raises(ManifestError, match="rename the file"):
        write_manifest(path, [Utterance("/a.wav", 1.0, "no"), Utterance(os.fsdecode(b"/caf\xe9.wav"), 1.0, "no")])
    assert path.read_bytes() == before


def test_a_record_keeps_the_name_as_an_escape(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "a.json", {"run": name, "text": "é"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"run": name, "text": "é"}


def test_no_name_moves_the_borders_of_a_table():
    table = Table("name", "", title=os.fsdecode(b"caf\xe9"))
    for name in (os.fsdecode(b"caf\xe9"), "a\x1b[31mb", "a\tb", "\u202ea", "plain"):
        table.add_row(name, "1")
    stream = io.StringIO()
    Terminal(file=stream, width=60).print(table)
    title, *lines = stream.getvalue().encode("utf-8").decode().splitlines()
    assert title.strip() == "caf\\udce9"
    assert len({cell_len(line) for line in lines}) == 1


def test_a_corpus_that_is_spoken_or_joined_names_such_a_folder_before_it_begins(tmp_path, monkeypatch):
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    monkeypatch.setattr("speechgru.corpora.spoken._speak_all", None)
    monkeypatch.setattr("speechgru.corpora.connected._read", None)
    with pytest.raises(ManifestError, match=r"its name is not UTF-8, .*; rename the file or folder"):
        prepare("synthetic", odd, utterances=30)
    with pytest.raises(ManifestError, match=r"its name is not UTF-8, .*; rename the file or folder"):
        connected.join([], odd, num_utterances=1, num_words=range(1, 2), sample_rate=8000, seed=[0])
    with pytest.raises(ManifestError, match=r"its name is not UTF-8, .*; rename the file or folder"):
        RecordingFolder(odd).open(Grammar.load("digits"), num_prompts=1)
    assert not odd.exists()
