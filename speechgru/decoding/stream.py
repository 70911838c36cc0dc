"""Decoding while somebody speaks: steps in as they come, what is believed so far at any time, the same end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from speechgru.decoding.alignment import align
from speechgru.decoding.beam import BeamSearch, beam_search, dress_ends
from speechgru.decoding.endpoint import EndpointRule
from speechgru.decoding.greedy import BestPath
from speechgru.decoding.hypothesis import NOTHING_ALLOWED, Hypothesis, check_log_probs, dress_labels, peaks_of
from speechgru.decoding.options import DecodingOptions
from speechgru.text import BLANK_ID, Vocabulary


class DecoderStream:
    """Decodes one utterance whose log-probabilities come in pieces.

    What `finish` gives is what `decode` gives for all steps at once, however they were cut. A greedy stream keeps the
    runs of its labels and nothing of the steps, so silence costs no memory; one with a beam keeps all steps and the
    prefixes that it searched. End it where an `EndpointRule` says so and begin the next with a new stream.

    Silence is a step whose most probable label is the blank or the space, which a vocabulary of words lacks: a model
    that writes a space after a word has recognised the word, not something new. With a beam too it is the most probable
    label that counts, not the text.

    Args:
        vocabulary: the labels of the columns; column 0 is the blank.
        step_seconds: seconds from one step to the next.
        options: what to do; hotwords and phrases as the vocabulary writes them (`DecodingOptions.prepared`).
        start_seconds: when the utterance's first step begins, in seconds of whatever it is part of; added to the times
            of words. The spans stay steps of the utterance.

    Raises:
        ValueError: `step_seconds` is not a positive number or `start_seconds` no finite one; the options forbid what
            they ask for (as in `beam_decode`).
        TextError: the vocabulary cannot write a hotword or phrase.

    Example:
        >>> stream = DecoderStream(vocabulary=Vocabulary(["a"]), step_seconds=0.04, options=DecodingOptions())
        >>> stream.feed(np.log([[0.1, 0.9], [0.6, 0.4]]))
        >>> stream.partial().text
        'a'
        >>> stream.feed(np.log([[0.3, 0.7]]))
        >>> stream.finish()[0].text
        'aa'
    """

    def __init__(
        self, *, vocabulary: Vocabulary, step_seconds: float, options: DecodingOptions, start_seconds: float = 0.0
    ):
        self._vocabulary = vocabulary
        self._step_seconds = step_seconds
        self._n_best, self._threshold, self._rescorers = options.n_best, options.threshold, options.all_rescorers
        self._understood = options.understood
        self._checked(np.zeros((0, len(vocabulary)), np.float32))
        if not math.isfinite(start_seconds):
            raise ValueError(f"start_seconds must be a finite number of seconds, got {start_seconds}")
        self._start_seconds = start_seconds
        self._is_label_V = np.ones(len(vocabulary), bool)
        self._is_label_V[BLANK_ID] = False
        if vocabulary.space_label is not None:
            self._is_label_V[vocabulary.space_label] = False
        self._label_end = 0  # the step after the last that was not silent; 0 where there was none
        self._best_path = BestPath(blank_id=BLANK_ID)
        self._search = None
        if options.beam_width > 1:
            self._search = beam_search(
                vocabulary,
                beam_width=options.beam_width,
                n_best=options.n_best,
                scorers=options.all_scorers,
                pruning=options.pruning,
                blank_penalty=options.blank_penalty,
                blank_id=BLANK_ID,
            )
        self._steps = _Rows(len(vocabulary))
        self._shown: tuple[tuple[int, ...], list[tuple[int, int]]] = ((), [])  # labels and spans of the last partial
        self._partial: Hypothesis | None = None  # of all steps so far; None until somebody asks
        self._finished: list[Hypothesis] | None = None

    @property
    def num_steps(self) -> int:
        """How many steps came so far."""
        return self._best_path.num_steps

    @property
    def trailing_blank_steps(self) -> int:
        """How many silent steps came since the last that was not; all where none was not."""
        return self.num_steps - self._label_end

    @property
    def has_label(self) -> bool:
        """Whether any step was not silent."""
        return self._label_end > 0

    def feed(self, log_probs_SV: np.ndarray) -> None:
        """Decodes some more steps.

        Args:
            log_probs_SV: natural-log probabilities of the next steps, any number of them, one column a label.

        Raises:
            ValueError: they do not fit (as in `greedy_decode`), and none of them is decoded; or the stream is finished.
        """
        self._decode(self._next_steps(log_probs_SV))

    def feed_until(self, log_probs_SV: np.ndarray, rule: EndpointRule) -> int | None:
        """Decodes some more steps, but not past the first at whose end the utterance is over.

        The rule is asked after every step, so the end does not depend on how the steps were cut. The steps left over
        are the next utterance's.

        Args:
            log_probs_SV: as in `feed`.
            rule: when it is over.

        Returns:
            How many of the steps were decoded, 1 or more, where the utterance is over after the last of these; None
            where all were decoded and it continues.

        Raises:
            ValueError: as in `feed`.
        """
        log_probs_SV = self._next_steps(log_probs_SV)
        if not len(log_probs_SV):
            return None
        num_steps_S = self.num_steps + 1 + np.arange(len(log_probs_SV))
        is_label_S = self._is_label_V[log_probs_SV.argmax(axis=1)]
        label_end_S = np.maximum.accumulate(np.where(is_label_S, num_steps_S, self._label_end))
        over_S = np.asarray(
            rule.is_over(
                num_steps=num_steps_S,
                trailing_blank_steps=num_steps_S - label_end_S,
                has_label=label_end_S > 0,
                step_seconds=self._step_seconds,
            )
        )
        taken = int(over_S.argmax()) + 1 if over_S.any() else None
        self._decode(log_probs_SV[:taken])
        return taken

    def partial(self) -> Hypothesis:
        """What is believed so far; after `finish` its best hypothesis. Its cost grows with the labels, not the steps.

        It is made once for the steps that came: sound is fed in smaller pieces than a model's call gives steps for.

        Its last word may still be on the way, and later steps may change what it says. With a beam it is the prefix
        that the search likes best, whether or not the text may end there: part of an allowed phrase, or the beginning
        of a hotword with a share of its boost in the score. Labels that the last partial result had too, all but the
        last of them, keep their spans, so that only what is new is aligned: until `finish`, times and confidences may
        differ a little from those of the whole utterance.

        Returns:
            The hypothesis; without text where nothing was recognised or nothing allowed is possible.
        """
        if self._finished is not None:
            return self._finished[0]
        if self._partial is None:
            self._partial = self._of_best_path() if self._search is None else self._of_leader(self._search)
        return self._partial

    def finish(self) -> list[Hypothesis]:
        """Ends the utterance; no step can follow. A second call gives the same.

        Returns:
            Up to `options.n_best` hypotheses, the best first, at least one: what `decode` gives for all steps at once,
            with `start_seconds` added to the times of words. Sums over the steps may be rounded otherwise.
        """
        if self._finished is None:
            if self._search is None:
                self._finished = [self._of_best_path()]
            else:
                log_probs_SV = self._steps.rows_SV
                self._search.feed(log_probs_SV[self._search.rewind() :], steps_after=0)
                hypotheses = dress_ends(
                    self._search,
                    log_probs_SV,
                    best_path=self._best_path,
                    n_best=self._n_best,
                    vocabulary=self._vocabulary,
                    step_seconds=self._step_seconds,
                    start_seconds=self._start_seconds,
                    threshold=self._threshold,
                    rescorers=self._rescorers,
                )
                self._finished = self._understood(hypotheses)
        return list(self._finished)

    def _checked(self, log_probs_SV: np.ndarray) -> np.ndarray:
        return check_log_probs(
            log_probs_SV, vocabulary=self._vocabulary, step_seconds=self._step_seconds, blank_id=BLANK_ID
        )

    def _next_steps(self, log_probs_SV: np.ndarray) -> np.ndarray:
        if self._finished is not None:
            raise ValueError(
                f"this stream was finished after {self.num_steps} steps; begin a new one for the next utterance"
            )
        return self._checked(log_probs_SV)

    def _decode(self, log_probs_SV: np.ndarray) -> None:
        if len(log_probs_SV):
            self._partial = None
        label_steps_S = np.flatnonzero(self._is_label_V[self._best_path.feed(log_probs_SV)])
        if len(label_steps_S):
            self._label_end = self.num_steps - len(log_probs_SV) + int(label_steps_S[-1]) + 1
        if self._search is not None:
            self._steps.append(log_probs_SV)
            self._search.feed(log_probs_SV, steps_after=math.inf)

    def _of_best_path(self) -> Hypothesis:
        return self._best_path.hypothesis(
            vocabulary=self._vocabulary, step_seconds=self._step_seconds, start_seconds=self._start_seconds
        )

    def _of_leader(self, search: BeamSearch) -> Hypothesis:
        leader = search.leader()
        if leader is None:
            return NOTHING_ALLOWED
        score, labels, posterior = leader
        if labels == self._best_path.labels:
            spans, peaks = list(self._best_path.spans), self._best_path.peaks
        else:
            spans = self._align_new(labels)
            peaks = peaks_of(self._steps.rows_SV, labels, spans)
        self._shown = labels, spans
        return dress_labels(
            labels,
            spans=spans,
            peaks=peaks,
            blank_mean=self._best_path.blank_mean,
            score=score,
            vocabulary=self._vocabulary,
            step_seconds=self._step_seconds,
            start_seconds=self._start_seconds,
            blank_id=BLANK_ID,
            posterior=posterior,
        )

    def _align_new(self, labels: Sequence[int]) -> list[tuple[int, int]]:
        """The spans of labels: those that the last partial result had too stay, all but the last, the rest is aligned.

        Equal neighbours are not parted: the blank between them would be nobody's.
        """
        shown, spans = self._shown
        same = (position for position, pair in enumerate(zip(labels, shown, strict=False)) if pair[0] != pair[1])
        kept = max(0, next(same, min(len(labels), len(shown))) - 1)
        while kept and labels[kept] == labels[kept - 1]:
            kept -= 1
        first = spans[kept - 1][1] if kept else 0
        log_probs_SV = self._steps.rows_SV
        try:
            aligned = align(log_probs_SV[first:], labels[kept:], blank_id=BLANK_ID)
        except ValueError:  # the rest does not fit behind the labels that stayed
            return align(log_probs_SV, labels, blank_id=BLANK_ID)
        return spans[:kept] + [(first + start, first + end) for start, end in aligned]


class _Rows:
    """Rows that grow at the end, without copying all of them each time.

    Args:
        num_columns: of each row.
    """

    def __init__(self, num_columns: int):
        self._buffer = np.empty((0, num_columns), np.float32)
        self._length = 0

    @property
    def rows_SV(self) -> np.ndarray:
        """All rows so far, not to be written to."""
        return self._buffer[: self._length]

    def append(self, rows_SV: np.ndarray) -> None:
        """Appends rows, in their precision if that is the higher one."""
        length = self._length + len(rows_SV)
        dtype = np.result_type(self._buffer, rows_SV)
        if length > len(self._buffer) or dtype != self._buffer.dtype:
            grown = np.empty((max(length, 2 * self._length), rows_SV.shape[1]), dtype)
            grown[: self._length] = self.rows_SV
            self._buffer = grown
        self._buffer[self._length : length] = rows_SV
        self._length = length
