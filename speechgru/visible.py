"""Names, texts and numbers as they are shown: no character steers a terminal, and one of a kind is no plural.

Names, texts and what a bundle says of itself come from strangers. Everything that shows them, a terminal, a page or a
table, shows them through this module.
"""

from __future__ import annotations

import re
from typing import Any

#: Control characters but for ends of lines (C0, DEL and C1), halves of characters, separators that only some
#: programs end a line at, and marks that turn the direction of all that follows. What languages need stays: joiners,
#: and the marks of the direction of single characters.
_STEERING = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f"
    "\u2028\u2029"
    "\u202a-\u202e\u2066-\u2069"  # embeddings, overrides and isolates
    "\ud800-\udfff"
    "\ufff9-\ufffb\ufffe\uffff"
)
_STEERS = re.compile(f"[{_STEERING}]")
_STEERS_IN_A_LINE = re.compile(f"[\n{_STEERING}]")


def counted(number: int, noun: str, several: str = "") -> str:
    """A number with its noun, and what follows it where that depends on the number.

    Args:
        number: it.
        noun: of one.
        several: of any other number; the noun with an s where it is left out.

    >>> counted(1, "trial"), counted(1200, "trial"), counted(0, "trial")
    ('1 trial', '1,200 trials', '0 trials')
    >>> counted(1, "voice has", "voices have"), counted(2, "voice has", "voices have")
    ('1 voice has', '2 voices have')
    """
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def visible(text: str, *, in_a_line: bool = False) -> str:
    r"""A text that shows itself and does nothing else: what would steer whoever shows it stands as Python writes it.

    Args:
        text: any.
        in_a_line: whether ends of lines are escapes too.

    >>> visible("a\x1b[31m\u202eb.wav")
    'a\\x1b[31m\\u202eb.wav'
    >>> visible("one\ntwo"), visible("one\ntwo", in_a_line=True)
    ('one\ntwo', 'one\\ntwo')
    """
    return (_STEERS_IN_A_LINE if in_a_line else _STEERS).sub(lambda found: ascii(found[0])[1:-1], text)


def visible_json(text: str) -> str:
    r"""JSON in which such characters, all of them inside its texts, are JSON's escapes: the same values.

    >>> visible_json('["a\u202eb\x7f"]')
    '["a\\u202eb\\u007f"]'
    """
    return _STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def visible_cell(value: Any) -> Any:
    r"""A cell for a table that a spreadsheet may open: numbers as they are, texts never run as formulas.

    A text that would begin a formula gets an apostrophe before it, which spreadsheets do not show.

    >>> [visible_cell(value) for value in (0.5, -3, None, True, "-3", "1e-3", "yes", "=1+1", "@a", "-a\n\x1b")]
    [0.5, -3, None, True, '-3', '1e-3', 'yes', "'=1+1", "'@a", "'-a\\n\\x1b"]
    """
    if not isinstance(value, str):
        return value
    shown = visible(value, in_a_line=True)
    return f"'{shown}" if shown.startswith(_FORMULAS) and not _is_number(shown) else shown


#: What a formula begins with, in some spreadsheets the wide forms of East Asian keyboards too.
_FORMULAS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
