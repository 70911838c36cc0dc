"""Where a folder of shards lies, on a disk or on a store, and what the rest asks of it alike."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Protocol

from speechgru.files import ANY_SIZE, make_folder, read_file, sha256_of
from speechgru.shards.records import OPEN_FILES, SUMMARY_NAME, ShardFile
from speechgru.stores import Store, cache_folder, is_remote, joined, remove_quietly

#: The names of shards.
SHARDS = "shard-*.tfrecord"
PARTS = "part-*-of-*"
#: What is fetched, by its checksum; a folder that a configuration names may hold other shards.
_FETCHED = re.compile(r"[0-9a-f]{64}\.tfrecord")


class Place(Protocol):
    """A folder of files."""

    #: Shards that are kept open at a time.
    most_open: int

    def name_of(self, file: str) -> str:
        """A file's path or address, for messages."""

    def read(self, file: str) -> bytes:
        """A small file's contents; OSError where it cannot be read."""

    def size(self, file: str) -> int:
        """Its bytes; OSError where it is missing."""

    def sha256(self, file: str) -> str:
        """The checksum of all its bytes, read anew; OSError where it is missing."""

    def has_shards(self) -> bool:
        """Whether there are shards, be they finished or not."""

    def has_parts(self) -> bool:
        """Whether there are parts that several machines packed."""

    def local(self, shard: ShardFile) -> str:
        """The path of a shard's records on this machine's disk."""


def is_of_shards(path: str) -> bool:
    """Whether a path is of shards, also of such as are unfinished or not merged, which reading them says."""
    if is_remote(path) or os.path.isfile(os.path.join(path, SUMMARY_NAME)):
        return True
    place = _Local(Path(path))
    return place.has_shards() or place.has_parts()


def place_of(folder: str | Path, *, cache: str | Path | None = None, cache_gigabytes: float = 20.0) -> Place:
    """The place of a path or address.

    Args:
        folder: a folder, or an address such as `s3://bucket/shards`.
        cache: where shards of a store are kept on the disk; None for the user's folder of caches.
        cache_gigabytes: 10^9 bytes that they may have there; those used longest ago make room.
    """
    if isinstance(folder, str) and is_remote(folder):
        return _Remote(folder, Path(cache) if cache else cache_folder() / "shards", int(cache_gigabytes * 1e9))
    return _Local(Path(folder))


class _Local:
    most_open = OPEN_FILES

    def __init__(self, folder: Path):
        self._folder = folder

    def name_of(self, file: str) -> str:
        return str(self._folder / file)

    def read(self, file: str) -> bytes:
        return read_file(self._folder / file)

    def size(self, file: str) -> int:
        return (self._folder / file).stat().st_size

    def sha256(self, file: str) -> str:
        return sha256_of(self._folder / file, most=ANY_SIZE)

    def has_shards(self) -> bool:
        return any(self._folder.glob(SHARDS))

    def has_parts(self) -> bool:
        return any(self._folder.glob(PARTS))

    def local(self, shard: ShardFile) -> str:
        return os.path.join(self._folder, shard.file)


class _Remote:
    """Shards of a store, fetched whole when one of their records is first read, with their checksum.

    A record alone would be a request, and a corpus of millions of them as many: training reads a few shards together
    and goes on to others, so each is fetched once an epoch at most. A file's name in the cache is its checksum: another
    corpus, or the same packed anew, is never taken for it.
    """

    #: An open file keeps its bytes on the disk, also where it was removed.
    most_open = 16

    def __init__(self, url: str, cache: Path, most_bytes: int):
        self._store, self._cache, self._most_bytes = Store(url), cache, most_bytes
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def name_of(self, file: str) -> str:
        return joined(self._store.url, file)

    def read(self, file: str) -> bytes:
        return self._store.read(file)

    def size(self, file: str) -> int:
        size = self._store.size(file)
        if size is None:
            raise FileNotFoundError(2, "no such file there", self.name_of(file))
        return size

    def sha256(self, file: str) -> str:
        return self._store.sha256(file)

    def has_shards(self) -> bool:
        return bool(self._store.names(SHARDS))

    def has_parts(self) -> bool:
        return bool(self._store.names(PARTS))

    def local(self, shard: ShardFile) -> str:
        path = self._cache / f"{shard.sha256}.tfrecord"
        with self._lock:
            lock = self._locks.setdefault(shard.sha256, threading.Lock())
        with lock:
            try:
                is_there = path.stat().st_size == shard.size_bytes
                os.utime(path)
            except OSError:
                is_there = False
            if not is_there:
                make_folder(self._cache)
                self._make_room(shard.size_bytes)
                self._store.fetch(shard.file, path, size=shard.size_bytes, sha256=shard.sha256)
        return str(path)

    def _make_room(self, size: int) -> None:
        """Removes the shards that were used longest ago, as far as another one needs it."""
        with self._lock:
            kept = []
            for path in self._cache.glob("*.tfrecord"):
                try:
                    found = path.stat()
                except OSError:  # another process removed it
                    continue
                if not _FETCHED.fullmatch(path.name):  # it is being fetched, or somebody's own
                    continue
                kept.append((found.st_mtime, found.st_size, path))
            kept.sort()
            total = size + sum(each for _, each, _ in kept)
            for _, each, path in kept:
                if total <= self._most_bytes:
                    break
                remove_quietly(path)
                total -= each
