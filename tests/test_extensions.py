"""What CONTRIBUTING shows to add a corpus, a voice engine and a check rule: each is added and run by its command."""

import csv
import json
import re
import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from speechgru import corpora
from speechgru.utterances import rules
from speechgru.utterances.case import Case, Rule
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest
from speechgru.voices import ENGINES

RATE = 16000


# A check rule: a function and an entry of `RULES`.


def _shouting(case: Case) -> str | None:
    return "is all capitals; write it as it is spoken" if case.utterance.text.isupper() else None


SHOUTING = Rule("shouting", "suspicion", "a transcript in capitals", _shouting)


def test_a_new_check_rule_reaches_the_command_the_quarantine_and_the_page(
    run_command, monkeypatch, tmp_path, make_speech, write_lines
):
    monkeypatch.setattr(rules, "RULES", (*rules.RULES, SHOUTING))
    lines = []
    for number, text in enumerate(["turn it on", "STOP", "turn it off"]):
        soundfile.write(tmp_path / f"{number}.wav", make_speech(1.0, seed=number), RATE)
        lines.append({"audio_filepath": f"{number}.wav", "duration": 1.0, "text": text})
    manifest = write_lines(tmp_path / "m.jsonl", lines)
    code, out, _ = run_command("check", manifest, "--report", tmp_path / "seen")
    assert code == 1
    assert "suspect: 1 shouting" in out
    assert "is all capitals" in " ".join(out.split())
    assert "a transcript in capitals" in (tmp_path / "seen" / "check.html").read_text(encoding="utf-8")

    (tmp_path / "c.yaml").write_text("check:\n  leave_out: [shouting]\n", encoding="utf-8")
    code, out, _ = run_command(
        "check", manifest, "--config", tmp_path / "c.yaml", "--out", tmp_path / "clean.jsonl", "--json"
    )
    assert code == 1
    assert json.loads(out)[0]["counts"] == {"shouting": 1}
    assert [utterance.line for utterance in read_manifest(tmp_path / "clean.jsonl")] == [1, 2]
    (quarantined,) = read_manifest(tmp_path / "clean.quarantine.jsonl")
    assert (quarantined.text, quarantined.extra["reasons"][0]["reason"]) == ("STOP", "shouting")


# A corpus: its module, and an entry of `CORPORA`.


def prepare_table(out, *, source=None, seed=0, progress=None, column: str = "words", every: int = 1):
    """Writes manifests of a folder with a table of recordings and texts.

    Args:
        out: the folder to write.
        source: the folder that holds `table.csv`.
        seed: not used; nothing is drawn.
        progress: called as the work proceeds.
        column: the column of the texts.
        every: keep one line of this
            number.
    """
    with open(source / "table.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))[::every]
    made = [Utterance(str(source / row["file"]), 1.0, row[column]) for row in rows]
    return {
        split: write_manifest(out / f"{split}.jsonl", made[k::3]) for k, split in enumerate(("train", "dev", "test"))
    }


def test_a_new_corpus_reaches_the_command_its_options_and_its_help(run_command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "table_corpus", types.SimpleNamespace(prepare=prepare_table))
    table = corpora.Corpus("table", "recordings with a table of texts", "table_corpus")
    monkeypatch.setitem(corpora.CORPORA, "table", table)
    lines = "".join(f"{number}.wav,text {number},TEXT\n" for number in range(12))
    (tmp_path / "table.csv").write_text("file,words,loud\n" + lines, encoding="utf-8")
    code, out, err = run_command(
        "prepare", "table", "every=2", "column=loud", "--source", tmp_path, "--out", tmp_path / "prepared"
    )
    assert code == 0, err
    train = read_manifest(tmp_path / "prepared" / "train.jsonl")
    assert [(line.audio_filepath, line.text) for line in train] == [
        (str(tmp_path / "0.wav"), "TEXT"),
        (str(tmp_path / "6.wav"), "TEXT"),
    ]
    code, _, err = run_command("prepare", "table", "evry=2", "--source", tmp_path, "--out", tmp_path / "prepared")
    assert (code, err.splitlines(keepends=True)[-1]) == (
        2,
        "error: table: has no option 'evry' (did you mean every?); its options are column, every\n",
    )
    code, out, _ = run_command("prepare", "--help")
    assert code == 0 and "table recordings with a table of texts" in " ".join(out.split())
    code, out, _ = run_command("prepare", "table", "--help")
    shown = " ".join(out.split())
    assert code == 0
    assert "table: recordings with a table of texts" in shown
    assert "column=words the column of the texts." in shown and "every=1 keep one line of this number." in shown
    assert "joined=0 digits to join, 2 to 50; 0 joins none." in " ".join(
        run_command("prepare", "fsdd", "--help")[1].split()
    )


# A voice engine: its module, and an entry of `ENGINES`.


@dataclass(frozen=True)
class Pitch:
    """A voice of the toy engine."""

    name: str
    hertz: float

    @property
    def facts(self):
        return {"hertz": self.hertz}


class Beeps:
    """A toy engine: a tone for each character."""

    name = "beeps"
    summary = "tones in place of speech"
    licence = "none"
    cache_key = ""
    is_slow = False

    def why_unavailable(self):
        return ""

    def voices(self, split):
        return (f"{split}-1", f"{split}-2")

    def person(self, voice):
        return voice

    def draw_voice(self, split, rng, *, is_digits, is_wide):
        return Pitch(self.voices(split)[rng.integers(2)], float(rng.uniform(200, 400)))

    def speak(self, text, voice, *, seed):
        time_N = np.arange(400 * len(text)) / 8000
        return np.sin(2 * np.pi * voice.hertz * time_N).astype(np.float32) * 0.5, 8000


def test_a_new_voice_engine_speaks_the_synthetic_corpus(run_command, monkeypatch, tmp_path):
    monkeypatch.setitem(ENGINES, "beeps", Beeps())
    out = tmp_path / "beeps"
    code, _, err = run_command("prepare", "synthetic", "engine=beeps", "utterances=12", "workers=1", "--out", out)
    assert code == 0, err
    for split in ("train", "dev", "test"):
        for utterance in read_manifest(out / f"{split}.jsonl"):
            assert utterance.speaker in Beeps().voices(split)
            assert utterance.extra.keys() == {"hertz", "snr_db"}
            samples, rate = soundfile.read(utterance.audio_filepath)
            assert rate == RATE and len(samples) >= 800 * len(utterance.text) * 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"why_unavailable": lambda self: "beeps.so is missing; copy it"}, "cannot be used: beeps.so is missing; copy"),
        ({"voices": lambda self, split: ()}, "the voice engine beeps has no speaker for train: three splits"),
        (
            {"voices": lambda self, split: ("ada",)},
            "the speaker of beeps/ada in train is that of beeps/ada in dev",
        ),
        ({"speak": lambda self, *_, **__: (np.zeros(800, np.float32), 8000)}, "the voice engine beeps spoke '.+' in"),
    ],
)
def test_an_engine_that_cannot_speak_is_named(run_command, monkeypatch, tmp_path, change, message):
    monkeypatch.setitem(ENGINES, "beeps", type("Broken", (Beeps,), change)())
    code, _, err = run_command(
        "prepare", "synthetic", "engine=beeps", "utterances=12", "workers=1", "--out", tmp_path / "b"
    )
    assert code == 2
    assert re.search(message, err), err
