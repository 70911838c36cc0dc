"""Sentences of a text: where it is cut, which words are kept for the test, and what a language model may read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speechgru.corpora import pieces, prepare
from speechgru.errors import CorpusError, UserError
from speechgru.text import normalize_text
from speechgru.utterances.check import check
from speechgru.utterances.manifest import read_manifest

RIVERS = ["Rhine", "Elbe", "Oder", "Weser", "Neckar", "Isar", "Inn", "Lech", "Saale", "Havel", "Spree", "Main"]
VERBS = ["runs", "flows", "falls", "turns", "rises", "winds", "glides", "hurries"]
PLACES = ["the old town", "the green hills", "the sea", "the wide plain", "the stone bridge", "the quiet lake"]


@pytest.fixture
def book(tmp_path):
    """576 sentences, each of three that no other has together."""
    path = tmp_path / "my book.txt"
    sentences = [f"The {river} {verb} to {place}." for river in RIVERS for verb in VERBS for place in PLACES]
    path.write_text("\n\n".join(sentences), encoding="utf-8")
    return path


def test_a_text_is_cut_where_a_reader_pauses(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(
        "CHAPTER 1\n\nIt was the best\nof times, it was the worst of times! \u201cIs it?\u201d he asked; no.\n\n"
        "Twenty words without any pause at all are far too many for one breath and so nobody says them here\n\n"
        "It was the best of times, it was the WORST of times.",
        encoding="utf-8",
    )
    assert pieces.read_pieces(path, least=2, most=6) == [
        "It was the best of times,",
        "it was the worst of times!",
        "\u201cIs it?",
        "he asked;",
    ]
    assert pieces.read_pieces(path, least=1, most=12)[0] == "It was the best of times, it was the worst of times!"


def test_words_are_held_back_that_the_fewest_others_have():
    test = ["a rare word", "a new one"]
    others = ["a word", "a rare thing", "word for word", "one", "a one"]
    held_back, left = pieces.hold_words_back(test, others, share=0.4)
    assert held_back == {"new", "rare"} and left == ["a word", "word for word", "one", "a one"]
    assert pieces.hold_words_back(test, others, share=0.0) == ({"new"}, others)


def test_a_text_that_is_spoken_is_not_overwritten_by_what_is_left_of_it(book, tmp_path):
    for name in ("language.txt", "train.jsonl"):
        text = tmp_path / "out" / name
        text.parent.mkdir(exist_ok=True)
        text.write_bytes(book.read_bytes())
        with pytest.raises(UserError, match=rf"{name}: is what this command reads, and would be lost"):
            prepare("sentences", text.parent, text=text, utterances=60, engines=["espeak"])
        assert text.read_bytes() == book.read_bytes()


def test_a_corpus_of_a_text(book, tmp_path):
    options = {"text": book, "utterances": 60, "engines": ["espeak"], "variety": "usual", "unseen_words": 0.2}
    manifests = prepare("sentences", tmp_path / "out", **options)
    lines = {split: read_manifest(path) for split, path in manifests.items()}
    assert {split: len(each) for split, each in lines.items()} == {"train": 52, "dev": 3, "test": 5}
    texts = {split: {normalize_text(line.text) for line in each} for split, each in lines.items()}
    language = (tmp_path / "out" / "language.txt").read_text(encoding="utf-8").splitlines()
    assert not (texts["train"] & texts["test"] or texts["dev"] & (texts["test"] | set(language)))
    assert texts["train"] < set(language) and len(language) > 52
    words = {split: {word for text in each for word in text.split()} for split, each in texts.items()}
    unseen = words["test"] - words["train"] - words["dev"]
    assert len(unseen) >= 0.2 * len(words["test"]) and not unseen & {word for text in language for word in text.split()}
    note = json.loads((tmp_path / "out" / "voices.json").read_text(encoding="utf-8"))["notes"][0]
    assert note == (
        f"576 sentences in my book.txt; {len(unseen)} of the {len(words['test'])} different words of test are in no "
        "other sentence"
    )
    people = {split: {line.speaker for line in each} for split, each in lines.items()}
    assert not people["train"] & people["test"]
    (found,) = check([manifests["test"]])
    assert len(found.usable) == 5 and not found.problems
    again = prepare("sentences", tmp_path / "again", **options)
    assert [line.text for line in read_manifest(again["train"])] == [line.text for line in lines["train"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": None}, "needs --text"),
        ({"source": "raw"}, "takes no source, got .*raw"),
        ({"max_words": 2}, "max_words must be a whole number, 3 or more, got 2"),
        ({"unseen_words": 0.9}, "unseen_words must be a share from 0 to 0.5, got 0.9"),
        ({"min_words": 13}, r"my book.txt: 0 sentences .* too few for train, dev, test; name a longer"),
        ({"voices": "none"}, "none: no such folder"),
    ],
)
def test_what_cannot_be_is_refused(book, tmp_path, changes, message):
    changes = {name: Path(value) if name == "voices" else value for name, value in changes.items()}
    options = {"text": book, "engines": ["espeak"], "utterances": 60, **changes}
    with pytest.raises(CorpusError, match=message):
        prepare("sentences", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_text_that_is_none(tmp_path):
    latin = tmp_path / "latin.txt"
    latin.write_bytes("caf\u00e9 noir".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"latin.txt: .*save it as UTF-8"):
        prepare("sentences", tmp_path / "out", text=latin, engines=["espeak"])
    with pytest.raises(CorpusError, match=r"none.txt: cannot be read \(No such file or directory\); name a text file"):
        prepare("sentences", tmp_path / "out", text=tmp_path / "none.txt", engines=["espeak"])
