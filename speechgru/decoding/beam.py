"""CTC prefix beam search: the most probable texts, not the most probable path."""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappush, heapreplace
from operator import itemgetter

import numpy as np

from speechgru.decoding.alignment import align
from speechgru.decoding.greedy import label_runs
from speechgru.decoding.hotwords import HOTWORD_BOOST, compile_hotwords, hotword_boosts
from speechgru.decoding.hypothesis import Hypothesis, check_log_probs, dress_labels
from speechgru.decoding.phrases import Phrases, compile_phrases
from speechgru.decoding.scorers import JointScorer, PrefixScorer
from speechgru.text import BLANK_ID, Vocabulary

_NEVER = -math.inf
_LOWEST = -sys.float_info.max  # below every score but that of the impossible
_NEGLIGIBLE = -40.0  # exp of it is below a double's rounding


@dataclass(frozen=True)
class Pruning:
    """What a beam search may leave out beside all but the `beam_width` best prefixes; by default nothing.

    Args:
        token_log_prob: at a step, labels whose log-probability is lower count as impossible, the blank like the
            others, but never the step's best.
        beam_log_prob: prefixes whose score is lower than the best one's by more than this (a number below 0) are
            dropped.
        blank_log_prob: steps whose blank has at least this log-probability count as blank alone. That takes at most
            the sum of 1 - p(blank) over these steps from any text's probability; with log(0.9999) at most 0.0001 a
            step.
    """

    token_log_prob: float | None = None
    beam_log_prob: float | None = None
    blank_log_prob: float | None = None

    def __post_init__(self):
        for name in ("token_log_prob", "beam_log_prob", "blank_log_prob"):
            value = getattr(self, name)
            if value is not None and not value <= 0:
                raise ValueError(f"{name} must be a natural logarithm of at most 0, or None for no limit, got {value}")


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
    scorers: Sequence[PrefixScorer] = (),
    pruning: Pruning | None = None,
    blank_id: int = BLANK_ID,
) -> list[Hypothesis]:
    """Finds the texts with the highest scores.

    The score of a text (its labels) is

        log(sum over all paths that spell it of the path's probability)
        + sum over the hotwords h of boost(h) * count(h)      # see HotwordScorer: whole words, overlaps all count
        + the changes of `scorers`
        + minus infinity where `phrases` do not allow it.

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
        blank_id: the blank's column; the entries fill the others in order.

    Returns:
        Up to `n_best` hypotheses, the best first. Their labels differ, their texts may be equal: labels count every
        space. At least one: where nothing allowed can be spelt in these steps, a hypothesis without text, with the
        score minus infinity and confidence and posterior 0.

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
    if beam_width < 1:
        raise ValueError(f"beam_width must be at least 1, got {beam_width}")
    if not 1 <= n_best <= beam_width:
        raise ValueError(f"n_best must be 1 to beam_width ({beam_width}), got {n_best}; a beam ends with no more texts")
    pruning = pruning or Pruning()
    if phrases is not None and (pruning.token_log_prob is not None or pruning.blank_log_prob is not None):
        raise ValueError(
            "token_log_prob and blank_log_prob would leave out labels that a phrase needs; with phrases give neither"
        )
    scorer = prefix_scorer(
        vocabulary,
        hotwords=hotwords,
        hotword_boost=hotword_boost,
        phrases=phrases,
        scorers=scorers,
        blank_id=blank_id,
    )
    found = _search(log_probs_SV, beam_width=beam_width, scorer=scorer, pruning=pruning, blank_id=blank_id)
    if not found:
        return [Hypothesis(score=_NEVER, confidence=0.0, posterior=0.0)]

    greedy_runs = label_runs(log_probs_SV.argmax(axis=1), blank_id=blank_id) if len(log_probs_SV) else []
    greedy_labels = tuple(label for label, _, _ in greedy_runs)
    best = found[0][0]
    total = best + math.log(math.fsum(math.exp(score - best) for score, _ in found))
    hypotheses = []
    for score, labels in found[:n_best]:
        if labels == greedy_labels:  # the best path of all spells them: that is their alignment, without the search
            spans = [(start, end) for _, start, end in greedy_runs]
        else:
            spans = align(log_probs_SV, labels, blank_id=blank_id)
        hypotheses.append(
            dress_labels(
                log_probs_SV,
                labels=labels,
                spans=spans,
                score=score,
                vocabulary=vocabulary,
                step_seconds=step_seconds,
                blank_id=blank_id,
                posterior=math.exp(score - total),
            )
        )
    return hypotheses


def prefix_scorer(
    vocabulary: Vocabulary,
    *,
    hotwords: Mapping[str, float] | Sequence[str],
    hotword_boost: float,
    phrases: Phrases | Sequence[str] | None,
    scorers: Sequence[PrefixScorer],
    blank_id: int,
) -> PrefixScorer | None:
    """The one scorer that all of these are together, or None where there is nothing to score."""
    together: list[PrefixScorer] = []
    if phrases is not None:
        allowed = phrases if isinstance(phrases, Phrases) else Phrases(phrases)
        together.append(compile_phrases(allowed, vocabulary, blank_id))
    boosts = hotword_boosts(hotwords, boost=hotword_boost)
    if boosts:
        together.append(compile_hotwords(boosts, vocabulary, blank_id))
    together += scorers
    if len(together) > 1:
        return JointScorer(together)
    return together[0] if together else None


class _Asked:
    """A scorer's answers, each asked for once; states are numbered in the order in which they come up.

    Args:
        scorer: the scorer, or None to score nothing.
    """

    def __init__(self, scorer: PrefixScorer):
        self._scorer = scorer
        self._number: dict[Hashable, int] = {}
        self._states: list[Hashable] = []
        self.moves: list[dict[int, tuple[int, float]]] = []  # of a state: label -> state after it, change
        self.needs: list[tuple[int, int]] = []
        self._number_of(scorer.start())  # number 0

    def _number_of(self, state: Hashable) -> int:
        number = self._number.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
            self.moves.append({})
            self.needs.append(self._scorer.steps_needed(state))
        return number

    def extend(self, number: int, label: int) -> tuple[int, float]:
        """The number of the state after one more label (-1 where that is forbidden) and the change."""
        state, change = self._scorer.extend(self._states[number], label)
        if not change <= self._scorer.max_change or change == math.inf:
            raise ValueError(
                f"{type(self._scorer).__name__}.extend changed the score by {change} at label {label}; it must be a "
                f"number of at most its max_change, {self._scorer.max_change}, and not infinite"
            )
        move = (-1 if change == _NEVER else self._number_of(state), change)
        self.moves[number][label] = move
        return move

    def finish(self, number: int) -> float:
        """The change where a text ends in this state."""
        change = self._scorer.finish(self._states[number])
        if not change < math.inf:
            raise ValueError(f"{type(self._scorer).__name__}.finish must return a number below infinity, got {change}")
        return change


def _search(
    log_probs_SV: np.ndarray, *, beam_width: int, scorer: PrefixScorer | None, pruning: Pruning, blank_id: int
) -> list[tuple[float, tuple[int, ...]]]:
    """The scores and labels of all prefixes that the beam holds at the end and that may end, the best first.

    Plain Python beats NumPy here, because few candidates need a look. A prefix gives itself and itself with one more
    label. Those with one more label meet nothing but a prefix of the beam: they have one mother. So the prefixes of
    the beam come first, and their ranks are a limit that the rest must reach; it rises with each that does. Prefixes
    and labels are sorted, so the loops end at the first that cannot.
    """
    num_steps, num_columns = log_probs_SV.shape
    log_probs_SV = log_probs_SV.astype(np.float64)
    if pruning.token_log_prob is not None and log_probs_SV.size:
        possible_SV = log_probs_SV >= pruning.token_log_prob
        possible_SV |= log_probs_SV == log_probs_SV.max(axis=1, keepdims=True)
        log_probs_SV = np.where(possible_SV, log_probs_SV, _NEVER)
    rows = log_probs_SV.tolist()
    orders = _labels_by_probability(log_probs_SV, blank_id=blank_id)
    keep = _NEVER if pruning.beam_log_prob is None else pruning.beam_log_prob
    blank_alone = math.inf if pruning.blank_log_prob is None else pruning.blank_log_prob
    exp, log1p, by_rank = math.exp, math.log1p, itemgetter(0)

    # A prefix is the number of a node in a tree; the key of an edge is node * num_columns + label.
    mother, label_of, edge = [-1], [-1], {}
    asked = None if scorer is None else _Asked(scorer)
    most = 0.0 if scorer is None else scorer.max_change
    bonus, state_of = [0.0], [0]
    # rank (what prefixes are compared by: total + bonus), log total, log sum with a blank at the end, with the last
    # label at the end, node; the highest rank first
    beam = [(0.0, 0.0, 0.0, _NEVER, 0)]
    for step, (row, order) in enumerate(zip(rows, orders, strict=True)):
        steps_left = num_steps - 1 - step
        on_blank = row[blank_id]
        if on_blank >= blank_alone or not order:
            beam = [
                (rank + on_blank, total + on_blank, total + on_blank, _NEVER, node) for rank, total, _, _, node in beam
            ]
            continue

        entry_of = {entry[4]: entry for entry in beam}
        entries = []
        for _, total, _, labelled, node in beam:
            blanked = total + on_blank
            last = label_of[node]
            if last >= 0:
                on_last = row[last]
                labelled += on_last
                above = entry_of.get(mother[node])
                if above is not None:  # the mother spells the last label at this very step
                    spelt = (above[2] if label_of[above[4]] == last else above[1]) + on_last
                    if spelt > labelled:
                        spelt, labelled = labelled, spelt
                    if spelt - labelled > _NEGLIGIBLE:  # not for two impossible ones, whose difference is NaN
                        labelled += log1p(exp(spelt - labelled))
            if asked:
                after_blank, after_label = asked.needs[state_of[node]]
                if after_blank > steps_left:
                    blanked = _NEVER
                if after_label > steps_left:
                    labelled = _NEVER
            if blanked > labelled:
                total, other = blanked, labelled
            else:
                total, other = labelled, blanked
            if other - total > _NEGLIGIBLE:
                total += log1p(exp(other - total))
            if total > _NEVER:
                entries.append((total + bonus[node], total, blanked, labelled, node))

        ranks = [entry[0] for entry in entries]  # the best so far, at most beam_width of them, as a heap
        limit = max(ranks) + keep if ranks else _NEVER
        heapify(ranks)
        limit = max(limit, ranks[0] if len(ranks) == beam_width else _LOWEST)
        for rank, total, blanked, _, node in beam:
            ceiling = rank + most
            if ceiling + row[order[0]] < limit:
                break
            last = label_of[node]
            first_key = node * num_columns
            moves = asked.moves[state_of[node]] if asked else None
            for label in order:
                on_label = row[label]
                if ceiling + on_label < limit:
                    break
                key = first_key + label
                if edge.get(key) in entry_of:
                    continue  # it is in the beam: done above
                new_rank = spelt = (blanked if label == last else total) + on_label
                if asked:
                    state, change = moves.get(label) or asked.extend(state_of[node], label)
                    if state < 0 or asked.needs[state][1] > steps_left:
                        continue
                    new_rank += bonus[node] + change
                if new_rank >= limit:
                    entries.append((new_rank, spelt, _NEVER, spelt, ~key))
                    if len(ranks) == beam_width:
                        heapreplace(ranks, new_rank)
                    else:
                        heappush(ranks, new_rank)
                    if len(ranks) == beam_width and ranks[0] > limit:
                        limit = ranks[0]

        entries.sort(key=by_rank, reverse=True)  # stable: what was in the beam before what is new, low labels first
        del entries[beam_width:]
        if entries:
            floor = entries[0][0] + keep
            while entries[-1][0] < floor:
                entries.pop()
        beam = []
        for entry in entries:
            key = ~entry[4]
            if key >= 0:
                node = edge.get(key)
                if node is None:
                    node = edge[key] = len(mother)
                    above, label = divmod(key, num_columns)
                    mother.append(above)
                    label_of.append(label)
                    if asked:
                        state, change = asked.moves[state_of[above]][label]
                        state_of.append(state)
                        bonus.append(bonus[above] + change)
                    else:
                        bonus.append(0.0)
                entry = (*entry[:4], node)
            beam.append(entry)

    found = []
    for rank, _, _, _, node in beam:
        score = rank + asked.finish(state_of[node]) if asked else rank
        if score > _NEVER:
            labels = []
            while node:
                labels.append(label_of[node])
                node = mother[node]
            found.append((score, tuple(reversed(labels))))
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))


def _labels_by_probability(log_probs_SV: np.ndarray, *, blank_id: int) -> list[list[int]]:
    """For every step the possible labels without the blank, the most probable first, equal ones by label."""
    negated_SV = -log_probs_SV
    negated_SV[:, blank_id] = np.inf
    order_SV = negated_SV.argsort(axis=1, kind="stable")
    counts = (negated_SV < np.inf).sum(axis=1).tolist()
    return [order[:count] for order, count in zip(order_SV.tolist(), counts, strict=True)]
