"""A search among numbers of a beam: candidates, each decoded from log-probabilities that were computed once."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from speechgru import metrics
from speechgru.decoding import DecodingOptions, DecodingSettings, Hotwords, decode
from speechgru.decoding.language import LanguageWeights, WeightedScorer
from speechgru.decoding.settings import rounded
from speechgru.progress import Progress
from speechgru.scoring.judged import Judged
from speechgru.scoring.recordings import Batch, ScoringSet

#: How often the steps of the search are halved.
_HALVINGS = 2


@dataclass(frozen=True)
class Axis:
    """A number that is searched.

    Args:
        name: as in `DecodingSettings`.
        start: where the search begins.
        marks: what is tried first, far apart: of a staircase no step may be seen from where one stands.
        step: the first step from there.
        least, most: its range.

    >>> Axis("word_bonus", start=1.0, marks=(0.0, 2.0), step=0.5, least=-4.0, most=8.0).moved(7.5, 1)
    8.0
    """

    name: str
    start: float
    marks: tuple[float, ...]
    step: float
    least: float
    most: float

    def moved(self, value: float, step: float) -> float:
        """A value some steps further, within the range."""
        return rounded(min(self.most, max(self.least, value + step)))


@dataclass(frozen=True)
class Errors:
    """What a candidate made of the dev set.

    Args:
        words: word errors; where it is not complete at least so many.
        characters: character errors of as many utterances.
        seconds: of decoding alone.
        counts: the word errors of each utterance; empty where not all were decoded, because there were more word errors
            than the best candidate's.
    """

    words: int
    characters: int
    seconds: float
    counts: Sequence[metrics.ErrorCounts] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all utterances were decoded."""
        return bool(self.counts)

    def is_better_than(self, other: Errors) -> bool:
        """Fewer word errors, or of equal ones fewer character errors."""
        return self.is_complete and (self.words, self.characters) < (other.words, other.characters)


@dataclass(frozen=True)
class Tried:
    """A candidate.

    Args:
        settings: its numbers.
        errors: what it made.
        what: what it is there for: `greedy`, `start`, `search` or `width`.
    """

    settings: DecodingSettings
    errors: Errors
    what: str


@dataclass
class DevSet:
    """Log-probabilities of recordings with their references.

    Args:
        judged: the recogniser.
        references: what was said, by the text rules.
        log_probs: of each recording, one row a step.
        audio_seconds: of all.
    """

    judged: Judged
    references: list[str]
    log_probs: list[np.ndarray]
    audio_seconds: float
    _order: list[int] = field(default_factory=list)

    @classmethod
    def compute(cls, judged: Judged, recordings: ScoringSet, progress: Progress) -> DevSet:
        """Runs the model over the recordings, once."""
        found: dict[int, np.ndarray] = {}
        for batch in recordings.batches(judged.batch_size):
            found.update(_rows_of(judged, batch))
            progress("computing log-probabilities", len(found), recordings.num_expected, "")
        examples, lines = list(recordings), recordings.usable_lines
        return cls(
            judged,
            [example.text for example in examples],
            [found[line] for line in lines],
            sum(example.num_samples for example in examples) / recordings.sample_rate,
        )

    def errors(self, options: DecodingOptions, *, most: int | None = None) -> Errors:
        """Decodes all recordings, or until there are more than `most` word errors.

        Args:
            options: not prepared.
            most: word errors of the best candidate so far.
        """
        prepared = options.prepared(normalize=self.judged.text.normalize, vocabulary=self.judged.vocabulary)
        counts: dict[int, metrics.ErrorCounts] = {}
        words = characters = 0
        started = time.perf_counter()
        # Those that were hard before come first: what is worse than the best is found out early.
        for place in self._order or range(len(self.references)):
            reference = self.references[place]
            hypothesis = self._decode(place, prepared)
            counts[place] = metrics.word_errors(reference, hypothesis)
            words += counts[place].errors
            characters += metrics.character_errors(reference, hypothesis).errors
            if most is not None and words > most:
                return Errors(words, characters, time.perf_counter() - started)
        seconds = time.perf_counter() - started
        self._order = sorted(counts, key=lambda place: -counts[place].errors)
        return Errors(words, characters, seconds, [counts[place] for place in sorted(counts)])

    def _decode(self, place: int, prepared: DecodingOptions) -> str:
        hypotheses = decode(
            self.log_probs[place],
            vocabulary=self.judged.vocabulary,
            step_seconds=self.judged.step_seconds,
            options=prepared,
        )
        return hypotheses[0].text


def axes_of(options: DecodingOptions) -> list[Axis]:
    """The numbers of a decoding that can be tuned, beside the beam's width; each begins where the decoding has it.

    >>> [axis.name for axis in axes_of(DecodingOptions(beam_width=8, hotwords=["attic"]))]
    ['hotword_boost']
    """
    axes = []
    if isinstance(options.language, WeightedScorer):
        weights = options.language.complete_weights
        axes += _weights_of(weights, "language_weight", "word_bonus")
        if weights.unknown_penalty is not None and np.isfinite(weights.unknown_penalty):
            axes.append(
                Axis("unknown_penalty", weights.unknown_penalty, (0.0, 5.0, 10.0, 20.0), step=3.0, least=0.0, most=60.0)
            )
    if isinstance(options.gru_language, WeightedScorer):
        axes += _weights_of(options.gru_language.complete_weights, "gru_weight", "gru_word_bonus")
    if axes:  # a language model says when something was said
        axes.append(Axis("blank_penalty", options.blank_penalty, (0.0, 1.0, 2.0), step=0.8, least=0.0, most=10.0))
    if isinstance(options.hotwords, Hotwords) and options.hotwords.alone:
        start = options.hotwords[min(options.hotwords.alone)]
        axes.append(Axis("hotword_boost", start, (0.0, 3.0, 6.0, 12.0), step=2.0, least=0.0, most=30.0))
    return axes


def _weights_of(weights: LanguageWeights, weight: str, bonus: str) -> list[Axis]:
    """The axes of a language model's weight and of its bonus of a word, by their names."""
    return [
        Axis(weight, weights.weight or 0.0, (0.0, 0.25, 0.5, 1.0, 1.5), step=0.2, least=0.0, most=4.0),
        Axis(bonus, weights.word_bonus or 0.0, (-1.0, 0.0, 1.0, 2.0, 4.0), step=0.8, least=-8.0, most=16.0),
    ]


class Search:
    """Candidates and what they made, each decoded once.

    Args:
        dev: the recordings.
        options: the decoding.
        progress: called for each candidate.
    """

    def __init__(self, dev: DevSet, options: DecodingOptions, progress: Progress):
        self.tried: list[Tried] = []
        self._dev, self._options, self._progress = dev, options, progress
        self._known: set[tuple[float, ...]] = set()
        self.best: dict[str, float] = {}
        self._least = Errors(0, 0, 0.0)  # of the best

    def begin(self, values: Mapping[str, float]) -> None:
        """Decodes with the numbers as they are."""
        self.best = dict(values)
        self._known.add(tuple(values.values()))
        self._least = self._try(values, "start", most=None)

    def run(self, axes: Sequence[Axis]) -> None:
        """Searches from the best candidate on: along each axis far apart, and then closer and closer."""
        for axis in axes:
            for value in axis.marks:
                self._is_better({**self.best, axis.name: value})
        for halving in range(_HALVINGS + 1):
            steps = {axis.name: axis.step / 2**halving for axis in axes}
            while True:
                before = self.best
                self._look_around(self.best, axes, steps)
                if self.best == before:
                    break
                while self.best != before:  # leap on, as far as the last moves led, and look around there
                    ahead = {
                        axis.name: axis.moved(self.best[axis.name], self.best[axis.name] - before[axis.name])
                        for axis in axes
                    }
                    before = self.best
                    self._is_better(ahead)
                    self._look_around(ahead, axes, steps)

    def compare_widths(self, widths: Sequence[int]) -> Tried:
        """Decodes with the best numbers at several widths: the narrowest of those with the fewest errors."""
        best: Tried | None = None
        for width in widths:
            if width == self._options.beam_width:
                settings = DecodingSettings(beam_width=width).over(DecodingSettings(**self.best))  # type: ignore[arg-type]
                self.tried.append(Tried(settings, self._least, "width"))
            else:
                self._try(self.best | {"beam_width": width}, "width", most=None)
            found = self.tried[-1]
            if best is None or found.errors.is_better_than(best.errors):
                best = found
        assert best is not None
        return best

    def _look_around(self, values: Mapping[str, float], axes: Sequence[Axis], steps: Mapping[str, float]) -> None:
        """A step either way along each axis, from wherever the ones before led."""
        for axis in axes:
            for sign in (1, -1):
                moved = {**values, axis.name: axis.moved(values[axis.name], sign * steps[axis.name])}
                if self._is_better(moved):
                    values = moved
                    break

    def _is_better(self, values: Mapping[str, float]) -> bool:
        key = tuple(values.values())
        if key in self._known:
            return False
        self._known.add(key)
        found = self._try(values, "search", most=self._least.words)
        if not found.is_better_than(self._least):
            return False
        self.best, self._least = dict(values), found
        return True

    def _try(self, values: Mapping[str, float], what: str, *, most: int | None) -> Errors:
        width = int(values.get("beam_width", self._options.beam_width))
        settings = dataclasses.replace(DecodingSettings(**values), beam_width=width)  # type: ignore[arg-type]
        errors = self._dev.errors(self._options.with_settings(settings), most=most)
        self.tried.append(Tried(settings, errors, what))
        self._progress("searching", len(self.tried), 0, ", ".join(_described(settings)))
        return errors


def _described(settings: DecodingSettings) -> Iterator[str]:
    return (f"{name.replace('_', ' ')} {value:g}" for name, value in settings.as_record().items())


def _rows_of(judged: Judged, batch: Batch) -> Iterator[tuple[int, np.ndarray]]:
    log_probs_BSV, num_steps_B = judged.predictor.batch_log_probs(batch.samples_BN, batch.num_samples_B)
    for line, log_probs_SV, num_steps in zip(batch.lines, log_probs_BSV, num_steps_B, strict=True):
        yield line, np.array(log_probs_SV[:num_steps])  # a copy: the padding of the batch is not kept
