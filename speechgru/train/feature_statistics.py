"""What features look like over a corpus: the mean and deviation that global normalisation takes out."""

from __future__ import annotations

import numpy as np

from speechgru.config.sections import RunConfig
from speechgru.dataset import Corpus, batches_of
from speechgru.features import FrontEnd
from speechgru.progress import Progress, silent
from speechgru.train.step import INPUTS

#: Utterances that the statistics are taken from, at most: a mean of some 10^5 frames moves no more.
_STATISTICS_UTTERANCES = 2000

#: Nats: the least deviation of a mel band's log-mel, so that a silent one cannot explode.
_LEAST_DEVIATION = 0.1


def corpus_statistics(
    front_end: FrontEnd, corpus: Corpus, *, config: RunConfig, progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each feature over the real frames of the corpus (a sample of a large one).

    Args:
        front_end: the model's front end; its own normalisation is left out.
        corpus: the training utterances.
        config: sample rate and seed.
        progress: called after each batch.

    Returns:
        `mean_D` and `deviation_D`, float64; a deviation is at least 0.1 nat (of slopes a tenth of that), so that a
        silent filter cannot explode.
    """
    chosen = np.random.default_rng(config.train.seed).permutation(len(corpus))[:_STATISTICS_UTTERANCES]
    compute = front_end.from_log_mel if corpus.form == "features" else front_end.whole
    chosen = chosen[np.argsort(-corpus.num_frames[chosen], kind="stable")]
    count, total_D, total_square_D = 0, np.zeros(front_end.num_features), np.zeros(front_end.num_features)
    done = 0
    for batch in batches_of(corpus, chosen, config=config):
        features_BTD, num_frames_B = compute(*(batch[name] for name in INPUTS[corpus.form]), normalized=False)
        # Frames beyond a length are zeros and add nothing to either sum.
        values_BTD = features_BTD.numpy().astype(np.float64)
        count += int(num_frames_B.numpy().sum())
        total_D += values_BTD.sum(axis=(0, 1))
        total_square_D += np.square(values_BTD).sum(axis=(0, 1))
        done += len(num_frames_B)
        progress("measuring the corpus", done, len(chosen), "")
    mean_D = total_D / count
    least_D = np.full(config.features.n_mels, _LEAST_DEVIATION)
    for stage in front_end.stages:
        least_D = stage.least_deviations(least_D)
    return mean_D, np.maximum(least_D, np.sqrt(np.maximum(0.0, total_square_D / count - mean_D**2)))
