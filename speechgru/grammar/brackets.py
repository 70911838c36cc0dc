"""Which bracket of a sentence template has no partner."""

from __future__ import annotations

_BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">"}


def fault_of_brackets(template: str) -> str:
    """Which bracket of a template is wrong, in a clause for a message.

    The library that parses templates puts one more pair around each, and names its places in that.

    Args:
        template: one that it refuses.

    >>> fault_of_brackets("turn (on|off")
    'its ( at character 6 has no )'
    >>> fault_of_brackets("turn on)")
    'its ) at character 8 ends nothing'
    >>> fault_of_brackets("turn ()")
    'its brackets hold nothing'
    """
    opened: list[tuple[int, str]] = []
    place = 0
    while place < len(template):
        sign = template[place]
        if sign == "\\":
            place += 1
        elif sign in _BRACKETS:
            opened.append((place, sign))
        elif sign in _BRACKETS.values():
            if not opened or _BRACKETS[opened[-1][1]] != sign:
                break
            opened.pop()
        place += 1
    if opened:
        start, sign = opened[-1]
        return f"its {sign} at character {start + 1} has no {_BRACKETS[sign]}"
    return (
        "its brackets hold nothing" if place >= len(template) else f"its {sign} at character {place + 1} ends nothing"
    )
