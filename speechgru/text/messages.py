"""How messages name characters, words and texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

#: Characters or words that a message names.
_SHOWN = 6

#: Characters that nobody sees or speaks: control characters that are no white space (Unicode's category Cc), format
#: characters (Cf: zero-width spaces, soft hyphens, byte order marks, directions), and the other ones that Unicode calls
#: ignorable (Hangul fillers, variation selectors). They come with copied text, and would become labels.
INVISIBLE = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd"
    "\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def describe_characters(entries: Sequence[str]) -> str:
    """Names characters or words for a message: `'ß' (U+00DF) is`, `'ß' (U+00DF), '7' (U+0037) are`, `'lamp' is`.

    A single character comes with its code point, because several look alike, and one that has no look with its name.
    """
    described = [*map(_describe_entry, entries[:_SHOWN])]
    if len(entries) > _SHOWN:
        described.append(f"and {len(entries) - _SHOWN:,} more")
    return f"{', '.join(described)} {'is' if len(entries) == 1 else 'are'}"


def quoted(text: str, *, most: int = 60) -> str:
    """A text in quotes for a message; a long one by its beginning.

    >>> quoted("turn on the light", most=10)
    "'turn on...'"
    """
    return repr(text if len(text) <= most else f"{text[: most - 3]}...")


def shown(value: object, *, most: int = 160) -> str:
    """A value that somebody gave as Python writes it, for a message; a long one by its beginning.

    >>> shown([1, 2, 3], most=6)
    '[1,...'
    """
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _describe_entry(entry: str) -> str:
    if len(entry) != 1:
        return quoted(entry)
    name = unicodedata.name(entry, "") if INVISIBLE.match(entry) else ""
    return f"{entry!r} (U+{ord(entry):04X}{f', {name.lower()}' if name else ''})"
