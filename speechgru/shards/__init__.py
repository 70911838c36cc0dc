"""A corpus in a few large files with checksums."""

from speechgru.shards.pack import ShardSummary, shard
from speechgru.shards.reader import Shards

__all__ = ["ShardSummary", "Shards", "shard"]
