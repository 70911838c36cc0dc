"""Keyword spotting: how probable it is, step by step, that a keyword has just been said."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.decoding.hypothesis import check_log_probs
from speechgru.errors import UserError
from speechgru.text import BLANK_ID, Vocabulary

#: Seconds in which a keyword is said, from its first label to the last.
WINDOW_SECONDS = 1.0
#: Seconds after a report in which the same keyword is not reported again.
REFRACTORY_SECONDS = 1.0
#: Even odds: what counts as said where nothing was calibrated.
EVEN_ODDS = 0.0
#: Below, a probability is none, and as far from 1 it is certain: log-odds stay finite.
_LEAST = 1e-30


@dataclass(frozen=True)
class Detection:
    """A keyword that was said.

    Args:
        keyword: its name: as the recogniser writes it, where it was given no other.
        seconds: when it was recognised, from the stream's first sample on: the end of the model's step.
        score: log-odds that it was said, 0 where that is as probable as not; it reached the keyword's threshold here.

    >>> Detection("computer", seconds=12.48, score=3.9).keyword
    'computer'
    """

    keyword: str
    seconds: float
    score: float


class KeywordScorer:
    """Scores keywords at each step of a stream, whatever else is said.

    The score of a keyword after step s is the log-odds of: the labels that were written up to s end in the keyword's,
    and these began within the last `window_seconds`. Everything before is free, so the paths that spell the keyword
    compete with all others, whose probabilities sum to the rest; paths that divide a label among steps otherwise, or
    have other blanks, are added up, which smooths the model's posteriors. It is exact under CTC's assumption that steps
    are independent. Source: the forward variables of Graves et al. 2006, "Connectionist Temporal Classification",
    section 4.1, begun anew at each step.

    Its memory is that of a window, however long the stream.

    Args:
        keywords: texts as the vocabulary writes them: words of a vocabulary of words, any text of one of characters.
        vocabulary: what the columns stand for; column 0 is the blank.
        step_seconds: seconds from one step to the next.
        window_seconds: the longest time from a keyword's first label to the present step.

    Raises:
        UserError: there is no keyword or one is given twice, or the window is not a positive number of seconds.
        TextError: the vocabulary cannot write a keyword.

    Example:
        >>> scorer = KeywordScorer(["on"], vocabulary=Vocabulary(["off", "on"], unit="word"), step_seconds=0.04)
        >>> scorer.feed(np.log([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05]])).round(2).ravel().tolist()
        [-2.2, 1.45, 1.26]
    """

    def __init__(
        self,
        keywords: Sequence[str],
        *,
        vocabulary: Vocabulary,
        step_seconds: float,
        window_seconds: float = WINDOW_SECONDS,
    ):
        self.keywords = tuple(keywords)
        if not self.keywords:
            raise UserError("no keyword is given; name one or more")
        twice = {keyword for keyword in self.keywords if self.keywords.count(keyword) > 1}
        if twice:
            raise UserError(f"the keyword {sorted(twice)[0]!r} is given twice; give it once")
        _require_seconds("window_seconds", window_seconds)
        self._vocabulary, self._step_seconds = vocabulary, step_seconds
        labels = [vocabulary.encode(keyword, where=f"the keyword {keyword!r}") for keyword in self.keywords]
        if not all(labels):
            raise UserError(f"the keyword {self.keywords[labels.index([])]!r} has no letter")
        self._window_steps = max(max(map(len, labels)), round(window_seconds / step_seconds))
        # A row a keyword: state 2i is label i and 2i + 1 the blank behind it; what is missing of a shorter one is
        # never reached, since nothing leads from its last blank to it.
        num_states = 2 * max(map(len, labels))
        self._label_KZ = np.full((len(labels), num_states), BLANK_ID)
        self._skips_KZ = np.zeros((len(labels), num_states), bool)
        self._moves_KZ = np.zeros((len(labels), num_states), bool)
        self._ends_KZ = np.zeros((len(labels), num_states), bool)
        for row, each in enumerate(labels):
            self._label_KZ[row, : 2 * len(each) : 2] = each
            self._moves_KZ[row, 1 : 2 * len(each)] = True
            # From one label straight to the next, where they differ: between equal ones there must be a blank.
            self._skips_KZ[row, 2 : 2 * len(each) : 2] = [one != other for one, other in itertools.pairwise(each)]
            self._ends_KZ[row, 2 * len(each) - 2 : 2 * len(each)] = True
        # For each step at which the keyword may have begun, of the latest window: the probability of its states.
        self._paths_DKZ = np.zeros((self._window_steps, *self._label_KZ.shape))
        self._first_before_K = np.zeros(len(labels))  # the probability of the first label at the step before
        self._num_steps = 0

    @property
    def num_steps(self) -> int:
        """How many steps came so far."""
        return self._num_steps

    def feed(self, log_probs_SV: np.ndarray) -> np.ndarray:
        """Scores the next steps.

        Args:
            log_probs_SV: natural-log probabilities of any number of steps, one column a label.

        Returns:
            `scores_SK`, float64: the log-odds of each keyword after each step.

        Raises:
            ValueError: they do not fit the vocabulary (as in `greedy_decode`).
        """
        log_probs_SV = check_log_probs(
            log_probs_SV, vocabulary=self._vocabulary, step_seconds=self._step_seconds, blank_id=BLANK_ID
        )
        # Summing to 1 in double precision, so that what is certain to seven digits can be told from what is not.
        probs_SV = np.exp(np.asarray(log_probs_SV, np.float64))
        probs_SV /= np.maximum(probs_SV.sum(axis=1, keepdims=True), _LEAST)
        said_SK = np.empty((len(probs_SV), len(self.keywords)))
        for step, probs_SKZ in enumerate(probs_SV[:, self._label_KZ]):
            said_SK[step] = self._advance(probs_SKZ)
        said_SK = np.clip(said_SK, _LEAST, 1.0)
        return np.log(said_SK) - np.log(np.maximum(1.0 - said_SK, _LEAST))

    def _advance(self, probs_KZ: np.ndarray) -> np.ndarray:
        """The probability of each keyword after one more step."""
        before_DKZ = self._paths_DKZ
        after_DKZ = before_DKZ.copy()
        after_DKZ[..., 1:] += before_DKZ[..., :-1] * self._moves_KZ[:, 1:]
        after_DKZ[..., 2:] += before_DKZ[..., :-2] * self._skips_KZ[:, 2:]
        after_DKZ *= probs_KZ
        # The oldest beginning leaves the window. A keyword begins here where its first label was not there before:
        # else it began earlier, and would be counted twice.
        newest = self._num_steps % self._window_steps
        after_DKZ[newest] = 0.0
        after_DKZ[newest, :, 0] = probs_KZ[:, 0] * (1.0 - self._first_before_K)
        self._first_before_K = probs_KZ[:, 0]
        self._paths_DKZ = after_DKZ
        self._num_steps += 1
        return (after_DKZ.sum(axis=0) * self._ends_KZ).sum(axis=1)


class KeywordSpotter:
    """Reports each keyword once when it is said, in steps that come piece by piece.

    A keyword is reported at the first step at which its score reaches its threshold. The same keyword is reported again
    when `refractory_seconds` have passed and its score has been below the threshold since.

    Args:
        thresholds: by keyword, the least log-odds (`KeywordScorer`) that count as said.
        vocabulary: as for `KeywordScorer`.
        step_seconds: as for `KeywordScorer`.
        window_seconds: as for `KeywordScorer`.
        refractory_seconds: the least time between two reports of a keyword.
        names: what reports call a keyword that is written otherwise, by what is written.

    Raises:
        UserError: as `KeywordScorer`; or a threshold is not a number, or `refractory_seconds` not a positive one.
        TextError: as `KeywordScorer`.

    Example:
        >>> spotter = KeywordSpotter({"on": 0.0}, vocabulary=Vocabulary(["off", "on"], unit="word"), step_seconds=0.04)
        >>> spotter.feed(np.log([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.9, 0.05, 0.05]]))
        [Detection(keyword='on', seconds=0.08, score=1.45...)]
    """

    def __init__(
        self,
        thresholds: Mapping[str, float],
        *,
        vocabulary: Vocabulary,
        step_seconds: float,
        window_seconds: float = WINDOW_SECONDS,
        refractory_seconds: float = REFRACTORY_SECONDS,
        names: Mapping[str, str] | None = None,
    ):
        for keyword, threshold in thresholds.items():
            if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or math.isnan(threshold):
                raise UserError(f"the threshold of the keyword {keyword!r} must be a number, got {threshold!r}")
        _require_seconds("refractory_seconds", refractory_seconds)
        self._scorer = KeywordScorer(
            tuple(thresholds), vocabulary=vocabulary, step_seconds=step_seconds, window_seconds=window_seconds
        )
        self.keywords = tuple((names or {}).get(keyword, keyword) for keyword in thresholds)
        self._threshold_K = np.array(list(thresholds.values()), np.float64)
        self._step_seconds = step_seconds
        self._pause_steps = math.ceil(refractory_seconds / step_seconds)
        self._ready_K = np.ones(len(thresholds), bool)
        self._next_K = np.zeros(len(thresholds), np.int64)  # the first step at which it may be reported again

    def feed(self, log_probs_SV: np.ndarray) -> list[Detection]:
        """Reports the keywords that are said in the next steps, in the order of their times.

        Args:
            log_probs_SV: as for `KeywordScorer.feed`.

        Raises:
            ValueError: as `KeywordScorer.feed`.
        """
        first, found = self._scorer.num_steps, []
        scores_SK = self._scorer.feed(log_probs_SV)
        for step, scores_K in enumerate(scores_SK, start=first):
            is_over_K = scores_K >= self._threshold_K
            for place in np.flatnonzero(is_over_K & self._ready_K & (step >= self._next_K)):
                seconds = round((step + 1) * self._step_seconds, 6)
                found.append(Detection(self.keywords[place], seconds, float(scores_K[place])))
                self._next_K[place] = step + self._pause_steps
            self._ready_K = ~is_over_K
        return found


def peaks_above(scores_S: np.ndarray, *, pause_steps: int, least: float) -> list[int]:
    """The steps of the highest scores, each at least `pause_steps` from every higher one.

    What a spotter of each threshold would report, about: at a threshold below a peak, once; so that one pass over a
    stream gives the false accepts of all thresholds.

    Args:
        scores_S: of one keyword.
        pause_steps: steps from one report to the next, at least.
        least: peaks below are left out.

    Returns:
        The steps, in order.

    >>> peaks_above(np.array([0.0, 3.0, 2.0, -1.0, 1.0]), pause_steps=2, least=0.0)
    [1, 4]
    """
    is_free_S = scores_S >= least
    places = np.flatnonzero(is_free_S)
    peaks = []
    for place in places[np.argsort(-scores_S[places], kind="stable")].tolist():
        if is_free_S[place]:
            peaks.append(place)
            is_free_S[max(0, place - pause_steps + 1) : place + pause_steps] = False
    return sorted(peaks)


def _require_seconds(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise UserError(f"{name} must be a positive number of seconds, got {value!r}")
