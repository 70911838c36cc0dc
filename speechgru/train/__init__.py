"""Training: from a configuration and manifests to a run folder, or on from where that folder stands."""

from speechgru.train.corpus_statistics import corpus_statistics
from speechgru.train.optimizers import learning_rate_at, make_optimizer
from speechgru.train.run import TrainingResult, train

__all__ = ["TrainingResult", "corpus_statistics", "learning_rate_at", "make_optimizer", "train"]
