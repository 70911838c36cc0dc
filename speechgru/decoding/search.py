"""The prefix beam search itself: which labels are probable after the steps so far, fed with steps as they come."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappush, heapreplace
from operator import itemgetter

import numpy as np

from speechgru.decoding.asked import Asked
from speechgru.decoding.choices import Pruning, choices_of
from speechgru.decoding.prefixes import PrefixTree
from speechgru.decoding.scorers import PrefixScorer

_NEVER = -math.inf
_LOWEST = -sys.float_info.max  # below every score but that of the impossible
_NEGLIGIBLE = -40.0  # exp of it is below a double's rounding

#: Rank (what prefixes are compared by: total + bonus), log total, log sum with a blank at the end, with the last label
#: at the end, node.
_Entry = tuple[float, float, float, float, int]
_by_rank = itemgetter(0)


class BeamSearch:
    """Finds the most probable label sequences of one utterance, whose steps may come in pieces.

    The result does not depend on the pieces. It keeps the tree of all prefixes that ever were in the beam, so its
    memory grows with the utterance.

    Args:
        num_columns: the number of labels, blank included.
        beam_width: how many prefixes to keep a step.
        scorer: what else scores prefixes, or None.
        pruning: what else to leave out.
        blank_penalty: natural logarithm that is taken off the blank at every step.
        blank_id: the blank's column.
    """

    def __init__(
        self,
        *,
        num_columns: int,
        beam_width: int,
        scorer: PrefixScorer | None,
        pruning: Pruning,
        blank_penalty: float = 0.0,
        blank_id: int,
    ):
        self.num_steps = 0
        #: Whether the scorer forbids texts.
        self.is_constrained = scorer is not None and scorer.is_constraint
        self._num_columns = num_columns
        self._beam_width = beam_width
        self._pruning = pruning
        self._blank_penalty = blank_penalty
        self._blank_id = blank_id
        self._asked = None if scorer is None else Asked(scorer)
        self._most = 0.0 if scorer is None else scorer.max_change
        self._most_of = None if scorer is None else scorer.max_changes
        self._tree = PrefixTree(num_columns=num_columns, asked=self._asked)
        # the highest rank first
        self._beam: list[_Entry] = [(0.0, 0.0, 0.0, _NEVER, 0)]
        # The steps at which it would matter that the utterance ends here: each with the most steps that a state known
        # by then needs, and the beam before it. Their sums rise.
        self._remembered: deque[tuple[int, int, list]] = deque()

    def feed(self, log_probs_SV: np.ndarray, *, steps_after: float) -> None:
        """Searches some more steps.

        Plain Python beats NumPy here, because few candidates need a look. A prefix gives itself and itself with one
        more label. Those with one more label meet nothing but a prefix of the beam: they have one mother. So the
        prefixes of the beam come first, and their ranks are a limit that the rest must reach; it rises with each that
        does. Prefixes and labels are sorted, so the loops end at the first that cannot.

        Args:
            log_probs_SV: natural-log probabilities of the next steps.
            steps_after: how many steps will follow these; infinite where nobody knows. Prefixes that the scorer cannot
                end in the steps left are dropped; where their number was not known, `rewind` before asking for `ends`.
        """
        num_columns, beam_width, blank_id = self._num_columns, self._beam_width, self._blank_id
        pruning, asked, most, most_of = self._pruning, self._asked, self._most, self._most_of
        tree, remembered = self._tree, self._remembered
        mother, label_of, edge, bonus, state_of = tree.mother, tree.label_of, tree.edge, tree.bonus, tree.state_of
        needs = asked.needs if asked is not None else None
        remember = self.is_constrained and steps_after == math.inf
        num_steps = len(log_probs_SV)
        log_probs_SV = log_probs_SV.astype(np.float64)  # a copy
        log_probs_SV[:, blank_id] -= self._blank_penalty
        keep = _NEVER if pruning.beam_log_prob is None else pruning.beam_log_prob
        only, on_only, open_steps = choices_of(log_probs_SV, pruning, blank_id=blank_id, walks=not self.is_constrained)
        exp, log1p = math.exp, math.log1p

        beam = self._beam
        after = 0
        while after < num_steps:
            step, after = after, after + 1
            column = only[step]
            if column >= 0:
                if len(beam) == 1:
                    walked, beam = self._walk(step, only, on_only, beam)
                    if walked > step:
                        after = walked
                        continue
                if column == blank_id:
                    on_blank = on_only[step]
                    beam = [
                        (rank + on_blank, total + on_blank, total + on_blank, _NEVER, node)
                        for rank, total, _, _, node in beam
                    ]
                else:
                    beam = self._spell(column, on_only[step], beam, keep)
                continue
            row, order = next(open_steps)
            on_blank = row[blank_id]
            steps_left = steps_after + num_steps - 1 - step

            # 1. The prefixes of the beam stay the same texts: a blank follows, or the last label with none between.
            before = beam
            entry_of = {entry[4]: entry for entry in beam}
            entries = []
            for _, total, _, labelled, node in beam:
                blanked = total + on_blank
                last = label_of[node]
                if last >= 0:
                    on_last = row[last]
                    labelled += on_last
                    shorter = entry_of.get(mother[node])
                    if shorter is not None:  # the mother spells the last label at this very step
                        spelt = (shorter[2] if label_of[shorter[4]] == last else shorter[1]) + on_last
                        # log(e^a + e^b) from the larger of the two: e^(difference) can then not overflow
                        if spelt > labelled:
                            spelt, labelled = labelled, spelt
                        if spelt - labelled > _NEGLIGIBLE:  # not for two impossible ones, whose difference is NaN
                            labelled += log1p(exp(spelt - labelled))
                if needs:
                    # A prefix that cannot be completed in the steps left would take a better one's place.
                    after_blank, after_label = needs[state_of[node]]
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

            # 2. Prefixes with one label more, from the best mother and the most probable label on. `most` is the most
            # that a scorer may still add, so what lies below `limit` even with it cannot enter the beam, and neither
            # can anything after it in either order: both loops end there. What is new has the inverted key of its edge.
            ranks = [entry[0] for entry in entries]  # the best so far, at most beam_width of them, as a heap
            limit = max(ranks) + keep if ranks else _NEVER
            heapify(ranks)
            limit = max(limit, ranks[0] if len(ranks) == beam_width else _LOWEST)
            if asked and asked.prepares:
                least = limit - most - row[order[0]]  # of a rank that the loop below gets to
                asked.prepare(state_of[entry[4]] for entry in beam if entry[0] >= least)
            for rank, total, blanked, _, node in beam:
                ceiling = rank + most
                if ceiling + row[order[0]] < limit:
                    break
                last = label_of[node]
                first_key = node * num_columns
                moves = asked.moves[state_of[node]] if asked else {}
                for label in order:
                    on_label = row[label]
                    if ceiling + on_label < limit:
                        break
                    if most_of and rank + on_label + most_of[label] < limit:
                        continue  # the scorer gives this one less than others
                    key = first_key + label
                    if edge.get(key) in entry_of:
                        continue  # it is in the beam: done above
                    # The same label again is a new one only after a blank; any other may follow all the paths.
                    new_rank = spelt = (blanked if label == last else total) + on_label
                    if asked:
                        state, change = moves.get(label) or asked.extend(state_of[node], label)
                        if state < 0 or (needs and needs[state][1] > steps_left):
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

            beam = []
            for entry in self._best_of(entries, keep):
                if entry[4] < 0:  # they alone get a node in the tree, since most candidates have been dropped
                    rank, total, blanked, labelled, key = entry
                    entry = rank, total, blanked, labelled, tree.add(*divmod(~key, num_columns))
                beam.append(entry)
            if remember and asked is not None and asked.most_needed:
                remembered.append((self.num_steps + step, asked.most_needed, before))
                while sum(remembered[0][:2]) <= self.num_steps + step:
                    remembered.popleft()

        self._beam = beam
        self.num_steps += num_steps

    def _walk(
        self, step: int, only: Sequence[int], on_only: Sequence[float], beam: list[_Entry]
    ) -> tuple[int, list[_Entry]]:
        """Goes with a beam of one prefix through steps that have one possible column, while it stays one prefix.

        Where the recogniser is sure these are most steps, and nothing is to be compared, merged or sorted at them. The
        prefix at their end gets a node, and those on the way none: none of them can be in a beam again.

        Args:
            step: the first of these steps.
            only: of each step its one possible column, below 0 where there are several.
            on_only: the log-probability of each in that column.
            beam: the one prefix.

        Returns:
            The step after the last one gone through, which is `step` where there was none, and the beam there.
        """
        blank_id = self._blank_id
        ((rank, total, blanked, labelled, node),) = beam
        last, spelt = self._tree.label_of[node], []
        first = since = step  # since: after the last step that is no blank
        at_label = total
        while step < len(only):
            column, on_column = only[step], on_only[step]
            if column < 0 or on_column == _NEVER:
                break
            if column == blank_id:
                total = blanked = total + on_column
                labelled = _NEVER
            else:
                if column != last or labelled == _NEVER:
                    spelt.append(column)
                    last = column
                    total += on_column
                elif blanked == _NEVER:  # the label goes on
                    total = labelled + on_column
                else:  # with a blank between it is another text than without
                    break
                labelled, blanked = total, _NEVER
                since, at_label = step + 1, total
            step += 1
        if step == first:
            return step, beam
        if spelt:
            node = self._tree.follow(node, spelt)
        if since > first:
            rank = at_label + self._tree.bonus[node]
        for on_blank in on_only[since:step]:  # one by one, so that all pieces of an utterance round alike
            rank += on_blank
        return step, [(rank, total, blanked, labelled, node)] if rank > _NEVER else []

    def _spell(self, label: int, on_label: float, beam: list[_Entry], keep: float) -> list[_Entry]:
        """The beam after a step at which this label alone is possible: what `feed` does there, without what is not.

        No prefix ends in a blank after it. One that ends in the label stays, or gets it again where a blank was
        between; any other gets it. No scorer forbids texts.

        Args:
            label: it.
            on_label: its log-probability.
            beam: the beam before.
            keep: what a rank may be below the best one.
        """
        asked, tree = self._asked, self._tree
        label_of, bonus, most = tree.label_of, tree.bonus, self._most + on_label
        if self._most_of:
            most = min(most, self._most_of[label] + on_label)
        entries: list[_Entry] = []
        limit = _LOWEST
        ending = [entry for entry in beam if label_of[entry[4]] == label]
        entry_of = {entry[4]: entry for entry in beam} if ending else {}
        for _, _, _, labelled, node in ending:
            labelled += on_label
            shorter = entry_of.get(tree.mother[node])
            if shorter is not None:  # the mother spells the label at this very step
                spelt = (shorter[2] if label_of[shorter[4]] == label else shorter[1]) + on_label
                if spelt > labelled:
                    spelt, labelled = labelled, spelt
                if spelt - labelled > _NEGLIGIBLE:
                    labelled += math.log1p(math.exp(spelt - labelled))
            if labelled > _NEVER:
                rank = labelled + bonus[node]
                entries.append((rank, labelled, _NEVER, labelled, node))
                if rank + keep > limit:
                    limit = rank + keep
        if asked and asked.prepares:
            asked.prepare(tree.state_of[entry[4]] for entry in beam if entry[0] + most >= limit)
        for rank, total, blanked, _, node in beam:
            if rank + most < limit:
                break
            longer = tree.add(node, label)
            if ending and longer in entry_of:
                continue  # it is in the beam: done above
            spelt = (blanked if ending and label_of[node] == label else total) + on_label
            new_rank = spelt + bonus[longer]
            if new_rank >= limit:
                entries.append((new_rank, spelt, _NEVER, spelt, longer))
                if new_rank + keep > limit:
                    limit = new_rank + keep
        return self._best_of(entries, keep)

    def _best_of(self, entries: list[_Entry], keep: float) -> list[_Entry]:
        """What stays in the beam of what a step gave.

        Args:
            entries: what was in the beam before what is new.
            keep: what a rank may be below the best one.
        """
        if len(entries) > 1:
            entries.sort(key=_by_rank, reverse=True)  # stable: what was in the beam first, then low labels
            del entries[self._beam_width :]
            floor = entries[0][0] + keep
            while entries[-1][0] < floor:
                entries.pop()
        return entries

    def rewind(self) -> int:
        """Goes back to the first step at which it matters that the utterance ends where it has come to.

        A prefix that the scorer cannot end in the steps left is dropped. While their number is unknown none is; once it
        is known, only the last steps can have had such prefixes: no more steps than a state needs that came up.

        Returns:
            The number of steps that stand. The others are to be fed once more, with the `steps_after` known.
        """
        if self._remembered:
            self.num_steps, _, self._beam = self._remembered[0]
            self._remembered.clear()
        return self.num_steps

    def ends(self) -> list[tuple[float, tuple[int, ...]]]:
        """The scores and labels of all prefixes of the beam that may end here, the best first."""
        asked, state_of = self._asked, self._tree.state_of
        if asked and asked.prepares:
            asked.prepare(state_of[entry[4]] for entry in self._beam)
        found = []
        for rank, _, _, _, node in self._beam:
            score = rank + asked.finish(state_of[node]) if asked else rank
            if score > _NEVER:
                found.append((score, self._tree.labels(node)))
        return sorted(found, key=lambda pair: (-pair[0], pair[1]))

    def leader(self) -> tuple[float, tuple[int, ...], float] | None:
        """The rank and labels of the prefix that is the most probable to be gone on with, whether it may end or not.

        Returns:
            Its rank, its labels, and its share of all the beam's exponentiated ranks; None where no prefix is possible.
        """
        highest = self._beam[0][0] if self._beam else _NEVER
        if highest == _NEVER:
            return None
        labels = min(self._tree.labels(node) for rank, _, _, _, node in self._beam if rank == highest)
        return highest, labels, 1 / math.fsum(math.exp(rank - highest) for rank, *_ in self._beam)
