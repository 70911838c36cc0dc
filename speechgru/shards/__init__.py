"""A corpus in a few large files with checksums.

>>> import numpy as np, soundfile
>>> from speechgru.config import RunConfig
>>> from speechgru.utterances import Utterance, write_manifest
>>> for name, seconds in (("a", 1.0), ("b", 0.5)):
...     samples_N = 0.1 * np.random.default_rng(0).standard_normal(round(8000 * seconds))
...     soundfile.write(f"{name}.wav", samples_N, 8000)
>>> manifest = write_manifest("train.jsonl", [Utterance("a.wav", 1.0, "yes"), Utterance("b.wav", 0.5, "no")])
>>> summary = shard([manifest], "shards", config=RunConfig.model_validate({"data": {"sample_rate": 8000}}))
>>> isinstance(summary, ShardSummary), summary.num_records, summary.num_skipped, summary.seconds
(True, 2, 0, 1.5)

Any record is read by its place in the manifest:

>>> shards = Shards.open("shards")
>>> shards.num_samples.tolist(), shards.read(1).text, shards.read(1).values.shape
([8000, 4000], 'no', (4000,))
"""

from speechgru.shards.pack import ShardSummary, shard
from speechgru.shards.reader import Shards

__all__ = ["ShardSummary", "Shards", "shard"]
