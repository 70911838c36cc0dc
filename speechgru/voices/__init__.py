"""Voice engines: text in, speech out. One module each."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence

from speechgru.errors import CorpusError
from speechgru.voices.cast import Cast, Without, make_cast
from speechgru.voices.command import Command
from speechgru.voices.engine import ALL, Configurable, Engine, Sources, Voice
from speechgru.voices.espeak import Espeak
from speechgru.voices.festival import Festival
from speechgru.voices.flite import Flite
from speechgru.voices.kokoro import Kokoro
from speechgru.voices.mbrola import Mbrola
from speechgru.voices.pico import Pico
from speechgru.voices.piper import Piper
from speechgru.voices.rhvoice import RHVoice

__all__ = ["ENGINES", "Cast", "Engine", "Sources", "Voice", "choose_cast", "find_engine", "missing_engines"]

#: The engines by name. A new one is its module and a line here.
_ENGINES = (Espeak(), Kokoro(), Piper(), Flite(), Festival(), Mbrola(), RHVoice(), Pico(), Command())
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ENGINES}


def find_engine(name: str, sources: Sources | None = None) -> Engine:
    """The engine of a name, ready to speak.

    Args:
        name: as in `ENGINES`.
        sources: voices and programs that are not installed with an engine.

    Raises:
        CorpusError: no engine has this name, or what it needs is not installed.

    >>> find_engine("espaek")
    Traceback (most recent call last):
    speechgru.errors.CorpusError: no voice engine is called 'espaek'; did you mean 'espeak'? known are espeak, kokoro, \
piper, flite, festival, mbrola, rhvoice, pico, command
    """
    if name not in ENGINES:
        near = difflib.get_close_matches(name, ENGINES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise CorpusError(f"no voice engine is called {name!r}; {hint}known are {', '.join(ENGINES)}")
    engine = _configured(name, sources)
    reason = engine.why_unavailable()
    if reason:
        raise CorpusError(f"the voice engine {name} cannot be used: {reason}")
    return engine


def missing_engines(sources: Sources | None = None) -> dict[str, str]:
    """The engines that cannot speak here, each with the reason and how to get it.

    >>> missing_engines().keys() <= ENGINES.keys()
    True
    """
    reasons = {name: _configured(name, sources).why_unavailable() for name in ENGINES}
    return {name: reason for name, reason in reasons.items() if reason}


def _configured(name: str, sources: Sources | None) -> Engine:
    engine = ENGINES[name]
    return engine.configured(sources) if sources is not None and isinstance(engine, Configurable) else engine


def choose_cast(
    engines: Mapping[str, float | None] | None = None,
    *,
    train_engines: Collection[str] = (),
    test_engines: Collection[str] = (),
    sources: Sources | None = None,
) -> tuple[Cast, dict[str, str]]:
    """The engines that speak a corpus.

    Args:
        engines: those that share train, dev and test, with their weights; None stands for the square root of the number
            of people behind an engine's voices. None as a whole stands for every engine that can speak here. Whoever
            also speaks in an engine of `test_engines` is left out of the others.
        train_engines: those of them that speak in train only, with all their voices.
        test_engines: further ones, each of which speaks in a test of its own only, with all its voices.
        sources: voices and programs that are not installed with an engine.

    Returns:
        The cast, and the engines that were left out, though none was asked for by name, or of which people were, each
        with the reason.

    Raises:
        CorpusError: an engine is not known, cannot speak here, has nobody left, or is named for two purposes; or a
            weight is not a positive number.

    >>> cast, left_out = choose_cast({"espeak": 1.0})
    >>> cast.splits, left_out
    (('train', 'dev', 'test'), {})
    """
    held_out = [find_engine(name, sources) for name in test_engines]
    left_out: dict[str, str] = {}
    if engines is None:
        left_out = missing_engines(sources)
        if sources is None or sources.command is None:
            left_out.pop("command", None)  # nobody can install what only the user has
        chosen = [_configured(name, sources) for name in ENGINES if name not in (*left_out, "command", *test_engines)]
        if sources is not None and sources.command is not None and "command" not in test_engines:
            chosen.append(find_engine("command", sources))
    else:
        chosen = [find_engine(name, sources) for name in engines]
    weights = {name: weight for name, weight in (engines or {}).items() if weight is not None}
    for name, weight in weights.items():
        if not 0 < weight < math.inf:
            raise CorpusError(f"the weight of the voice engine {name} must be a positive number, got {weight}")
    names = {engine.name for engine in chosen}
    for name in train_engines:
        if name not in names:
            raise CorpusError(f"the voice engine {name} is kept for train and is none of {', '.join(sorted(names))}")
    for name in test_engines:
        if name in names:
            raise CorpusError(f"the voice engine {name} is to speak in train and kept for the test; name it once")
    for place, engine in reversed(list(enumerate(chosen))):
        common = _people_of(held_out, engine)
        if not common:
            continue
        why = f"kept for the test, where {', '.join(sorted(set(common.values())))} speaks with their voice"
        rest = Without(engine, frozenset(common))
        if rest.voices(ALL):
            chosen[place] = rest
            left_out[f"{', '.join(sorted(common))} of {engine.name}"] = why
        elif engines is None:
            left_out[engine.name] = f"{', '.join(sorted(common))} is {why}"
            del chosen[place]
        else:
            raise CorpusError(f"the voice engine {engine.name} has nobody left: {', '.join(sorted(common))} is {why}")
    cast = make_cast([*chosen, *held_out], weights=weights, train_engines=train_engines, test_engines=test_engines)
    return cast, left_out


def _people_of(others: Sequence[Engine], engine: Engine) -> dict[str, str]:
    """Who speaks in an engine and in another of these too, with the other's name."""
    people = {other.person(voice): other.name for other in others for voice in other.voices(ALL)}
    return {one: people[one] for voice in engine.voices(ALL) if (one := engine.person(voice)) in people}
