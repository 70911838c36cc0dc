"""A text in units: sentences, or what stands for them, each long enough to be told from another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from speechgru.align.known_text import WrittenWord
from speechgru.timed.subtitles import ends_clause, ends_sentence

#: A unit has this many characters at least, unless its paragraph is shorter, and about so many words at most.
_LEAST_CHARACTERS, _MOST_WORDS = 20, 40


def cut_into_units(words: Sequence[WrittenWord]) -> list[tuple[int, int]]:
    """Where the units of a text begin and end, as places of its words.

    A unit ends with a sentence or a paragraph (a blank line). Longer ones are cut at their lines' ends, at commas, or
    after so many words; shorter ones go with the next of their paragraph.

    Example:
        >>> text = "It was a cold and windy night. No. Then somebody came after all!"
        >>> cut_into_units([WrittenWord(word, (word.lower(),)) for word in text.split()])
        [(0, 7), (7, 13)]
    """
    units: list[tuple[int, int]] = []
    for first, after in _paragraphs(words):
        units += _sentences(words, first, after)
    return units


def _paragraphs(words: Sequence[WrittenWord]) -> Iterator[tuple[int, int]]:
    first = 0
    for place in range(1, len(words) + 1):
        if place == len(words) or words[place].line > words[place - 1].line + 1:
            yield first, place
            first = place


def _sentences(words: Sequence[WrittenWord], first: int, after: int) -> Iterator[tuple[int, int]]:
    """The units of one paragraph."""
    units: list[tuple[int, int]] = []
    begin = first
    for place in range(first, after):
        is_last = place + 1 == after
        if not is_last and not ends_sentence(words[place].text) and not _is_long(words, begin, place + 1, after):
            continue
        if units and (_characters(words, begin, place + 1) < _LEAST_CHARACTERS and is_last):
            units[-1] = units[-1][0], place + 1
        elif is_last or _characters(words, begin, place + 1) >= _LEAST_CHARACTERS:
            units.append((begin, place + 1))
        else:
            continue
        begin = place + 1
    yield from units


def _is_long(words: Sequence[WrittenWord], begin: int, end: int, after: int) -> bool:
    """Whether a unit without an end should end before the word at `end`."""
    count = end - begin
    if count >= _MOST_WORDS:
        return True
    sentence = next((place + 1 for place in range(end, after) if ends_sentence(words[place].text)), None)
    if sentence is not None and sentence - begin <= _MOST_WORDS:
        return False
    # A long sentence, or a text without marks, such as a poem or a sentence a line.
    is_line_end = words[end].line != words[end - 1].line
    return (count > 2 and is_line_end) or (count >= _MOST_WORDS // 2 and ends_clause(words[end - 1].text))


def _characters(words: Sequence[WrittenWord], first: int, after: int) -> int:
    return sum(len(part) + 1 for word in words[first:after] for part in word.spoken)
