"""Who is behind the voices: one person is in one split, whichever engine speaks with their recordings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from speechgru.voices.engine import ALL

#: The speakers of Carnegie Mellon's public recordings, from which flite, Festival and Piper all have voices. Their
#: splits are fixed, so that the engines agree.
CMU_SPLITS = {
    "train": ("kal", "ked", "awb", "bdl", "jmk", "ksp", "aew", "ahw", "aup", "axb", "eey", "fem", "gka", "lnh", "rxr"),
    "dev": ("rms", "ljm"),
    "test": ("slt", "clb"),
}
_SPLIT_OF = {person: split for split, people in CMU_SPLITS.items() for person in people}

_SHARE = 0.1  # of an engine's other people, for dev and for test each
_FEWEST = 3  # people that fill three splits


def cmu_person(voice: str) -> str | None:
    """The speaker of Carnegie Mellon's whom a voice's name has in it; None where it has none.

    >>> [cmu_person(voice) for voice in ("kal16", "kal_diphone", "cmu_us_slt_arctic_hts", "don_diphone")]
    ['kal', 'kal', 'slt', None]
    """
    parts = re.split(r"[^a-z]+", voice.lower())
    return next((part for part in parts if part in _SPLIT_OF), None)


def voices_of(split: str, voices: Sequence[str], person: Callable[[str], str]) -> tuple[str, ...]:
    """The voices of a split: people are dealt to the splits by a hash of their names, a tenth each to dev and test.

    Args:
        split: `train`, `dev` or `test`, or `ALL`.
        voices: all voices of an engine.
        person: who is behind a voice (`Engine.person`).

    >>> voices_of("test", ["kal", "kal16", "awb", "rms", "slt"], cmu_person)
    ('slt',)
    """
    if split == ALL:
        return tuple(voices)
    people = {person(voice) for voice in voices}
    dealt = {one: _SPLIT_OF[one] for one in people if one in _SPLIT_OF}
    others = sorted(people - dealt.keys(), key=lambda one: hashlib.sha256(one.encode()).digest())
    held_out = max(1, round(_SHARE * len(others))) if len(others) >= _FEWEST else 0
    for place, one in enumerate(others):
        dealt[one] = "test" if place < held_out else "dev" if place < 2 * held_out else "train"
    return tuple(voice for voice in voices if dealt[person(voice)] == split)


def draw_of(split: str, voices: Sequence[str], person: Callable[[str], str], rng: np.random.Generator) -> str:
    """Draws a voice of a split: each person as often as each other, however many voices they have."""
    by_person: dict[str, list[str]] = {}
    for voice in voices_of(split, voices, person):
        by_person.setdefault(person(voice), []).append(voice)
    own = by_person[sorted(by_person)[rng.integers(len(by_person))]]
    return own[rng.integers(len(own))]
