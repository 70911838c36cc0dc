"""The CTC loss of a model on recordings, beside its texts."""

from __future__ import annotations

import math

import numpy as np

from speechgru.ctc import Implementation, ctc_loss, resolve_implementation
from speechgru.scoring.recordings import Batch
from speechgru.text import UNKNOWN_WORD, Vocabulary


class ScoredLoss:
    """The CTC losses of the recordings of one scoring, from the log-probabilities that are decoded anyway.

    Args:
        vocabulary: the labels. Of one with letters, the model's own classes count: a word that it lacks is one label.

    Attributes:
        by_line: nats, by the recording's place in the manifest, from 0; infinite where it has too few steps for its
            text. A recording whose text has no labels is missing.
    """

    def __init__(self, vocabulary: Vocabulary):
        self.by_line: dict[int, float] = {}
        self._written, self._knows_unknown = vocabulary.written, vocabulary.unknown_label is not None
        # Whatever trains: XLA compiles for each new shape, and a scoring has many, each once.
        resolved = resolve_implementation("auto")
        self._implementation: Implementation = "op" if resolved == "xla" else resolved

    def add(self, batch: Batch, log_probs_BSV: np.ndarray, num_steps_B: np.ndarray) -> None:
        """Adds a batch, as `decode_recordings` reports it to its `observe`."""
        labels = {row: each for row, text in enumerate(batch.references) if (each := self._labels(text)) is not None}
        if not labels:
            return
        rows = list(labels)
        num_labels_B = np.array([len(labels[row]) for row in rows], np.int32)
        labels_BL = np.zeros((len(rows), max(1, num_labels_B.max())), np.int32)
        for place, row in enumerate(rows):
            labels_BL[place, : num_labels_B[place]] = labels[row]
        # Log-probabilities are logits of themselves.
        loss_B = ctc_loss(
            log_probs_BSV[rows], num_steps_B[rows], labels_BL, num_labels_B, implementation=self._implementation
        ).numpy()
        self.by_line.update(zip((batch.lines[row] for row in rows), loss_B.tolist(), strict=True))

    @property
    def mean(self) -> float | None:
        """Nats, over the recordings that have a finite loss; None where none has."""
        # By line, and exactly summed: the same losses in other batches have the same mean.
        finite = [loss for _, loss in sorted(self.by_line.items()) if math.isfinite(loss)]
        return math.fsum(finite) / len(finite) if finite else None

    def _labels(self, text: str) -> list[int] | None:
        unknown = set(self._written.unknown(text))
        if unknown and not self._knows_unknown:
            return None
        if unknown:
            text = " ".join(UNKNOWN_WORD if word in unknown else word for word in text.split())
        return self._written.encode(text)
