"""What CONTRIBUTING shows to add a corpus, a voice engine and a check rule: each is added and run by its command."""

import json
import sys

import pytest
import soundfile

from speechgru.cli import console
from speechgru.utterances import rules
from speechgru.utterances.manifest import read_manifest
from speechgru.utterances.rules import Case, Rule

RATE = 16000


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line in this process; gives the exit code and what was printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            console.main()
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return run


# A check rule: a function and an entry of `RULES`.


def _shouting(case: Case) -> str | None:
    return "is all capitals; write it as it is spoken" if case.utterance.text.isupper() else None


SHOUTING = Rule("shouting", "suspicion", "a transcript in capitals", _shouting)


def test_a_new_check_rule_reaches_the_command_the_quarantine_and_the_page(
    run, monkeypatch, tmp_path, make_speech, write_lines
):
    monkeypatch.setattr(rules, "RULES", (*rules.RULES, SHOUTING))
    lines = []
    for number, text in enumerate(["turn it on", "STOP", "turn it off"]):
        soundfile.write(tmp_path / f"{number}.wav", make_speech(1.0, seed=number), RATE)
        lines.append({"audio_filepath": f"{number}.wav", "duration": 1.0, "text": text})
    manifest = write_lines(tmp_path / "m.jsonl", lines)
    code, out, _ = run("check", manifest, "--report", tmp_path / "seen")
    assert code == 1
    assert "suspect: 1 shouting" in out
    assert "is all capitals" in " ".join(out.split())
    assert "a transcript in capitals" in (tmp_path / "seen" / "check.html").read_text(encoding="utf-8")

    (tmp_path / "c.yaml").write_text("check:\n  leave_out: [shouting]\n", encoding="utf-8")
    code, out, _ = run("check", manifest, "--config", tmp_path / "c.yaml", "--out", tmp_path / "clean.jsonl", "--json")
    assert code == 1
    assert json.loads(out)[0]["counts"] == {"shouting": 1}
    assert [utterance.line for utterance in read_manifest(tmp_path / "clean.jsonl")] == [1, 2]
    (quarantined,) = read_manifest(tmp_path / "clean.quarantine.jsonl")
    assert (quarantined.text, quarantined.extra["reasons"][0]["reason"]) == ("STOP", "shouting")
