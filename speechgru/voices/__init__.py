"""Voice engines: text in, speech out. One module each."""

from __future__ import annotations

import difflib

from speechgru.errors import CorpusError
from speechgru.voices.engine import Engine, Voice
from speechgru.voices.espeak import Espeak

__all__ = ["ENGINES", "Engine", "Voice", "find_engine"]

#: The engines by name. A new one is its module and a line here.
ENGINES: dict[str, Engine] = {engine.name: engine for engine in (Espeak(),)}


def find_engine(name: str) -> Engine:
    """The engine of a name, ready to speak.

    Raises:
        CorpusError: no engine has this name, or what it needs is not installed.

    >>> find_engine("espaek")
    Traceback (most recent call last):
    speechgru.errors.CorpusError: no voice engine is called 'espaek'; did you mean 'espeak'? known are espeak
    """
    if name not in ENGINES:
        near = difflib.get_close_matches(name, ENGINES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise CorpusError(f"no voice engine is called {name!r}; {hint}known are {', '.join(ENGINES)}")
    reason = ENGINES[name].why_unavailable()
    if reason:
        raise CorpusError(f"the voice engine {name} cannot be used: {reason}")
    return ENGINES[name]
