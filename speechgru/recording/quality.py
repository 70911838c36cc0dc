"""Whether a recording of a prompt is good enough to keep: judged at once, while the person is still there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechgru.config.sections import RunConfig
from speechgru.text import Vocabulary
from speechgru.utterances.case import Case, decibels
from speechgru.utterances.examination import judge_alone
from speechgru.utterances.manifest import Utterance
from speechgru.utterances.measurement import Measurement, measure_samples

#: A recording whose loudest sample is below this is too quiet, dB of full scale: 16 bits hold it, most rooms' noise
#: does not stay below it.
QUIET_BELOW_DB = -30.0
#: Seconds at each end that should hold no speech, and how far below the loudest moment they then are, dB.
_EDGE_SECONDS, _EDGE_BELOW_DB = 0.04, 14.0
#: A prompt of N words read slowly takes at most this: seconds around, and for each word.
_SECONDS_AROUND, _SECONDS_A_WORD = 3.0, 1.5


@dataclass(frozen=True)
class Quality:
    """What was found of a recording.

    Args:
        seconds: its length.
        peak_db: its loudest sample, dB of full scale.
        problems: why nobody could learn from it, in sentences.
        suspicions: what else is wrong with it; it can be kept all the same.
    """

    seconds: float
    peak_db: float
    problems: tuple[str, ...]
    suspicions: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems and not self.suspicions


def judge_recording(
    samples_N: np.ndarray,
    sample_rate: int,
    text: str,
    *,
    name: str = "the recording",
    config: RunConfig | None = None,
) -> Quality:
    """Measures a recording and judges it by the rules of `speechgru check`, and by what only its speaker can mend.

    Args:
        samples_N: float32 in [-1, 1].
        sample_rate: Hz.
        text: what was to be read.
        name: what messages begin with.
        config: limits and levels; the defaults when None.

    >>> quality = judge_recording(np.zeros(16000, np.float32), 16000, "turn on the light")
    >>> quality.is_good, len(quality.problems)
    (False, 1)
    """
    config = config or RunConfig()
    found = Measurement(source_rate=sample_rate, num_channels=1, format="samples")
    measurement = measure_samples(samples_N, found, sample_rate=config.data.sample_rate)
    utterance = Utterance(name, len(samples_N) / sample_rate, text)
    normalized = config.text.normalize(text)
    vocabulary = Vocabulary.from_texts([normalized]) if normalized else Vocabulary("a")
    case = Case(utterance, normalized, measurement, config, vocabulary)
    judgement = judge_alone(case)
    problems = tuple(problem.message for problem in [judgement.problem] if problem is not None)
    suspicions = [suspicion.message for suspicion in judgement.suspicions]
    if not problems:
        found_here = (*_level(case), *_length(case), *_edges(samples_N, sample_rate))
        suspicions += [f"{name}: {message}" for message in found_here]
    peak_db = decibels(measurement.peak or 0.0)
    return Quality(utterance.duration, peak_db, problems, tuple(suspicions))


def _level(case: Case) -> list[str]:
    if case.peak_db >= QUIET_BELOW_DB:
        return []
    return [
        f"is quiet (its loudest sample is at {case.peak_db:.0f} dB, wanted are {QUIET_BELOW_DB:g} or more); come "
        "closer, or turn the microphone up"
    ]


def _length(case: Case) -> list[str]:
    most = _SECONDS_AROUND + _SECONDS_A_WORD * len(case.text.split())
    if case.seconds <= most:
        return []
    return [f"is {case.seconds:.1f} s long for {case.text!r}; stop the recording soon after the last word"]


def _edges(samples_N: np.ndarray, sample_rate: int) -> list[str]:
    """Whether speech was going on when the recording began or ended."""
    length = max(1, round(_EDGE_SECONDS * sample_rate))
    count = len(samples_N) // length
    if count < 3:
        return []
    frames = samples_N[: count * length].reshape(count, length).astype(np.float64)
    rms = np.sqrt(np.mean((frames - samples_N.mean(dtype=np.float64)) ** 2, axis=1))
    limit = decibels(float(rms.max())) - _EDGE_BELOW_DB
    last = samples_N[-length:].astype(np.float64)
    last_rms = np.sqrt(np.mean((last - last.mean()) ** 2))
    ends = (
        ("begins in the middle of speech; wait a moment before the first word", rms[0]),
        ("ends in the middle of speech; wait a moment after the last word", last_rms),
    )
    return [message for message, level in ends if decibels(float(level)) > limit]
