"""By how much a text that a constraint allows falls behind everything that the model might have written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: About the least log-probability of float32: of a step at which the path is impossible.
_LEAST = -100.0


def margin_of(
    log_probs_SV: np.ndarray, labels: Sequence[int], spans: Sequence[tuple[int, int]], *, blank_id: int
) -> float:
    """How far a text is behind the background, any text at all, for each of its labels.

    It is the log-probability of the best path that spells the text, over the steps at which this path or the best one
    of all is not blank, divided by the text's labels. The background's log-probability is 0, since all paths together
    have the probability 1. A text that was said is close to 0; where another sentence was said, each label of the text
    stands where the model believes in a different one, or in none, and what was said beside it counts too.

    For each label, because a longer text has more doubtful steps. Without the steps at which both paths are silent,
    because a recording may begin and end with any length of noise.

    Measured on eSpeak's and flite's voices, clean and noisy, against real people's sentences and commands of the same
    grammar that the list lacked (460 and 447 utterances, a list of 4,395 sentences): the area under the ROC curve is
    0.9998; of the best path's distance to the best one of all, for each label, 0.9996; of the CTC score for each label
    0.9995; of the worst word's distance 0.9867; of the lowest confidence of a word it was 0.95.

    Args:
        log_probs_SV: natural-log probabilities of all steps of the utterance.
        labels: the text's columns, one at least.
        spans: of each label its first step and the step after its last, of the best path that spells them (`align`);
            the other steps are blank.
        blank_id: the blank's column.

    Returns:
        At most 0.

    Example:
        >>> log_probs_SV = np.log([[0.2, 0.8], [0.9, 0.1]])
        >>> round(margin_of(log_probs_SV, [1], [(0, 1)], blank_id=0), 3)
        -0.223
    """
    path_S = np.full(len(log_probs_SV), blank_id)
    for label, (start, end) in zip(labels, spans, strict=True):
        path_S[start:end] = label
    is_live_S = (path_S != blank_id) | (log_probs_SV.argmax(axis=1) != blank_id)
    on_path_S = np.take_along_axis(log_probs_SV, path_S[:, None], axis=1)[is_live_S, 0]
    return min(0.0, float(np.maximum(on_path_S, _LEAST).sum(dtype=np.float64)) / len(labels))
