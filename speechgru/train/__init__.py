"""Training: from a configuration and manifests to a run folder, or on from where that folder stands."""

from speechgru.train.loop import TrainingResult, train
from speechgru.train.optimizers import learning_rate_at, make_optimizer
from speechgru.train.statistics import corpus_statistics

__all__ = ["TrainingResult", "corpus_statistics", "learning_rate_at", "make_optimizer", "train"]
