"""From the run configuration to batches: `corpus` is what is read, `sampling` in which order, `batches` how."""

from speechgru.dataset.augmented import Augmentation, augment_seed, speech_reader, utterance_reader
from speechgru.dataset.batches import batches_of, evaluation_batches, make_sampler, training_batches
from speechgru.dataset.corpus import Corpus, ManifestSource, ShardSource, open_corpus
from speechgru.dataset.sampling import Sampler, draw_lengths, padding_share, split

__all__ = [
    "Augmentation",
    "Corpus",
    "ManifestSource",
    "Sampler",
    "ShardSource",
    "augment_seed",
    "batches_of",
    "draw_lengths",
    "evaluation_batches",
    "make_sampler",
    "open_corpus",
    "padding_share",
    "speech_reader",
    "split",
    "training_batches",
    "utterance_reader",
]
