"""CTC prefix beam search: the most probable texts, not the most probable path."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from speechgru.decoding.alignment import align
from speechgru.decoding.choices import Pruning
from speechgru.decoding.greedy import BestPath
from speechgru.decoding.hotwords import HOTWORD_BOOST, Hotwords
from speechgru.decoding.hypothesis import NOTHING_ALLOWED, Hypothesis, check_log_probs, dress_labels, peaks_of
from speechgru.decoding.margin import margin_of
from speechgru.decoding.phrases import Phrases
from speechgru.decoding.rescoring import rescored_ends
from speechgru.decoding.scorers import PrefixScorer, Scorer, compile_together
from speechgru.decoding.search import BeamSearch
from speechgru.errors import UserError
from speechgru.text import BLANK_ID, Vocabulary


def beam_decode(
    log_probs_SV: np.ndarray,
    *,
    vocabulary: Vocabulary,
    step_seconds: float,
    beam_width: int = 16,
    n_best: int = 1,
    hotwords: Mapping[str, float] | Sequence[str] = (),
    hotword_boost: float = HOTWORD_BOOST,
    phrases: Phrases | Sequence[str] | None = None,
    scorers: Sequence[Scorer | PrefixScorer] = (),
    pruning: Pruning | None = None,
    threshold: float | None = None,
    rescorers: Sequence[Scorer | PrefixScorer] = (),
    blank_penalty: float = 0.0,
    blank_id: int = BLANK_ID,
) -> list[Hypothesis]:
    """Finds the texts with the highest scores.

    The score of a text (its labels) is

        log(sum over all paths that spell it of the path's probability)
        + sum over the hotwords h of boost(h) * count(h)      # see HotwordScorer: whole words, overlaps all count
        + the changes of `scorers`
        + minus infinity where `phrases` do not allow it,

    each blank of a path counting `blank_penalty` less.

    The search keeps the `beam_width` best prefixes a step, each with the two sums over its paths that end with a
    blank and with its last label, in double precision. A prefix's sums lack the paths through prefixes that were not
    kept; where no prefix was ever dropped the scores are exact. Equal scores go to the shorter text and then to the
    lower label at the first difference; the result is the same on every run. Source: Graves and Jaitly 2014, "Towards
    End-to-End Speech Recognition with Recurrent Neural Networks", algorithm 1; Hannun et al. 2014, "First-Pass Large
    Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs", algorithm 1.

    Times and confidences are those of the best path of the labels found (`align`): where it is the best path of all,
    they equal greedy decoding's.

    Args:
        log_probs_SV: natural-log probabilities, one row a step, one column a label; the steps of the utterance only.
        vocabulary: the characters or words of the columns.
        step_seconds: seconds from one step to the next.
        beam_width: how many prefixes to keep a step.
        n_best: how many hypotheses to return at most.
        hotwords: phrases to prefer, each with the boost that one occurrence adds to the score (natural logarithm: 2.3
            makes a text ten times as probable; below 0 it is avoided), or phrases alone.
        hotword_boost: the boost of phrases given alone.
        phrases: the only texts that are allowed; texts alone are `Phrases(texts)`, one of them. A beam as wide as
            the list has beginnings drops none and is exact; a narrow one may prefer a wrong text that is spelt later.
        scorers: whatever else scores prefixes, such as a language model.
        pruning: what else to leave out; nothing when None.
        threshold: the least margin at which a text that was found under a constraint, such as phrases, is accepted;
            None says of none whether it is.
        rescorers: what scores the texts with which the search ends, all of its beam, before the best are given back: as
            `scorers`, for what is too slow to be asked at every step.
        blank_penalty: natural logarithm that is taken off the blank at every step, 0 or more. Times, confidences and
            margins are those without it.
        blank_id: the blank's column; the entries fill the others in order.

    Returns:
        Up to `n_best` hypotheses, the best first. Their labels differ, their texts may be equal: labels count every
        space. Where labels are subwords, what spells a text in several ways is one hypothesis: its score and posterior
        are of all of them that the beam ends with, the rest is of the best. At least one: where nothing allowed can be
        spelt in these steps, a hypothesis without text, with the score minus infinity and confidence and posterior 0.

    Raises:
        ValueError: the log-probabilities do not fit (as in `greedy_decode`), `beam_width` or `n_best` is out of
            range, `phrases` come with a pruning that could forbid them, or a scorer breaks its promises.
        TextError: a hotword or phrase is empty or holds a character or word that the vocabulary lacks.

    Example:
        >>> log_probs_SV = np.log([[0.6, 0.4], [0.6, 0.4]])  # "a" has three paths, the empty text one
        >>> beam_decode(log_probs_SV, vocabulary=Vocabulary(["a"]), step_seconds=0.04)[0].text
        'a'
    """
    log_probs_SV = check_log_probs(log_probs_SV, vocabulary=vocabulary, step_seconds=step_seconds, blank_id=blank_id)
    asked: list[Scorer] = []
    if phrases is not None:
        asked.append(phrases if isinstance(phrases, Phrases) else Phrases(phrases))
    boosted = Hotwords(hotwords, boost=hotword_boost)
    if boosted:
        asked.append(boosted)
    search = beam_search(
        vocabulary,
        beam_width=beam_width,
        n_best=n_best,
        scorers=[*asked, *scorers],
        pruning=pruning,
        blank_penalty=blank_penalty,
        blank_id=blank_id,
    )
    search.feed(log_probs_SV, steps_after=0)
    best_path = BestPath(blank_id=blank_id)
    best_path.feed(log_probs_SV)
    return dress_ends(
        search,
        log_probs_SV,
        best_path=best_path,
        n_best=n_best,
        vocabulary=vocabulary,
        step_seconds=step_seconds,
        threshold=threshold,
        rescorers=rescorers,
    )


def beam_search(
    vocabulary: Vocabulary,
    *,
    beam_width: int,
    n_best: int,
    scorers: Iterable[Scorer | PrefixScorer],
    pruning: Pruning | None,
    blank_penalty: float = 0.0,
    blank_id: int,
) -> BeamSearch:
    """The search at its start, once everything that `beam_decode` needs of these is true."""
    if beam_width < 1:
        raise ValueError(f"beam_width must be at least 1, got {beam_width}")
    if not 1 <= n_best <= beam_width:
        raise ValueError(f"n_best must be 1 to beam_width ({beam_width}), got {n_best}; a beam ends with no more texts")
    if not 0.0 <= blank_penalty < math.inf:
        raise ValueError(f"blank_penalty must be 0 or more, and finite, got {blank_penalty}")
    pruning = pruning or Pruning()
    scorer = compile_together(scorers, vocabulary, blank_id=blank_id)
    if scorer is not None and scorer.is_constraint and pruning.drops_labels:
        raise UserError(
            "token_log_prob and blank_log_prob would leave out labels that an allowed text needs; with phrases or "
            "another scorer that forbids texts give neither"
        )
    return BeamSearch(
        num_columns=len(vocabulary),
        beam_width=beam_width,
        scorer=scorer,
        pruning=pruning,
        blank_penalty=blank_penalty,
        blank_id=blank_id,
    )


def dress_ends(
    search: BeamSearch,
    log_probs_SV: np.ndarray,
    *,
    best_path: BestPath,
    n_best: int,
    vocabulary: Vocabulary,
    step_seconds: float,
    start_seconds: float = 0.0,
    threshold: float | None = None,
    rescorers: Iterable[Scorer | PrefixScorer] = (),
) -> list[Hypothesis]:
    """Dresses what a search ended with (`BeamSearch.ends`): the `n_best` best, with times from `align`.

    Args:
        search: has been fed with all steps.
        log_probs_SV: all steps of the utterance.
        best_path: the best path through them.
        n_best: how many hypotheses to return at most.
        vocabulary: the characters or words of the columns.
        step_seconds: seconds from one step to the next.
        start_seconds: when the first step begins.
        threshold: see `beam_decode`.
        rescorers: see `beam_decode`.
    """
    ends = search.ends()
    rescorer = compile_together(rescorers, vocabulary, blank_id=best_path.blank_id)
    if rescorer is not None:
        ends = rescored_ends(ends, rescorer)
    if vocabulary.unit == "subword":
        ends = _together(ends, vocabulary, blank_id=best_path.blank_id)
    least = threshold if search.is_constrained else None
    if not ends:
        return [dataclasses.replace(NOTHING_ALLOWED, accepted=False if least is not None else None)]
    best = ends[0][0]
    total = best + math.log(math.fsum(math.exp(score - best) for score, _ in ends))
    hypotheses = []
    for score, labels in ends[:n_best]:
        if labels == best_path.labels:  # that is their alignment, without the search for it
            spans, peaks = best_path.spans, best_path.peaks
        else:
            spans = align(log_probs_SV, labels, blank_id=best_path.blank_id, best_path=best_path)
            peaks = peaks_of(log_probs_SV, labels, spans)
        hypothesis = dress_labels(
            labels,
            spans=spans,
            peaks=peaks,
            blank_mean=best_path.blank_mean,
            score=score,
            vocabulary=vocabulary,
            step_seconds=step_seconds,
            start_seconds=start_seconds,
            blank_id=best_path.blank_id,
            posterior=math.exp(score - total),
        )
        if search.is_constrained and hypothesis.words:
            margin = margin_of(log_probs_SV, labels, spans, blank_id=best_path.blank_id)
            hypothesis = dataclasses.replace(hypothesis, margin=margin)
        if least is not None:
            is_accepted = hypothesis.margin is not None and hypothesis.margin >= least
            hypothesis = dataclasses.replace(hypothesis, accepted=is_accepted)
        hypotheses.append(hypothesis)
    return hypotheses


def _together(
    ends: Iterable[tuple[float, tuple[int, ...]]], vocabulary: Vocabulary, *, blank_id: int
) -> list[tuple[float, tuple[int, ...]]]:
    """The ends by their texts: of each the sum of all exponentiated scores, and the labels of the best."""
    by_text: dict[str, list[tuple[float, tuple[int, ...]]]] = {}
    for score, labels in ends:  # the best first
        text = vocabulary.decode(label + (label < blank_id) for label in labels)
        by_text.setdefault(text, []).append((score, labels))
    found = []
    for same in by_text.values():
        best, labels = same[0]
        found.append((best + math.log(math.fsum(math.exp(score - best) for score, _ in same)), labels))
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))
