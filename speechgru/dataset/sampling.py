"""Which utterances stand together in which batch: a pure function of seed and batch number, in NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.augment import STAGES, LengthStage

#: Batches whose utterances are sorted by length together: enough to waste little padding, few enough to stay random.
_BUCKET_BATCHES = 32

#: Blocks of a block-wise corpus (its shards) whose utterances are shuffled together.
_BLOCKS_TOGETHER = 8


#: Numbers that decide how augmentation changes an utterance's length: speed, silence before and after, and what other
#: stages need.
NUM_LENGTH_DRAWS = sum(stage.num_draws for stage in STAGES if issubclass(stage, LengthStage))


@dataclass(frozen=True)
class Draws:
    """Utterances in the order drawn.

    Args:
        indices: their places in the corpus.
        passes: for each the number of times that it was drawn before, which makes its augmentation a new one.
        length_draws: for each its numbers in [0, 1) by `draw_lengths`.
    """

    indices: np.ndarray
    passes: np.ndarray
    length_draws: np.ndarray

    def __getitem__(self, places: np.ndarray | slice) -> Draws:
        return Draws(self.indices[places], self.passes[places], self.length_draws[places])

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Part:
    """A part of a corpus that is drawn from on its own: a manifest, or a folder of shards.

    Args:
        count: its utterances, which stand together in the corpus.
        blocks: sizes of runs of them that lie together on disk (shards), in order. Few blocks are shuffled together,
            so that a corpus larger than memory is read from few places at a time. Empty: all are shuffled together.
    """

    count: int
    blocks: tuple[int, ...] = ()


def draw_lengths(seed: int, number_of_pass: int, num_utterances: int, *, first: int = 0) -> np.ndarray:
    """Numbers in [0, 1) for each utterance in a pass: how augmentation changes its length.

    They are drawn here and not with the rest of the augmentation so that utterances which will be equally long can
    stand in a batch together. An utterance's numbers depend on its place alone: not on how many come after it, and
    those before it need not be drawn.

    Args:
        seed: the run's.
        number_of_pass: how often its part was gone through before.
        num_utterances: how many.
        first: the place in the corpus of the first of them.

    Returns:
        float32 [num_utterances, `NUM_LENGTH_DRAWS`]: the numbers of each stage that changes lengths, in the order of
        `STAGES`.
    """
    generator = np.random.PCG64(np.random.SeedSequence([seed, 3, number_of_pass]))
    skipped = first * NUM_LENGTH_DRAWS
    generator.advance(skipped // 2)  # each of its 64-bit numbers makes two of 32 bits
    rng = np.random.Generator(generator)
    rng.random(skipped % 2, np.float32)
    return rng.random((num_utterances, NUM_LENGTH_DRAWS), np.float32)


class Sampler:
    """Shuffled, length-bucketed batches without end, the k-th a function of the seed and k alone.

    An epoch draws as many utterances as the corpus has: each once, or with weights each part's share, going round in
    it so that no utterance is drawn again before all others of its part were. Stretches of the epoch are sorted by
    length and cut into batches, and the batches are shuffled: neighbours in length pad little.

    Memory is some 50 bytes an utterance while an epoch is planned, whatever the length of the recordings.

    Args:
        num_frames: frames of each utterance.
        parts: the corpus's parts in order; one of all when empty.
        weights: each part's weight in the mixture; empty draws every utterance once an epoch.
        batch_size: utterances in a batch.
        batch_frames: frames in a batch, padding included, in place of `batch_size`; a longer utterance stands alone.
        seed: the run's seed.
        sorted_first_epoch: the first epoch's batches come shortest first.
        augmented: (frames, `length_draws`, epoch) -> the frames after augmentation; None where they stay the same.
        joined: (indices, passes) -> frames of the utterances with what they are joined with; None where with nothing.
    """

    def __init__(
        self,
        num_frames: np.ndarray,
        *,
        parts: Sequence[Part] = (),
        weights: Sequence[float] = (),
        batch_size: int,
        batch_frames: int | None = None,
        seed: int,
        sorted_first_epoch: bool = False,
        augmented: Callable[[np.ndarray, np.ndarray, int], np.ndarray] | None = None,
        joined: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ):
        self.num_frames = np.asarray(num_frames, np.int32)
        self.parts = tuple(parts) or (Part(len(self.num_frames)),)
        self.weights, self.seed = tuple(weights), seed
        self.batch_size, self.batch_frames, self._augmented = batch_size, batch_frames, augmented
        self.sorted_first_epoch, self._joined = sorted_first_epoch, joined
        if sum(part.count for part in self.parts) != len(self.num_frames):
            raise ValueError("the parts' counts must add up to the utterances")

    def draw_epoch(self, epoch: int) -> Draws:
        """An epoch's utterances in random order, block by block where parts have blocks."""
        total = len(self.num_frames)
        shares = [part.count for part in self.parts]
        if self.weights:
            borders = np.round(np.cumsum((0.0, *self.weights)) / sum(self.weights) * total).astype(int)
            shares = np.diff(borders).tolist()
        starts = itertools.accumulate((part.count for part in self.parts), initial=0)
        drawn = [
            self._draw_part(number, part, start, epoch * share, share)
            for number, (part, start, share) in enumerate(zip(self.parts, starts, shares, strict=False))
        ]
        draws = _joined(drawn)
        if len(drawn) == 1:
            return draws
        # Each part's own order holds, and the parts interleave at random: blocks stay together.
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(np.repeat(np.arange(len(drawn)), shares))
        places = np.empty(len(draws), np.int64)
        places[np.argsort(order, kind="stable")] = np.arange(len(draws))
        return draws[places]

    def _draw_part(self, number: int, part: Part, start: int, first: int, count: int) -> Draws:
        """Draws `first` to `first + count` of a part's endless passes over its utterances."""
        none = np.empty(0, np.int32)
        drawn = [Draws(none, none, np.empty((0, 3), np.float32))]
        while count and part.count:
            number_of_pass, place = divmod(first, part.count)
            taken = self._order_of(number, part, number_of_pass)[place : place + count]
            indices = (start + taken).astype(np.int32)
            length_draws = draw_lengths(self.seed, number_of_pass, part.count, first=start)[taken]
            drawn.append(Draws(indices, np.full(len(taken), number_of_pass, np.int32), length_draws))
            first, count = first + len(taken), count - len(taken)
        return _joined(drawn)

    def _order_of(self, number: int, part: Part, number_of_pass: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 0, number, number_of_pass])
        if not part.blocks:
            return rng.permutation(part.count)
        starts = np.cumsum((0, *part.blocks))
        blocks = rng.permutation(len(part.blocks))
        return np.concatenate(
            [
                rng.permutation(np.concatenate([np.arange(starts[k], starts[k + 1]) for k in together]))
                for together in np.array_split(blocks, -(-len(blocks) // _BLOCKS_TOGETHER))
            ]
        )

    def plan_epoch(self, epoch: int) -> list[Draws]:
        """The batches of an epoch, in order."""
        draws = self.draw_epoch(epoch)
        num_frames = self.frames_of(draws, epoch)
        if self.batch_frames is None:
            stretch = _BUCKET_BATCHES * self.batch_size
        else:
            mean = max(1.0, float(num_frames.mean()))
            stretch = max(1, round(_BUCKET_BATCHES * self.batch_frames / mean))
        if shortest_first := self.sorted_first_epoch and epoch == 0:
            stretch = len(draws)
        batches = []
        for start in range(0, len(draws), stretch):
            places = start + np.argsort(num_frames[start : start + stretch], kind="stable")
            borders = self._cut(num_frames[places])
            batches += [draws[places[a:b]] for a, b in itertools.pairwise(borders)]
        if shortest_first:
            return batches
        order = np.random.default_rng([self.seed, 2, epoch]).permutation(len(batches))
        return [batches[k] for k in order]

    def frames_of(self, draws: Draws, epoch: int) -> np.ndarray:
        """Frames of each utterance drawn in an epoch, joined and augmented."""
        if self._joined is not None:
            num_frames = self._joined(draws.indices, draws.passes)
        else:
            num_frames = self.num_frames[draws.indices]
        return num_frames if self._augmented is None else self._augmented(num_frames, draws.length_draws, epoch)

    def _cut(self, sorted_frames: np.ndarray) -> list[int]:
        """Where batches begin in utterances sorted by length, and the end."""
        total = len(sorted_frames)
        if self.batch_frames is None:
            return [*range(0, total, self.batch_size), total]
        borders = [0]
        for place, frames in enumerate(sorted_frames.tolist()):
            if frames * (place + 1 - borders[-1]) > self.batch_frames and place > borders[-1]:
                borders.append(place)
        return [*borders, total]

    def batches_from(self, step: int) -> Iterator[tuple[float, Draws]]:
        """The batches from step `step` (0-based) on, without end, each with its time in epochs.

        Counted in frames an epoch's number of batches is known only once it is planned, so a late step plans the
        epochs before it: a second for some ten million utterances.
        """
        if not len(self.num_frames):
            raise ValueError("no utterances to make batches of")
        epoch = 0
        if self.batch_frames is None:
            per_epoch = -(-len(self.num_frames) // self.batch_size)
            epoch, step = divmod(step, per_epoch)
        while True:
            batches = self.plan_epoch(epoch)
            for number in range(step, len(batches)):
                yield epoch + number / len(batches), batches[number]
            step, epoch = max(0, step - len(batches)), epoch + 1


def split(batch: Draws, *, parts: int, replica: int = 0, num_replicas: int = 1) -> list[tuple[Draws, np.ndarray]]:
    """What one of several replicas computes of a batch, in parts that follow each other.

    The parts are stretches of the batch, so that neighbours in length stay together, and a replica takes every
    `num_replicas`-th utterance of each. Every replica gets as many as every other: where a part cannot be shared out
    evenly, its first utterance stands again with a weight of 0.

    Args:
        batch: the utterances of a step.
        parts: parts to make, at most; never one without an utterance.
        replica: which replica.
        num_replicas: of how many.

    Returns:
        For each part this replica's utterances and their float32 weights, 1 or 0.
    """
    made = []
    for places in np.array_split(np.arange(len(batch)), min(parts, len(batch))):
        missing = -len(places) % num_replicas
        weights = np.repeat([np.float32(1), np.float32(0)], [len(places), missing])
        places = np.concatenate([places, np.repeat(places[:1], missing)])
        made.append((batch[places[replica::num_replicas]], weights[replica::num_replicas]))
    return made


def padding_share(sampler: Sampler, batches: Sequence[Draws], epoch: int) -> float:
    """The share of an epoch's padded batches that is padding: 1 - real frames / (rows x the longest row's frames)."""
    frames = [sampler.frames_of(batch, epoch) for batch in batches]
    real, padded = sum(int(f.sum()) for f in frames), sum(int(f.max()) * len(f) for f in frames)
    return 1.0 - real / padded if padded else 0.0


def heard_seconds(sampler: Sampler, *, frame_seconds: float) -> dict[str, float]:
    """How long what training hears is, by its first epoch: what a recogniser does with long sound is chosen by it.

    Args:
        sampler: the order of the run, with its weights and augmentation.
        frame_seconds: seconds from one frame to the next.

    Returns:
        `typical`: half of the sound is of utterances up to this length, so that many single words count as little as
        they are; and `longest`: the longest of them, up to which nothing may be cut that training heard whole.
    """
    frames = np.sort(sampler.frames_of(sampler.draw_epoch(0), 0)).astype(np.int64)
    heard = np.cumsum(frames)
    typical_and_longest = frames[np.searchsorted(heard, 0.5 * heard[-1])], frames[-1]
    typical, longest = (round(max(1, int(count)) * frame_seconds, 3) for count in typical_and_longest)
    return {"typical": typical, "longest": longest}


def _joined(parts: Sequence[Draws]) -> Draws:
    names = ("indices", "passes", "length_draws")
    return Draws(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
