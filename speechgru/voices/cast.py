"""Who speaks a corpus: engines by weight, and engines that are kept for the test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.errors import CorpusError
from speechgru.voices.engine import ALL, Engine, Voice

#: How the manifest of an engine that is kept for the test is called: `test_piper`.
_HELD_OUT = "test_"
_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Without:
    """An engine without the voices of some people, who are kept for a test.

    Args:
        engine: the engine; a voice that it draws is named as `voices` names it.
        people: who does not speak (`Engine.person`).

    >>> from speechgru.voices import ENGINES
    >>> Without(ENGINES["espeak"], frozenset({"espeak/f4"})).voices("dev")
    ('m4', 'michel')
    """

    engine: Engine
    people: frozenset[str]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("engine", "people"):  # while it is unpickled, neither is there yet
            raise AttributeError(name)
        return getattr(self.engine, name)

    def voices(self, split: str) -> tuple[str, ...]:
        return tuple(voice for voice in self.engine.voices(split) if self.engine.person(voice) not in self.people)

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> Voice:
        """Draws until nobody of these people was drawn; the others stay as likely beside each other as they were."""
        if not self.voices(split):
            raise CorpusError(f"the voice engine {self.engine.name} has nobody left to speak in {split}")
        while True:
            voice = self.engine.draw_voice(split, rng, is_digits=is_digits, is_wide=is_wide)
            if self.engine.person(voice.name) not in self.people:
                return voice


@dataclass(frozen=True)
class Member:
    """An engine in a corpus.

    Args:
        engine: it, ready to speak.
        weight: how often it speaks, beside the others'.
        role: "" where its voices are dealt to the splits; "train" or "test" where it is kept whole for that.
    """

    engine: Engine
    weight: float = 1.0
    role: str = ""

    def voices_key(self, split: str) -> str:
        """What the engine's `voices` is asked for in a split of the corpus; empty where it does not speak there."""
        if self.role == "test":
            return ALL if split == _HELD_OUT + self.engine.name else ""
        if self.role == "train":
            return ALL if split == "train" else ""
        return split if split in _SPLITS and self.engine.voices(split) else ""


@dataclass(frozen=True)
class Cast:
    """The engines of a corpus.

    Beside `train`, `dev` and `test`, whose voices are different people of the same engines, each engine that is kept
    for the test has a split of its own, such as `test_piper`, spoken by nobody else.

    Args:
        members: the engines, each once.

    >>> Cast(()).splits
    ()
    """

    members: tuple[Member, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits in which somebody speaks: train, dev, test, and one for each engine kept for the test."""
        held_out = tuple(_HELD_OUT + each.engine.name for each in self.members if each.role == "test")
        return tuple(split for split in (*_SPLITS, *held_out) if self.speaking(split))

    def speaking(self, split: str) -> list[tuple[Member, str]]:
        """The engines that speak in a split, each with what its `voices` and `draw_voice` are given."""
        return [(each, key) for each in self.members if (key := each.voices_key(split))]

    def draw(
        self, split: str, rng: np.random.Generator, *, is_digits: bool = False, is_wide: bool = False
    ) -> tuple[Engine, Voice]:
        """Draws an engine by weight, and a voice of it.

        Args:
            split: whose voices to draw from.
            rng: the source of chance.
            is_digits: as for `Engine.draw_voice`.
            is_wide: as for `Engine.draw_voice`.
        """
        speaking = self.speaking(split)
        place = 0
        if len(speaking) > 1:
            weights = np.array([member.weight for member, _ in speaking])
            place = int(rng.choice(len(speaking), p=weights / weights.sum()))
        member, key = speaking[place]
        return member.engine, member.engine.draw_voice(key, rng, is_digits=is_digits, is_wide=is_wide)

    def check(self, splits: Iterable[str]) -> None:
        """Makes sure that every split has voices, and that nobody speaks in two: the test is for new people.

        Raises:
            CorpusError: a split has no voice, or a person is in two splits; names them and what would help.
        """
        split_of: dict[str, tuple[str, str]] = {}
        for split in splits:
            speaking = self.speaking(split)
            if not speaking:
                raise CorpusError(self._describe_silence(split))
            for member, key in speaking:
                engine = member.engine
                for voice in engine.voices(key):
                    name = f"{engine.name}/{voice}"
                    other, other_split = split_of.setdefault(engine.person(voice), (name, split))
                    # Two tests may have a person in common: neither was trained on.
                    if other_split != split and not (split.startswith("test") and other_split.startswith("test")):
                        raise CorpusError(
                            f"the speaker of {other} in {other_split} is that of {name} in {split}; a speaker belongs "
                            "to one split: leave one of the two engines out"
                        )

    def _describe_silence(self, split: str) -> str:
        names = [each.engine.name for each in self.members if each.role != "test"]
        if len(names) == 1:
            return (
                f"the voice engine {names[0]} has no speaker for {split}: three splits need three people or more; add "
                "another engine or more voices"
            )
        return f"none of the voice engines {', '.join(names) or '(none)'} has a speaker for {split}; add one that has"


def make_cast(
    engines: Sequence[Engine],
    *,
    weights: Mapping[str, float],
    train_engines: Iterable[str] = (),
    test_engines: Iterable[str] = (),
) -> Cast:
    """A cast of engines that are ready to speak.

    Args:
        engines: each once.
        weights: by an engine's name; one without has the square root of the number of people behind its voices.
        train_engines: the names of those that speak in train only, with all their voices.
        test_engines: the names of those that speak in a test of their own only, with all their voices.
    """
    members = []
    for engine in engines:
        role = "train" if engine.name in train_engines else "test" if engine.name in test_engines else ""
        people = {engine.person(voice) for voice in engine.voices(ALL)}
        members.append(Member(engine, weights.get(engine.name, math.sqrt(len(people))), role))
    return Cast(tuple(members))
