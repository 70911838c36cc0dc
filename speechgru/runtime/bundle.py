"""The bundle: what `speechgru export` writes and a device reads, as a folder or as the one file in it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from speechgru.errors import BundleError, TextError
from speechgru.files import read_text, sha256_of
from speechgru.runtime.metadata_fields import require_fields
from speechgru.runtime.tflite import CHECKSUM_ENTRY, read_metadata, require_intact
from speechgru.text import TextRules, Vocabulary

#: The bundle format that this version writes and the newest that it reads.
BUNDLE_VERSION = 3

#: The entry of a TFLite file's own metadata that holds what `bundle.json` says.
METADATA_ENTRY = "speechgru"

#: Of `bundle.json`, in which a grammar of millions of sentences takes some megabytes.
_MOST_BYTES = 1 << 26

#: What a bundle's metadata must hold.
_REQUIRED = ("sample_rate", "step_seconds", "unit", "entries", "text", "models", "default_form")


def is_bundle(path: str | os.PathLike[str]) -> bool:
    """Whether a path looks like a bundle: a folder with `bundle.json`, or a `.tflite` file."""
    path = Path(path)
    return (path / "bundle.json").is_file() or (path.suffix == ".tflite" and path.is_file())


def read_bundle(bundle: str | os.PathLike[str], *, verify: bool = True) -> dict[str, Any]:
    """A bundle's metadata as this version writes it.

    Version 1 held the vocabulary as the text `characters`, and brought texts to NFKC. Versions below 3 have no `stream`
    and no checksums. `grammar` and `language_model` are None where the recogniser has none, or was exported before
    there were any. Where
    there is no `language`, as in older bundles, it is the grammar's, or None.

    Args:
        bundle: the folder, or a `.tflite` file of one, which holds the same metadata: it is then the only model.
        verify: whether a file must have the checksum that it says of itself; files of before there were any have none.

    Raises:
        BundleError: missing, damaged, or of a newer version than this one reads.
    """
    bundle = Path(bundle)
    path = bundle if bundle.suffix == ".tflite" and bundle.is_file() else bundle / "bundle.json"
    try:
        metadata = json.loads(_metadata_text(path, verify=verify))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{bundle}: not a bundle (bundle.json is missing); `speechgru export` makes one") from None
    except BundleError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: is damaged ({error}); export the bundle again") from error
    version = metadata.get("bundle_version") if isinstance(metadata, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise BundleError(f"{path}: holds no bundle_version; export the bundle again")
    if version > BUNDLE_VERSION:
        raise BundleError(
            f"{path}: is of version {version}, this speechgru reads up to {BUNDLE_VERSION}; update speechgru"
        )
    if version == 1 and isinstance(metadata.get("characters"), str):
        metadata |= {"unit": "character", "entries": list(metadata["characters"])}
    missing = [key for key in _REQUIRED if key not in metadata]
    if missing:
        raise BundleError(f"{path}: lacks {', '.join(missing)}; export the bundle again")
    try:
        require_fields(metadata)
        metadata["text"] = dataclasses.asdict(TextRules.stored(metadata["text"]))
        Vocabulary.from_record(metadata)
        for form, record in metadata["models"].items():
            _require_plain_name(f"the model {form}", record["file"])
        if metadata.setdefault("language_model", None) is not None:
            _require_plain_name("the language model", metadata["language_model"]["file"])
        metadata.setdefault("grammar", None)
        language = metadata.setdefault("language", (metadata["grammar"] or {}).get("language"))
        if not isinstance(language, str | None):
            raise TextError(f"a language is a text such as 'en', got {language!r}")
        metadata.setdefault("stream", None)
    except (TextError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise BundleError(f"{path}: is damaged ({' '.join(str(error).split())}); export the bundle again") from error
    if path == bundle:
        form = metadata["default_form"]
        metadata["models"] = {form: {**metadata["models"].get(form, {}), "file": path.name}}
    return metadata


def _require_plain_name(what: str, file: object) -> None:
    """Whether a file lies in the bundle: a path could name any file of this machine, a device or a pipe."""
    if not isinstance(file, str) or not file or any(mark in file for mark in "/\\\0") or file in (".", ".."):
        raise ValueError(f"{what} is said to be in {file!r:.80}, which is no name of a file in the bundle")


def model_file(bundle: str | os.PathLike[str], metadata: dict[str, Any], form: str, *, verify: bool = True) -> Path:
    """The file of one of a bundle's models, once it is the one that was exported.

    Args:
        bundle: the folder or file.
        metadata: from `read_bundle`.
        form: the model's.
        verify: whether its checksum, in `bundle.json` or in the file itself, must be the right one.

    Raises:
        BundleError: the file is missing, or its checksum is not the bundle's.
    """
    bundle, record = Path(bundle), metadata["models"][form]
    path = bundle if bundle.is_file() else bundle / record["file"]
    if not path.is_file():
        raise BundleError(f"{path}: is missing from the bundle; copy the folder whole")
    expected = record.get("sha256")
    if not verify:
        return path
    if expected is None:
        require_intact(path)
    elif sha256_of(path) != expected:
        size = record.get("size_bytes")
        found = path.stat().st_size
        reason = f"{found:,} of {size:,} bytes" if size not in (None, found) else "its checksum is wrong"
        raise BundleError(f"{path}: is damaged ({reason}); copy the bundle again, or export it again")
    return path


def require_own_files(folder: str | os.PathLike[str]) -> None:
    """Refuses a bundle in which a link leads elsewhere, before it is copied: a file of this machine's would go with it.

    Args:
        folder: the bundle's, or one in it.

    Raises:
        BundleError: there is such a link, one to a folder, a pipe or a device; names it.
    """
    inside = Path(folder).resolve()
    for path in inside.rglob("*"):
        if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(inside)):
            raise BundleError(f"{path}: is a link that leads out of the bundle or to a folder; put a copy there")
        if not path.is_symlink() and not path.is_file() and not path.is_dir():
            raise BundleError(f"{path}: not a file (a pipe or a device); remove it from the bundle")


def _metadata_text(path: Path, *, verify: bool) -> str:
    if path.suffix != ".tflite":
        return read_text(path, most=_MOST_BYTES)
    entries = read_metadata(path)
    found = entries.get(METADATA_ENTRY)
    if found is None:
        raise BundleError(
            f"{path}: holds no metadata of a bundle; give the folder that it was exported to, or export it again"
        )
    # A file that has lost its checksum still says that it had one.
    if verify and not require_intact(path) and CHECKSUM_ENTRY.encode() in found:
        raise BundleError(f"{path}: is damaged (its checksum is gone); copy the file again, or export it again")
    return found.decode("utf-8")
