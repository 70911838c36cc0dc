"""Choosing the threshold below which a text is not accepted, and keeping it in a run or in a bundle."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru import __version__
from speechgru.decoding import DecodingOptions
from speechgru.errors import BundleError, UserError
from speechgru.export.card import model_card
from speechgru.export.flatbuffer import sealed
from speechgru.files import atomic_path, encode_json, replace_folder, sha256_of, write_json, write_text
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder
from speechgru.runtime import BUNDLE_VERSION, METADATA_ENTRY, is_bundle
from speechgru.runtime.tflite import CHECKSUM_ENTRY, read_metadata
from speechgru.scoring.evaluation import evaluate


def calibrate(
    path: str | Path,
    dev: str | Path,
    negatives: Sequence[str | Path],
    *,
    false_accepts_per_hour: float | None = None,
    misses: float | None = None,
    form: str | None = None,
    batch_size: int = 32,
    decoding: DecodingOptions | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Chooses the threshold for an asked rate and keeps it, with what it was chosen on.

    A run keeps it in `rejection.json`, and its later exports in their metadata; a bundle keeps it in its metadata and
    in that of each `.tflite` file. A recogniser applies it to whatever is found under a constraint, unless its options
    have a threshold of their own.

    Args:
        path: a run folder, a bundle, or a `.tflite` file that lies in none.
        dev: commands with their texts, which were not trained on.
        negatives: manifests of recordings without a command.
        false_accepts_per_hour: at most, with the fewest misses; 1 where neither this nor `misses` is given.
        misses: a share of the commands, at most, with the fewest false accepts.
        form: which of a bundle's models to run; its default when None. The threshold is for all of them.
        batch_size: utterances that a run computes at once.
        decoding: the phrases or grammar that the recogniser will be used with, and how.
        progress: called as utterances are done.

    Returns:
        What `evaluate` returns; `rejection.chosen` is what was kept.

    Raises:
        UserError: more commands are recognised wrongly than may be missed; or as `evaluate`.
        BundleError: the bundle is damaged, or the file is part of one.
    """
    path = Path(path)
    if path.is_file() and (path.parent / "bundle.json").is_file():
        raise BundleError(f"{path}: is part of the bundle {path.parent}; calibrate that")
    if not is_bundle(path):
        RunFolder(path).require().require_weights()  # a threshold is of weights that stay
    record = evaluate(
        path,
        dev,
        form=form,
        slices=(),
        batch_size=batch_size,
        decoding=decoding,
        negatives=negatives,
        false_accepts_per_hour=false_accepts_per_hour,
        misses=misses,
        progress=progress,
    )
    found = record["rejection"]
    if found["chosen"] is None:
        raise UserError(
            f"{path}: {found['num_wrong']} of {found['num_commands']} commands are recognised wrongly, so no threshold "
            f"misses only {misses:.1%}; ask for more misses, or for false accepts an hour"
        )
    rejection = {
        **found["chosen"],
        **{key: found[key] for key in ("asked", "judged_by", "num_commands", "num_negatives", "negative_seconds")},
        "dev": Path(dev).name,
        "negatives": [Path(manifest).name for manifest in negatives],
        "decoding": record["decoding"]["description"],
        "form": record["form"],
        "speechgru_version": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if not is_bundle(path):
        write_json(RunFolder(path).rejection, rejection)
    elif path.is_file():
        with atomic_path(path) as temporary:
            temporary.write_bytes(_with_rejection(path, rejection))
    else:
        _keep_in_bundle(path, rejection)
    return record


def _keep_in_bundle(bundle: Path, rejection: dict[str, Any]) -> None:
    """Puts a bundle with the threshold in the old one's place, once it is whole: its checksums change with it."""
    with tempfile.TemporaryDirectory(prefix=f".{bundle.name}.", dir=bundle.absolute().parent) as temporary:
        made = Path(temporary) / "bundle"
        shutil.copytree(bundle, made)
        metadata = json.loads((made / "bundle.json").read_text(encoding="utf-8"))
        metadata["rejection"] = rejection
        for stored in metadata["models"].values():
            file = made / stored["file"]
            if METADATA_ENTRY in read_metadata(file):  # older bundles have it in bundle.json alone
                file.write_bytes(_with_rejection(file, rejection))
                stored |= {"size_bytes": file.stat().st_size, "sha256": sha256_of(file)}
        write_json(made / "bundle.json", metadata)
        if metadata.get("bundle_version") == BUNDLE_VERSION:
            write_text(made / "README.md", model_card(metadata))
        replace_folder(made, bundle)


def _with_rejection(file: Path, rejection: dict[str, Any]) -> bytes:
    """A `.tflite` file's bytes with the threshold in its own metadata."""
    own = json.loads(read_metadata(file)[METADATA_ENTRY]) | {"rejection": rejection}
    return sealed(file.read_bytes(), {METADATA_ENTRY: encode_json(own | {"checksum": CHECKSUM_ENTRY})})
