"""From the run configuration to batches: `corpus` is what is read, `sampling` in which order, `batches` how.

Two recordings and their manifest, as `prepare` would write them:

>>> import numpy as np, soundfile, tensorflow as tf
>>> from speechgru.config import RunConfig
>>> from speechgru.utterances import Utterance, read_manifest, write_manifest
>>> for name, seconds in (("a", 1.0), ("b", 0.5)):
...     samples_N = 0.1 * np.random.default_rng(0).standard_normal(round(8000 * seconds))
...     soundfile.write(f"{name}.wav", samples_N, 8000)
>>> manifest = write_manifest("train.jsonl", [Utterance("a.wav", 1.0, "yes"), Utterance("b.wav", 0.5, "no")])
>>> config = RunConfig.model_validate(
...     {"data": {"train": ["train.jsonl"], "sample_rate": 8000}, "train": {"batch_size": 2}}
... )

What training reads, in batches without end, and utterances as they were recorded:

>>> corpus, vocabulary, left_out = open_corpus(config)
>>> isinstance(corpus, Corpus), len(corpus), left_out
(True, 2, [])
>>> batch = next(iter(training_batches(corpus, config=config)))
>>> batch["labels_BL"].shape, sorted(batch["index_B"].numpy().tolist())
(TensorShape([2, 3]), [0, 1])
>>> [batch["num_samples_B"].numpy().tolist() for batch in batches_of(corpus, np.array([1, 0]), config=config)]
[[4000, 8000]]

Their parts: the order, the numbers that decide lengths, the seed of an utterance's augmentation, and the augmentation:

>>> sampler = make_sampler(corpus, config=config)
>>> epoch, draws = next(sampler.batches_from(0))
>>> isinstance(sampler, Sampler), epoch, sorted(draws.indices.tolist())
(True, 0.0, [0, 1])
>>> [len(part.indices) for part, weights in split(draws, parts=2)]
[1, 1]
>>> 0.0 <= padding_share(sampler, [draws], epoch=0) < 1.0
True
>>> heard_seconds(make_sampler(corpus, config=config), frame_seconds=0.01)
{'typical': 1.2, 'longest': 1.2}
>>> draw_lengths(0, 0, 2).shape
(2, 3)
>>> seed = augment_seed(config, 0, 1)
>>> augmentation = Augmentation(config, read_speech=speech_reader(corpus))
>>> samples_N, drawn = augmentation.augment_samples(tf.zeros([800]), seed, tf.constant([0.5, 0.0, 0.0]))
>>> samples_N.shape, sorted(drawn)
(TensorShape([800]), ['gain_db', 'noise_kind', 'noise_snr_db', 'silence_after_seconds', 'silence_before_seconds'])
>>> read = utterance_reader(read_manifest("train.jsonl"), config=config)
>>> int(tf.size(read(seed))) in (4000, 8000)
True
"""

from speechgru.dataset.augmented import Augmentation, augment_seed, speech_reader, utterance_reader
from speechgru.dataset.batches import batches_of, make_sampler, training_batches
from speechgru.dataset.corpus import Corpus, ManifestSource, ShardSource, open_corpus
from speechgru.dataset.sampling import Sampler, draw_lengths, heard_seconds, padding_share, split

__all__ = [
    "Augmentation",
    "Corpus",
    "ManifestSource",
    "Sampler",
    "ShardSource",
    "augment_seed",
    "batches_of",
    "draw_lengths",
    "heard_seconds",
    "make_sampler",
    "open_corpus",
    "padding_share",
    "speech_reader",
    "split",
    "training_batches",
    "utterance_reader",
]
