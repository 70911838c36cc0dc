"""Where subtitles begin and end: at pauses and ends of sentences, in lines that can be read.

What broadcasters ask for: at most two lines of 42 characters, shown for one second at least and seven at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from speechgru.timed.words import TimedWord

MOST_CHARACTERS, MOST_LINES = 42, 2
LEAST_SECONDS, MOST_SECONDS = 1.0, 7.0

#: A gap between words from which on it is a pause at which a subtitle may well end.
_PAUSE_SECONDS = 0.2
#: What a cue costs: each one; a second of pause inside; a sentence's or a clause's end inside; an end within a phrase;
#: each second that is missing to the least one.
_EACH, _PAUSE_INSIDE, _SENTENCE_INSIDE, _CLAUSE_INSIDE, _TORN, _TOO_SHORT = 2.0, 4.0, 1.5, 0.2, 1.0, 20.0
_ENDS_OF_SENTENCES = tuple(".?!\u2026\u3002\uff1f\uff01\u061f\u0964")
_ENDS_OF_CLAUSES = tuple(",;:\u2013\u2014\u3001\uff0c\u060c")
_CLOSING = "\"')]}\u2019\u201d\u00bb\u300d"


@dataclass(frozen=True)
class Cue:
    """One subtitle.

    Args:
        lines: one or two.
        start_seconds, end_seconds: when it is shown.
    """

    lines: tuple[str, ...]
    start_seconds: float
    end_seconds: float


def cut_into_cues(words: Sequence[TimedWord], *, duration: float = math.inf) -> list[Cue]:
    """Cuts words into subtitles.

    A cue begins with its first word and ends with its last one; one that is too short stays longer, or begins earlier,
    where nothing else is shown. Of all ways to cut the one with the lowest cost is taken: few cues, that end at pauses
    and with sentences, without long pauses in them. A word that fills more than a line is cut into lines.

    Args:
        words: in order.
        duration: the recording's seconds, where they are known; nothing is shown behind its end.
    """
    pieces = [piece for word in words for piece in _cut_word(word)]
    # costs[end]: the least cost of the cues of the first `end` pieces; cuts[end]: where the last of them begins.
    costs, cuts = [0.0] + [math.inf] * len(pieces), [0] * (len(pieces) + 1)
    for end in range(1, len(pieces) + 1):
        for begin in range(end - 1, -1, -1):
            if begin < end - 1 and not _fits(pieces[begin:end]):
                break
            cost = costs[begin] + _cost(pieces, begin, end, duration)
            if cost < costs[end]:
                costs[end], cuts[end] = cost, begin
    cues: list[Cue] = []
    end = len(pieces)
    while end:
        begin = cuts[end]
        start, stop = _shown(pieces, begin, end, duration)
        cues.append(Cue(_lines(pieces[begin:end]), start, stop))
        end = begin
    return cues[::-1]


def _cut_word(word: TimedWord) -> list[TimedWord]:
    """A word as it is, or in pieces of a line each, whose times are their shares of its own."""
    if len(word.text) <= MOST_CHARACTERS:
        return [word]
    pieces, length = [], len(word.text)
    seconds = word.end_seconds - word.start_seconds
    for first in range(0, length, MOST_CHARACTERS):
        text = word.text[first : first + MOST_CHARACTERS]
        start = word.start_seconds + seconds * first / length
        pieces.append(TimedWord(text, start, start + seconds * len(text) / length, word.confidence))
    return pieces


def _fits(pieces: Sequence[TimedWord]) -> bool:
    """Whether words can be one cue."""
    return pieces[-1].end_seconds - pieces[0].start_seconds <= MOST_SECONDS and _break(pieces) is not None


def _cost(pieces: Sequence[TimedWord], begin: int, end: int, duration: float) -> float:
    start, stop = _shown(pieces, begin, end, duration)
    cost = _EACH + _TOO_SHORT * max(0.0, LEAST_SECONDS - (stop - start))
    for place in range(begin + 1, end):
        cost += _PAUSE_INSIDE * _gap(pieces, place)
        cost += {2: _SENTENCE_INSIDE, 1: _CLAUSE_INSIDE, 0: 0.0}[_ending(pieces[place - 1].text)]
    if end < len(pieces) and _gap(pieces, end) < _PAUSE_SECONDS and not _ending(pieces[end - 1].text):
        cost += _TORN
    return cost


def _shown(pieces: Sequence[TimedWord], begin: int, end: int, duration: float) -> tuple[float, float]:
    """When a cue is shown."""
    start, stop = pieces[begin].start_seconds, pieces[end - 1].end_seconds
    # Half of a pause belongs to either neighbour, so that two short cues do not want the same one.
    after = min(duration, (stop + pieces[end].start_seconds) / 2 if end < len(pieces) else math.inf)
    before = (pieces[begin - 1].end_seconds + start) / 2 if begin else 0.0
    stop = max(stop, min(after, start + LEAST_SECONDS))
    return max(min(start, before), min(start, stop - LEAST_SECONDS)), min(stop, start + MOST_SECONDS)


def _gap(pieces: Sequence[TimedWord], place: int) -> float:
    """Seconds of silence before a word."""
    return max(0.0, pieces[place].start_seconds - pieces[place - 1].end_seconds)


def _ending(text: str) -> int:
    """2 where a sentence ends with a word, 1 where a part of one does, else 0."""
    bare = text.rstrip(_CLOSING)
    return 2 if bare.endswith(_ENDS_OF_SENTENCES) else 1 if bare.endswith(_ENDS_OF_CLAUSES) else 0


def ends_sentence(text: str) -> bool:
    """Whether a sentence ends with a word as it is written.

    >>> ends_sentence("door.\\u201d"), ends_sentence("door,")
    (True, False)
    """
    return _ending(text) == 2


def ends_clause(text: str) -> bool:
    """Whether a sentence or a part of one ends with a word as it is written."""
    return _ending(text) > 0


def _break(pieces: Sequence[TimedWord]) -> int | None:
    """How many words stand in the first line: all of them where they fit; None where two lines do not hold them."""
    lengths = [len(piece.text) for piece in pieces]
    total = sum(lengths) + len(lengths) - 1
    if total <= MOST_CHARACTERS:
        return len(pieces)
    if total > MOST_LINES * MOST_CHARACTERS + 1:
        return None
    best, best_cost, first = None, math.inf, -1
    for count in range(1, len(pieces)):
        first += lengths[count - 1] + 1
        second = total - first - 1
        if max(first, second) <= MOST_CHARACTERS:
            # As equal as possible; a clause's end is worth a third of a line.
            cost = abs(first - second) - (14 if _ending(pieces[count - 1].text) else 0)
            if cost < best_cost:
                best, best_cost = count, cost
    return best


def _lines(pieces: Sequence[TimedWord]) -> tuple[str, ...]:
    count = _break(pieces) or len(pieces)
    lines = (" ".join(piece.text for piece in part) for part in (pieces[:count], pieces[count:]))
    return tuple(line for line in lines if line)
