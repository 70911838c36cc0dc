"""Before and after: error rates with intervals, on the person and on everybody else, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from speechgru import metrics
from speechgru.utterances.examination import Examined


def record_of_texts(
    name: str, recordings: Sequence[Examined], hypotheses: Sequence[str], *, sample_rate: int
) -> dict[str, Any]:
    """Error rates of texts against their references, as the JSON-ready record that pages of scores show.

    Args:
        name: the evaluation's.
        recordings: what was recognised.
        hypotheses: the texts, one each.
        sample_rate: Hz, of the recordings' `num_samples`.

    Returns:
        Those fields of `speechgru.scoring.score` that texts alone give.
    """
    pairs = [(examined.text, text) for examined, text in zip(recordings, hypotheses, strict=True)]
    words = [metrics.word_errors(*pair) for pair in pairs]
    total = metrics.total(words)
    durations = [examined.num_samples / sample_rate for examined in recordings]
    return {
        "name": name,
        "num_utterances": len(pairs),
        "audio_seconds": sum(durations),
        "wer": total.rate,
        "wer_interval": _listed(metrics.error_interval(words)),
        "cer": metrics.total(metrics.character_errors(*pair) for pair in pairs).rate,
        "sentence_error_rate": metrics.sentence_error_rate(words),
        "words": total.reference_length,
        "substitutions": total.substitutions,
        "insertions": total.insertions,
        "deletions": total.deletions,
        "utterances": [
            {
                "utterance_id": examined.utterance.utterance_id,
                "audio_filepath": examined.utterance.audio_filepath,
                "offset": examined.utterance.offset,
                "channel": examined.utterance.channel,
                "duration": duration,
                "speaker": examined.utterance.speaker,
                "reference": reference,
                "hypothesis": hypothesis,
                "word_errors": errors.errors,
                "words": errors.reference_length,
            }
            for examined, duration, (reference, hypothesis), errors in zip(
                recordings, durations, pairs, words, strict=True
            )
        ],
    }


def compare(before: Mapping[str, Any], after: Mapping[str, Any] | None) -> dict[str, Any]:
    """Two evaluations of the same utterances, with the interval of the change.

    Args:
        before: a record with `utterances`.
        after: another of the same, None where there is nothing to compare with.

    Returns:
        `before`, `after`, and `change_interval`: at 95 %, of the WER after less the WER before.
    """
    change = None
    if after is not None:
        change = _listed(metrics.paired_interval(_counts(before), _counts(after)))
    return {"before": before, "after": after, "change_interval": change}


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _counts(record: Mapping[str, Any]) -> list[metrics.ErrorCounts]:
    return [metrics.word_errors(each["reference"], each["hypothesis"]) for each in record["utterances"]]


def why_not_better_for_the_person(comparison: Mapping[str, Any], steps: int) -> list[str]:
    """Why the person is not served better, in sentences; none where they are.

    Args:
        comparison: of the recordings held out.
        steps: the length that was chosen.
    """
    before, after = comparison["before"]["wer"], comparison["after"]["wer"]
    if not steps:
        return [
            f"no length of training makes fewer word errors on recordings held out than none at all (WER {before:.2%})"
        ]
    if after >= before:
        return [
            f"on recordings held out, at the length that the other folds chose, the WER is {after:.2%}, and was "
            f"{before:.2%} before"
        ]
    return []


def is_too_much_worse(after: float, before: float, max_forgetting: float) -> bool:
    """Whether a WER of the general set has risen by more than is allowed, all three fractions.

    >>> is_too_much_worse(0.03, 0.02, 0.01), is_too_much_worse(0.031, 0.02, 0.01)
    (False, True)
    """
    return after - before > max_forgetting + 1e-12


def why_not_better_in_general(comparison: Mapping[str, Any], max_forgetting: float) -> list[str]:
    """Why everybody else is served too much worse, in sentences; none where they are not.

    Args:
        comparison: of the general set.
        max_forgetting: how much higher its WER may be, absolute.
    """
    before, after = comparison["before"]["wer"], comparison["after"]["wer"]
    if is_too_much_worse(after, before, max_forgetting):
        return [
            f"the WER on the general set rises from {before:.2%} to {after:.2%}, by more than the "
            f"{100 * max_forgetting:g} percentage points allowed"
        ]
    return []
