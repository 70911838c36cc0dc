"""A running text as sentences to speak: cut where a reader pauses, some of its words kept for the test alone."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from speechgru.errors import CorpusError
from speechgru.files import describe_undecodable, read_text
from speechgru.text import normalize_text

#: Where a sentence ends, and where a reader pauses in one.
_END = re.compile(r"(?<=[.!?;:])[\"')\]\u201d\u2019]*\s+")
_PAUSE = re.compile(r"(?<=,)\s+|\s+(?:--|\u2013|\u2014)\s+")
_PARAGRAPH = re.compile(r"\n[ \t]*\n")


def read_pieces(path: Path, *, least: int, most: int) -> list[str]:
    """The sentences of a text file, and parts of those that are too long, each once, as written.

    An empty line ends a sentence, other ends of lines do not. A sentence of more than `most` words is cut at commas and
    dashes, into as few parts as may be. What is then still too long or short is left out, and so is what holds a digit,
    because nobody can tell how it was read.

    Args:
        path: a text file, UTF-8.
        least: words of a piece, at least.
        most: words of a piece, at most.

    Raises:
        CorpusError: it cannot be read.
    """
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: {describe_undecodable(error)}; save it as UTF-8") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); name a text file with --text") from None
    pieces: dict[str, str] = {}
    for paragraph in _PARAGRAPH.split(text):
        for sentence in _END.split(" ".join(paragraph.split())):
            for piece in _parts(sentence, most=most):
                said = normalize_text(piece)
                if least <= len(said.split()) <= most and not any(map(str.isdigit, said)):
                    pieces.setdefault(said, piece)
    return list(pieces.values())


def _parts(sentence: str, *, most: int) -> list[str]:
    """A sentence cut at its pauses into parts of `most` words at most, where it has pauses enough.

    >>> _parts("And God saw the light, that it was good, and God divided it", most=6)
    ['And God saw the light,', 'that it was good,', 'and God divided it']
    """
    if len(sentence.split()) <= most:
        return [sentence]
    parts: list[str] = []
    for clause in _PAUSE.split(sentence):
        if parts and len(parts[-1].split()) + len(clause.split()) <= most:
            parts[-1] = f"{parts[-1]} {clause}"
        else:
            parts.append(clause)
    return parts


def hold_words_back(test: Iterable[str], others: Sequence[str], *, share: float) -> tuple[set[str], list[str]]:
    """Keeps words of the test sentences out of all others, so that a share of the test's words is heard there first.

    The words that the fewest other sentences have are held back first, those that none has before all.

    Args:
        test: sentences of test.
        others: all other sentences.
        share: of the different words of `test`, as `normalize_text` writes them, 0 to 1.

    Returns:
        The words of test that no other sentence has now, and the other sentences without any of them, in their order.
    """
    words = list(dict.fromkeys(word for text in test for word in normalize_text(text).split()))
    written = [set(normalize_text(text).split()) for text in others]
    counts = Counter(word for each in written for word in each)
    wanted = math.ceil(share * len(words))
    rarest = sorted(words, key=lambda word: counts[word])  # stable: in the order of the test where equally rare
    held_back = set(rarest[:wanted]) | {word for word in words if not counts[word]}
    return held_back, [text for text, each in zip(others, written, strict=True) if not each & held_back]


def draw(texts: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """So many of the texts, by chance, in their order; all where there are no more."""
    if count >= len(texts):
        return list(texts)
    return [texts[place] for place in sorted(rng.choice(len(texts), count, replace=False))]
