"""Which units of a text are spoken in a recording, and where: some may be missing in the sound, others in the text.

Three things after each other:

1. What the model writes of the recording without knowing the text is compared with the text, label by label
   (Levenshtein); units that share nothing with it are not looked for.
2. The other units are aligned, all at once, with a gap between any two, which takes what nobody wrote at no cost.
3. Each is judged: how much less probable its labels are than the model's own choice at the same steps, per label. The
   same is measured of units that are aligned with sound of others on purpose, which shows what a wrong text costs this
   model with this voice. The worst of each row of wrong units goes, the others are aligned anew, until none is wrong.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from rapidfuzz.distance import Levenshtein

from speechgru.decoding import align as align_labels
from speechgru.decoding.greedy import label_runs
from speechgru.errors import UserError
from speechgru.progress import Progress, silent
from speechgru.text import BLANK_ID

#: Units that share less than this of their labels with what the model wrote are not looked for at first.
_LEAST_SHARED = 0.3
#: A unit is surely there if it shares this much, has so many labels and no more steps than these for each.
_SURE_SHARE, _SURE_LABELS, _MOST_STEPS_A_LABEL = 0.5, 20, 6
#: Steps of a part that is aligned by itself, at least; and by how many the comparison may be off.
_LEAST_PART_STEPS, _SLACK_STEPS = 500, 25
#: Pairs of a unit and another's sound, from which it is learnt what a wrong text costs; and how many it takes.
_IMPOSTORS, _LEAST_IMPOSTORS = 200, 5
#: Shares of the usual steps a label between which a unit may be spoken; labels that the model may write inside it,
#: between two of its own, without belonging to it.
_FASTEST, _SLOWEST, _MOST_SKIPPED = 0.6, 1.8, 6
#: Rounds of leaving out; there are as many as wrong units in a row at most.
_MOST_ROUNDS = 1000
#: Pairs of a step and a state of a part that are all followed: 1 GiB.
_MOST_PAIRS = 1 << 30


class Sound:
    """What a model made of a recording, or of a part of it.

    Args:
        log_probs_SV: of the recording, one step at least.
    """

    def __init__(self, log_probs_SV: np.ndarray):
        #: With a column for anything, silence too: as probable as each step's most probable label.
        self.log_probs_SG = np.concatenate([log_probs_SV, log_probs_SV.max(axis=1, keepdims=True)], axis=1)
        path_S = log_probs_SV.argmax(axis=1)
        is_begin_S = (path_S != BLANK_ID) & (np.diff(path_S, prepend=BLANK_ID) != 0)
        #: How many labels the model wrote before each step, and in all.
        self.written_S = np.concatenate([[0], np.cumsum(is_begin_S)])

    def part(self, begin: int, end: int) -> Sound:
        """The steps from one to another."""
        part = object.__new__(Sound)
        part.log_probs_SG, part.written_S = self.log_probs_SG[begin:end], self.written_S[begin : end + 1]
        return part

    def __len__(self) -> int:
        return len(self.log_probs_SG)


@dataclass(frozen=True)
class Match:
    """A unit in a recording.

    Args:
        spans: of each of its labels, steps.
        cost: nats a label that it is less probable than what the model wrote by itself.
        skipped: labels that the model wrote between two of its own, the most.
    """

    spans: list[tuple[int, int]]
    cost: float
    skipped: int

    @property
    def steps_a_label(self) -> float:
        """How slowly it is spoken."""
        return (self.spans[-1][1] - self.spans[0][0]) / len(self.spans)


@dataclass(frozen=True)
class Limits:
    """What a unit must keep to if it is to count as spoken.

    Args:
        mean, spread: a unit of n labels costs `mean + spread / sqrt(n)` nats a label at most; one in a hundred wrong
            texts costs less. The fewer labels, the more a wrong text's cost is left to chance.
        fastest, slowest: steps a label.
    """

    mean: float
    spread: float
    fastest: float
    slowest: float

    def allow(self, match: Match) -> bool:
        """Whether a unit is spoken where it was aligned."""
        return (
            match.cost <= self.mean + self.spread / math.sqrt(len(match.spans))
            and self.fastest <= match.steps_a_label <= self.slowest
            and match.skipped <= _MOST_SKIPPED
        )


@dataclass(frozen=True)
class Shared:
    """What a unit has in common with what the model wrote by itself.

    Args:
        share: of its labels those that the model wrote, in the right order of all.
        first_step, last_step: of these; -1 where there are none.
    """

    share: float
    first_step: int
    last_step: int

    def is_sure(self, num_labels: int) -> bool:
        """Whether it is spoken there beyond doubt: much is shared, and no part of it far from the others."""
        steps = self.last_step - self.first_step
        return self.share >= _SURE_SHARE and num_labels >= _SURE_LABELS and steps <= _MOST_STEPS_A_LABEL * num_labels


def compare(log_probs_SV: np.ndarray, units: Sequence[Sequence[int]]) -> list[Shared]:
    """What each unit has in common with what the model wrote by itself."""
    runs = label_runs(log_probs_SV.argmax(axis=1), blank_id=BLANK_ID)
    written = "".join(chr(label) for label, _, _ in runs)
    text = "".join(chr(label) for labels in units for label in labels)
    steps_L = np.full(len(text), -1)
    for block in Levenshtein.opcodes(written, text):
        if block.tag == "equal":
            steps_L[block.dest_start : block.dest_end] = [
                start for _, start, _ in runs[block.src_start : block.src_end]
            ]
    ends = np.cumsum([0, *map(len, units)])
    found = []
    for first, after in itertools.pairwise(ends.tolist()):
        own = steps_L[first:after]
        own = own[own >= 0]
        first_step, last_step = (int(own[0]), int(own[-1])) if len(own) else (-1, -1)
        found.append(Shared(len(own) / (after - first), first_step, last_step))
    return found


def cut_at_anchors(
    log_probs_SV: np.ndarray, units: Sequence[Sequence[int]], shared: Sequence[Shared]
) -> list[tuple[int, int, int, int]]:
    """Cuts a recording and its units into parts that belong together, between units that are both surely there.

    Returns:
        Of each part its first unit, the unit after its last, its first step and the step after its last.
    """
    is_blank_S = log_probs_SV.argmax(axis=1) == BLANK_ID
    parts, unit, step = [], 0, 0
    for place in range(1, len(units)):
        before, behind = shared[place - 1], shared[place]
        if not (before.is_sure(len(units[place - 1])) and behind.is_sure(len(units[place]))):
            continue
        if behind.first_step - step < _LEAST_PART_STEPS:
            continue
        # The longest silence about there; what is compared label by label may be off by some.
        low = max(before.first_step, before.last_step - _SLACK_STEPS)
        high = min(behind.last_step, behind.first_step + _SLACK_STEPS)
        borders = np.flatnonzero(np.diff(is_blank_S[low:high], prepend=False, append=False))
        if not len(borders):
            continue
        longest = int(np.argmax(borders[1::2] - borders[::2]))
        cut = low + int(borders[2 * longest] + borders[2 * longest + 1]) // 2
        parts.append((unit, place, step, cut))
        unit, step = place, cut
    return [*parts, (unit, len(units), step, len(log_probs_SV))]


def match_of(sound: Sound, labels: Sequence[int], spans: list[tuple[int, int]]) -> Match:
    """Measures how well labels fit where they were aligned."""
    first, after = spans[0][0], spans[-1][1]
    columns_S = np.full(after - first, BLANK_ID)
    for label, (start, end) in zip(labels, spans, strict=True):
        columns_S[start - first : end - first] = label
    own_SG = sound.log_probs_SG[first:after]
    cost = float((own_SG[:, -1] - own_SG[np.arange(after - first), columns_S]).sum()) / len(labels)
    skipped = max((int(sound.written_S[b[0]] - sound.written_S[a[1]]) for a, b in itertools.pairwise(spans)), default=0)
    return Match(spans, cost, skipped)


def align_units(sound: Sound, units: Sequence[Sequence[int]]) -> list[Match] | None:
    """Aligns units with gaps before, between and behind them.

    Args:
        sound: the part in which they are looked for.
        units: labels, in the order in which they are spoken.

    Returns:
        A match for each; None where there are not steps enough, or no path is possible.
    """
    gap = sound.log_probs_SG.shape[1] - 1
    labels = [gap]
    for unit in units:
        labels += [*unit, gap]
    try:
        # A gap costs nothing, so that paths which have not begun yet look best: none may be left out.
        spans = align_labels(sound.log_probs_SG, labels, blank_id=BLANK_ID, most_pairs=_MOST_PAIRS)
    except ValueError:
        return None
    matches, place = [], 1
    for unit in units:
        matches.append(match_of(sound, unit, spans[place : place + len(unit)]))
        place += len(unit) + 1
    return matches


def find_units(
    log_probs_SV: np.ndarray, units: Sequence[Sequence[int]], *, seed: int = 0, progress: Progress = silent
) -> list[Match | None]:
    """Finds units of a text in a recording.

    Args:
        log_probs_SV: of the recording.
        units: the labels of each, one at least.
        seed: of the choice of wrong texts.
        progress: called after each part of the recording.

    Returns:
        Of each unit where it is spoken, None where it is not.

    Raises:
        UserError: hardly any unit is recognised.
    """
    shared = compare(log_probs_SV, units)
    parts = cut_at_anchors(log_probs_SV, units, shared)
    sound = Sound(log_probs_SV)
    limits = _learn_limits(sound, units, shared, seed=seed)
    found: list[Match | None] = [None] * len(units)
    for number, (first, after, begin, end) in enumerate(parts, start=1):
        kept = _find_in_part(sound.part(begin, end), units[first:after], shared[first:after], limits)
        for place, match in kept.items():
            found[first + place] = replace(match, spans=[(begin + a, begin + b) for a, b in match.spans])
        progress("matching", number, len(parts), "")
    return found


def _find_in_part(
    sound: Sound, units: Sequence[Sequence[int]], shared: Sequence[Shared], limits: Limits
) -> dict[int, Match]:
    """The units that are spoken in a part, by their places."""
    wanted = [place for place in range(len(units)) if shared[place].share >= _LEAST_SHARED]
    kept = _drop_wrong(sound, units, wanted, limits)
    # What was not looked for, or stood in another's way, may fit between those that stay.
    for place in range(len(units)):
        if place not in kept:
            more = _drop_wrong(sound, units, sorted([*kept, place]), limits, rounds=1)
            if len(more) > len(kept):
                kept = more
    return kept


def _drop_wrong(
    sound: Sound, units: Sequence[Sequence[int]], wanted: Sequence[int], limits: Limits, *, rounds: int = _MOST_ROUNDS
) -> dict[int, Match]:
    """Aligns units and leaves out the worst of each row of wrong ones, until none is wrong or all rounds are over."""
    wanted = list(wanted)
    for _ in range(rounds):
        matches = align_units(sound, [units[place] for place in wanted])
        if matches is None:  # more than there is room for
            wanted.pop()
            continue
        is_wrong = [not limits.allow(match) for match in matches]
        if not any(is_wrong):
            return dict(zip(wanted, matches, strict=True))
        worst = set()
        for wrong, row in itertools.groupby(range(len(wanted)), key=is_wrong.__getitem__):
            if wrong:
                worst.add(max(row, key=lambda number: matches[number].cost))
        wanted = [place for number, place in enumerate(wanted) if number not in worst]
    return {}


def _learn_limits(sound: Sound, units: Sequence[Sequence[int]], shared: Sequence[Shared], *, seed: int) -> Limits:
    """What wrong texts cost, units aligned with the sound of others; and how fast the sure ones are spoken."""
    rng = np.random.default_rng(seed)
    sure = [place for place, one in enumerate(shared) if one.is_sure(len(units[place]))]
    costs: list[tuple[float, int]] = []
    for _ in range(_IMPOSTORS if len(sure) > 2 else 0):
        place, other = rng.choice(sure, 2, replace=False)
        begin, end = shared[other].first_step, shared[other].last_step + 1
        around = (end - begin) // 2
        matches = align_units(sound.part(max(0, begin - around), end + around), [units[place]])
        if matches is not None:
            costs.append((matches[0].cost, len(units[place])))
    if len(costs) < _LEAST_IMPOSTORS:
        raise UserError(
            f"the model recognises too little of this text in this recording ({len(sure):,} of {len(units):,} "
            "sentences): is it its text, in the model's language? If so, train the model longer, or adapt it"
        )
    usual = float(np.median([(shared[k].last_step - shared[k].first_step) / len(units[k]) for k in sure]))
    costs_N, lengths_N = np.array(costs).T
    mean = float(costs_N.mean())
    spread = float(np.percentile((costs_N - mean) * np.sqrt(lengths_N), 1.0))
    return Limits(mean, spread, _FASTEST * usual, _SLOWEST * usual)
