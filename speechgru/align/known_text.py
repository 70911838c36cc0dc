"""A known text as a model writes it: words as people wrote them, each with its labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.errors import TextError
from speechgru.files import describe_undecodable, read_text
from speechgru.text import TextRules, Vocabulary, quoted

#: Words that a message names.
_SHOWN = 8


@dataclass(frozen=True)
class WrittenWord:
    """A word of a text as it is written, with what stands around it.

    Args:
        text: without white space, such as `"Well-kept,`.
        spoken: the words that the model writes for it, such as `well` and `kept`; none for a dash that stands alone.
        line: of the file, from 1 on.
    """

    text: str
    spoken: tuple[str, ...]
    line: int = 1


@dataclass(frozen=True)
class KnownText:
    """What is aligned.

    Args:
        words: those that are spoken, in order; what is written without being spoken stands with the word before it.
        labels: what the model writes; where a word was left out that it cannot write, `gap_label`.
        spans: of each word the place of its first label and the one after its last.
        left_out: the words that were left out.
        gap_label: stands for anything that may be said; the column behind the model's own.
    """

    words: tuple[WrittenWord, ...]
    labels: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    left_out: tuple[WrittenWord, ...]
    gap_label: int


def read_words(path: str | Path, rules: TextRules) -> list[WrittenWord]:
    """The words of a text file.

    Raises:
        TextError: it cannot be read, or nothing in it is spoken.
    """
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: {describe_undecodable(error)}; a text is a file in UTF-8") from error
    except FileNotFoundError:
        raise TextError(f"{path}: no such file; write what is said into it") from None
    except OSError as error:
        raise TextError(f"{path}: the text cannot be read ({error.strerror})") from error
    if "\0" in text:
        raise TextError(f"{path}: is no text; write what is said into a file in UTF-8")
    words = split_words(text, rules)
    if not any(word.spoken for word in words):
        raise TextError(f"{path}: holds no word; write what is said into it")
    return words


def split_words(text: str, rules: TextRules) -> list[WrittenWord]:
    """The words of a text, each normalised by itself.

    Example:
        >>> [word.spoken for word in split_words("Well-kept \\u2013 yes.", TextRules())]
        [('well', 'kept'), (), ('yes',)]
    """
    return [
        WrittenWord(word, tuple(rules.normalize(word).split()), number)
        for number, line in enumerate(text.splitlines(), start=1)
        for word in line.split()
    ]


def encode_words(
    words: Iterable[WrittenWord], vocabulary: Vocabulary, *, where: str, leave_out_unknown: bool = False
) -> KnownText:
    """Turns words into labels.

    Args:
        words: as `split_words` gives them.
        vocabulary: of the model.
        where: the text's name, for messages.
        leave_out_unknown: whether words that the model cannot write become gaps.

    Raises:
        TextError: there are such words, or none that it can write; names them.
    """
    spoken: list[WrittenWord] = []
    runs: list[list[WrittenWord]] = [[]]  # of words without a gap between
    left_out: list[WrittenWord] = []
    for word in words:
        if any(vocabulary.unwritable(part) for part in word.spoken):
            left_out.append(word)
            runs.append([])
        elif word.spoken:
            runs[-1].append(word)
        elif runs[-1]:
            before = runs[-1][-1]
            runs[-1][-1] = WrittenWord(f"{before.text} {word.text}", before.spoken, before.line)
    if left_out and not leave_out_unknown:
        raise TextError(f"{where}: {_describe(left_out)}; write as it is spoken, or leave out with --leave-out-unknown")
    gap_label, labels, spans = len(vocabulary), list[int](), list[tuple[int, int]]()
    for number, run in enumerate(runs):
        if number and labels[-1:] != [gap_label]:
            labels.append(gap_label)
        encoded = vocabulary.encode(" ".join(part for word in run for part in word.spoken), where=where)
        parts = iter(vocabulary.word_spans(encoded))
        for word in run:
            own = [next(parts) for _ in word.spoken]
            spans.append((len(labels) + own[0][0], len(labels) + own[-1][1]))
        labels += encoded
        spoken += run
    if not spoken:
        raise TextError(f"{where}: holds no word that the model can write")
    return KnownText(tuple(spoken), tuple(labels), tuple(spans), tuple(left_out), gap_label)


def _describe(words: Sequence[WrittenWord]) -> str:
    """Words that cannot be written, for a message."""
    named: dict[str, int] = {}
    for word in words:
        named.setdefault(word.text, word.line)
    shown = ", ".join(f"{quoted(text)} (line {line})" for text, line in list(named.items())[:_SHOWN])
    more = f" and {len(named) - _SHOWN:,} more" if len(named) > _SHOWN else ""
    return f"the model cannot write {shown}{more}"
