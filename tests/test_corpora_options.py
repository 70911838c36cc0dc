from pathlib import Path

import pytest

from speechgru.corpora import CORPORA
from speechgru.corpora.options import Option, options_of, parse_options
from speechgru.errors import CorpusError


def every_kind(
    out,
    *,
    source=None,
    seed=0,
    progress=None,
    count: int = 3,
    share: float = 0.5,
    loud: bool = False,
    word: str | None = None,
    place: Path | None = None,
    names: list[str] | None = None,
):
    """One option of each type.

    Args:
        out: not an option.
        count: a number of things: not fewer
            than one.
        share: a part of them.
        word: what is said.

    Returns:
        Nothing. place: this is not an explanation.
    """


def test_options_come_from_the_signature_with_their_meaning_and_default():
    options = options_of(every_kind)
    assert list(options) == ["count", "share", "loud", "word", "place", "names"]
    assert options["count"] == Option("count", int, 3, False, "a number of things: not fewer than one.")
    assert options["word"] == Option("word", str, None, True, "what is said.")
    assert [options[name].meaning for name in ("loud", "place", "names")] == ["", "", ""]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("count=-4", -4),
        ("share=1e-3", 0.001),
        ("loud=True", True),
        ("loud=false", False),
        ("word=a=b", "a=b"),
        ("word=", ""),
        ("word=None", None),
        ("place=a/b", Path("a/b")),
        ("names=ada, bob,", ["ada", "bob"]),
        ("names=none", None),
    ],
)
def test_a_value_has_the_type_of_its_option(argument, value):
    name = argument.partition("=")[0]
    parsed = parse_options("toy", options_of(every_kind), [argument])
    assert parsed == {name: value}
    assert type(parsed[name]) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["count=4.0"], "toy: count must be a whole number, got '4.0'"),
        (["count=none"], "toy: count must be a whole number, got 'none'"),
        (["share=half"], "toy: share must be a number, got 'half'"),
        (["loud=1"], "toy: loud must be true or false, got '1'"),
        (["loud"], "toy: expected KEY=VALUE, got 'loud'; its options are count, share, loud, word, place, names"),
        (["cuont=1"], r"toy: has no option 'cuont' \(did you mean count\?\); its options are count,"),
        (["out=x"], r"toy: has no option 'out' \(give --out\)"),
        (["word=a", "word=b"], "toy: word is given twice"),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(arguments, message):
    with pytest.raises(CorpusError, match=message):
        parse_options("toy", options_of(every_kind), arguments)


def test_a_corpus_without_options_has_none():
    def bare(out, *, source=None, seed=0, progress=None): ...

    assert options_of(bare) == {}
    with pytest.raises(CorpusError, match="bare: has no option 'a'; it has no options"):
        parse_options("bare", {}, ["a=1"])


def test_an_option_of_another_type_is_its_authors_mistake():
    def odd(out, *, what: dict[str, int] | None = None): ...

    with pytest.raises(TypeError, match="the option what is"):
        options_of(odd)


def test_every_option_of_every_corpus_is_explained():
    for corpus in CORPORA.values():
        assert corpus.summary
        for option in corpus.options.values():
            assert option.meaning.endswith("."), f"{corpus.name}: {option.name}"
