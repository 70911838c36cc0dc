"""Where an error rate may lie, given how little was scored.

Three sources of doubt have an interval each. Which utterances were drawn: resampling them (`bootstrap_interval`). How
few errors there are: the counts themselves (`share_interval` of cases, `rate_interval` of events). `error_interval`
knows both, and is what records and pages show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from speechgru.metrics.error_rates import ErrorCounts, require_utterances, total

#: Half of what a 95 % interval leaves out, and the normal distribution's 97.5 %.
_TAIL, _Z = 0.025, 1.959964
#: Resampled utterances held in memory at once by the bootstrap.
_BOOTSTRAP_BLOCK = 4_000_000


def error_interval(
    counts: Sequence[ErrorCounts], *, num_samples: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """Where the error rate of a corpus may lie at 95 %, be it of three utterances or without an error.

    Resampling shows how much the rate depends on the utterances that were drawn, and knows nothing of what was never
    seen: without an error, or of one utterance, it is a point. The interval of the counts, each word a case of its own,
    knows that, and takes words that are wrong together for independent. Each end is the outer one of the two.

    Args:
        counts: one entry an utterance.
        num_samples: resampled corpora.
        seed: the same seed gives the same interval.

    Returns:
        The lower and the upper end, as fractions; None where no reference holds a word.

    Raises:
        ValueError: there is no utterance, or a setting is out of range.

    Example:
        >>> low, high = error_interval([ErrorCounts(reference_length=11)] * 2)
        >>> low, round(high, 4)
        (0.0, 0.1487)
    """
    drawn = bootstrap_interval(counts, num_samples=num_samples, seed=seed)
    if drawn is None:
        return None
    whole = total(counts)
    if whole.errors <= whole.reference_length:
        counted = share_interval(whole.errors, whole.reference_length)
    else:  # more errors than words are no share of them
        counted = rate_interval(whole.errors, whole.reference_length)
    return min(drawn[0], counted[0]), max(drawn[1], counted[1])


def bootstrap_interval(
    counts: Sequence[ErrorCounts], *, confidence: float = 0.95, num_samples: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """How far the corpus error rate might have fallen with other utterances of the same kind.

    Draws as many utterances as there are, with replacement, `num_samples` times, and takes the percentiles of the
    corpus rates. A draw in which no reference holds a word has no rate and does not count. Utterances count as
    independent: with few speakers the truth is wider. A corpus without any error gives (0, 0), which says that it is
    too small or too easy, not that the model never errs: see `error_interval`. Source: Bisani and Ney 2004, "Bootstrap
    estimates for confidence intervals in ASR performance evaluation".

    Args:
        counts: one entry an utterance.
        confidence: the share of resampled rates inside the interval, between 0 and 1.
        num_samples: resampled corpora.
        seed: the same seed gives the same interval.

    Returns:
        The lower and the upper end, as fractions; None where no reference holds a word.

    Raises:
        ValueError: there is no utterance, or a setting is out of range.
    """
    require_utterances(counts)
    errors_U, words_U = _errors_and_lengths(counts)
    rates = [_rates(errors_U, words_U, drawn) for drawn in _resamples(len(counts), confidence, num_samples, seed)]
    return _percentiles(np.concatenate(rates), confidence)


def paired_interval(
    before: Sequence[ErrorCounts],
    after: Sequence[ErrorCounts],
    *,
    confidence: float = 0.95,
    num_samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """How far the change of the corpus error rate between two recognisers might have been another, on other utterances.

    The same drawn utterances are counted for both, so that what is hard for both cancels out: the interval is
    narrower than those of the two rates suggest. One that does not reach 0 is a change that chance alone explains
    poorly. Source: Bisani and Ney 2004, section 4 ("probability of improvement").

    Args:
        before: one entry an utterance.
        after: the other recogniser's, of the same utterances in the same order.
        confidence: the share of resampled changes inside the interval, between 0 and 1.
        num_samples: resampled corpora.
        seed: the same seed gives the same interval.

    Returns:
        The lower and the upper end of the rate after less the rate before, as fractions: below 0 is better. None where
        no reference holds a word.

    Raises:
        ValueError: there is no utterance, the two differ in their references' lengths, or a setting is out of range.
    """
    require_utterances(before)
    (errors_U, words_U), (errors_after_U, words_after_U) = map(_errors_and_lengths, (before, after))
    if not np.array_equal(words_U, words_after_U):
        raise ValueError("a paired interval compares the same utterances in the same order, and these differ in length")
    changes = [
        _rates(errors_after_U, words_U, drawn) - _rates(errors_U, words_U, drawn)
        for drawn in _resamples(len(before), confidence, num_samples, seed)
    ]
    return _percentiles(np.concatenate(changes), confidence)


def _errors_and_lengths(counts: Sequence[ErrorCounts]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([count.errors for count in counts], np.int64),
        np.array([count.reference_length for count in counts], np.int64),
    )


def _resamples(num_utterances: int, confidence: float, num_samples: int, seed: int) -> Iterator[np.ndarray]:
    """Places of utterances drawn with replacement, a row a resampled corpus, in blocks that memory holds.

    Raises:
        ValueError: a setting is out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95, got {confidence}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be 1 or more, got {num_samples}")
    generator = np.random.default_rng(seed)
    block = max(1, _BOOTSTRAP_BLOCK // num_utterances)
    for start in range(0, num_samples, block):
        yield generator.integers(num_utterances, size=(min(block, num_samples - start), num_utterances))


def _rates(errors_U: np.ndarray, words_U: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The error rate of each resampled corpus; NaN of one in which no reference holds a word."""
    errors, words = errors_U[drawn].sum(axis=1), words_U[drawn].sum(axis=1)
    return np.where(words > 0, errors / np.maximum(words, 1), np.nan)


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float] | None:
    """The ends of the middle share of the values that are numbers; None where there is none."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    tail = (1 - confidence) / 2
    return (  # whole samples, outwards
        float(np.quantile(values, tail, method="lower")),
        float(np.quantile(values, 1 - tail, method="higher")),
    )


def share_interval(count: int, total: int) -> tuple[float, float]:
    """Where a share may lie at 95 %, when `count` of `total` independent cases had it; also for none and for all.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Raises:
        ValueError: there is no case, or more cases had it than there are.
    """
    if not 0 <= count <= total or not total:
        raise ValueError(f"a share needs 1 case or more, and no more that have it, got {count} of {total}")
    z, share = _Z, count / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))  # rounding passes 0 and 1


def rate_interval(count: int, exposure: float) -> tuple[float, float]:
    """Where a rate of rare events may lie at 95 %, when `count` of them came in an exposure such as hours.

    Events count as independent (Poisson). Source: Garwood 1936, "Fiducial limits for the Poisson distribution".

    Raises:
        ValueError: the count is below 0, or there was no exposure.

    Example:
        >>> [round(end, 2) for end in rate_interval(0, 1.0)]
        [0.0, 3.69]
    """
    if count < 0 or not exposure > 0:
        raise ValueError(f"a rate needs a count of 0 or more and an exposure above 0, got {count} in {exposure}")

    def solve(is_too_low: bool) -> float:
        """The mean at which `count` or more (or: or fewer) events have the probability of a tail, by bisection."""
        low, high = 0.0, count + 10.0 * math.sqrt(count + 1.0) + 10.0
        while high - low > 1e-9 * high:
            middle = (low + high) / 2
            if is_too_low:
                is_below = 1 - _poisson_at_most(count - 1, middle) < _TAIL
            else:
                is_below = _poisson_at_most(count, middle) > _TAIL
            low, high = (middle, high) if is_below else (low, middle)
        return high

    return solve(True) / exposure if count else 0.0, solve(False) / exposure


def _poisson_at_most(count: int, mean: float) -> float:
    """The probability of at most `count` events where `mean` are expected."""
    if count < 0 or not mean:
        return float(count >= 0)
    number = np.arange(count + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(number[1:]))])
    return float(np.exp(number * math.log(mean) - mean - log_factorials).sum())
