"""How a verb says how far it is, without knowing whether a terminal, a notebook or nobody listens."""

from __future__ import annotations

from collections.abc import Callable

#: Called as ``progress(stage, done, total, note)``: the stage in words, units done, units in all, and a
#: short note ("loss 3.2, dev WER 12 %"), empty where there is nothing to add.
Progress = Callable[[str, int, int, str], None]


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """A listener that hears nothing: the default of every verb."""
