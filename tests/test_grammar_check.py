"""`speechgru grammar check`: size, samples, ambiguous sentences, and values that sound nearly alike."""

import json

import pytest

from speechgru.cli import console as cli
from speechgru.grammar import Grammar
from speechgru.grammar.check import check_grammar

AMBIGUOUS = """
language: en
intents:
  A: {data: [{sentences: ["play {song}", "go {x} {y}", "set {n}"]}]}
  B: {data: [{sentences: ["(play|start) jazz"]}]}
lists:
  song: {values: [jazz, rock]}
  x: {values: [a, a b]}
  y: {values: [b c, c]}
  n: {range: {from: 15, to: 50, step: 35}}
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "my.yaml").write_text(AMBIGUOUS)
    return tmp_path / "my.yaml"


def test_texts_with_two_meanings_are_found(path):
    record = check_grammar(Grammar.load(path), samples=2)
    assert {each["text"]: (each["used"], each["other"]) for each in record["ambiguous"]} == {
        "play jazz": ({"intent": "A", "slots": {"song": "jazz"}}, {"intent": "B", "slots": {}}),
        "go a b c": (
            {"intent": "A", "slots": {"x": "a", "y": "b c"}},
            {"intent": "A", "slots": {"x": "a b", "y": "c"}},
        ),
    }
    assert record["ambiguous_complete"]
    assert [(each["name"], each["num_sentences"]) for each in record["intents"]] == [("A", 7), ("B", 2)]
    assert record["num_sentences"] == 8
    assert ("n", "fifteen", "fifty") in {(each["slot"], each["one"], each["other"]) for each in record["confusable"]}


def test_a_grammar_without_two_meanings_has_none():
    assert check_grammar(Grammar.load("coffee"), samples=0)["ambiguous"] == []


def test_the_command_prints_it(path, monkeypatch, capsys):
    for arguments, expected in (([], "play jazz"), (["--json"], '"ambiguous"')):
        monkeypatch.setattr("sys.argv", ["speechgru", "grammar", "check", str(path), *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr().out
        assert ended.value.code == 0 and expected in out
    assert json.loads(out)["num_intents"] == 2
    monkeypatch.setattr("sys.argv", ["speechgru", "grammar", "check", "none.yaml"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and "none.yaml: there is no such grammar" in capsys.readouterr().err
