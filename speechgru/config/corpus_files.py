"""The files of a corpus that a configuration names: whether they are there, and what tells them from others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from speechgru import jsonlines
from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError, ManifestError
from speechgru.files import sha256_of
from speechgru.stores import Store, is_remote

#: The file that shows that a folder holds finished shards, with the checksums of all others.
SUMMARY_NAME = "shards.json"

_DATA = ("train", "dev", "negatives")


def files_of(config: RunConfig) -> dict[str, list[str]]:
    """The manifests and folders of shards by key; a key that names none is left out.

    >>> files_of(RunConfig.model_validate({"data": {"train": ["a.jsonl", "b.jsonl"], "dev": "c.jsonl"}}))
    {'data.train': ['a.jsonl', 'b.jsonl'], 'data.dev': ['c.jsonl']}
    """
    named = {f"data.{key}": getattr(config.data, key) for key in _DATA}
    named |= {f"augment.{key}": path for key, (path, _) in config.augment.manifests.items()}
    return {key: [value] if isinstance(value, str) else list(value) for key, value in named.items() if value}


def require_files(config: RunConfig) -> None:
    """Whether all of them are there: a moment's work, before what takes long.

    Raises:
        ConfigError: there is nothing to train on.
        ManifestError: one is not there.
    """
    if not config.data.train:
        raise ConfigError("data.train names no manifest; set it in the file or give data.train=PATH")
    for key, paths in files_of(config).items():
        for path in paths:
            if not is_remote(path) and not Path(path).exists():
                raise ManifestError(f"{path}: no such manifest; `speechgru prepare` writes manifests ({key} names it)")


def digests_of(config: RunConfig) -> dict[str, list[str | None]]:
    """What tells a corpus from another one, wherever it lies: by key a digest a file, None of an unreadable one."""
    return {key: [digest_of(path) for path in paths] for key, paths in files_of(config).items()}


def digest_of(path: str | Path) -> str | None:
    """A digest of the utterances of a manifest in their order, however their paths are written, or of shards.

    Args:
        path: a manifest or a folder of shards, also one on a store.

    Returns:
        64 hexadecimal digits; None where it cannot be read.
    """
    try:
        if is_remote(path):
            return hashlib.sha256(Store(str(path)).read(SUMMARY_NAME)).hexdigest()
        if Path(path).is_dir():
            return sha256_of(Path(path) / SUMMARY_NAME)
        lines = jsonlines.read_records(path)
    except OSError:
        return None
    facts = [
        [str(line.get("audio_filepath")).replace("\\", "/").rpartition("/")[2]]
        + [line.get(key) for key in ("offset", "duration", "text")]
        + [line[key] for key in ("channel",) if line.get(key) is not None]  # digests of before knew none
        for line in lines
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest() if facts else None
