"""Choosing thresholds, of texts and of keywords, and keeping them in a run or in a bundle."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru import __version__
from speechgru.decoding import DecodingOptions
from speechgru.errors import BundleError, UserError
from speechgru.export.card import model_card
from speechgru.export.flatbuffer import sealed
from speechgru.files import atomic_folder, atomic_path, encode_json, held, sha256_of, write_json, write_text
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder
from speechgru.runtime import BUNDLE_VERSION, METADATA_ENTRY, is_bundle
from speechgru.runtime.bundle import require_own_files
from speechgru.runtime.tflite import CHECKSUM_ENTRY, read_metadata
from speechgru.scoring.evaluation import evaluate
from speechgru.scoring.keywords import evaluate_keywords

#: Share of the keywords that an extrapolated threshold may miss.
_MOST_MISSES = 0.5


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
        with held(path, is_others=True):  # also now, minutes after it was read
            write_json(RunFolder(path).rejection, rejection)
    elif path.is_file():
        with atomic_path(path) as temporary:
            temporary.write_bytes(_with_entries(path, {"rejection": rejection}))
    else:
        _keep_in_bundle(path, {"rejection": rejection})
    return record


def calibrate_keywords(
    bundle: str | Path,
    manifests: Sequence[str | Path],
    keywords: Sequence[str],
    *,
    false_accepts_per_hour: float = 0.1,
    form: str | None = None,
    names: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Chooses from which score on each keyword is reported, and keeps it in the bundle's metadata and its files'.

    A rate that is too low to be counted in the recordings is extrapolated (`scoring.keywords.extrapolated_threshold`),
    but not to where more than half of the keywords would be missed: such a threshold is no use to anybody.

    Args:
        bundle: a bundle's folder whose model streams.
        manifests: recordings that were not trained on, with what is said in them; some hold each keyword, most none.
        keywords: what is listened for.
        false_accepts_per_hour: of each keyword, at most.
        form: which of the bundle's models to run; its default when None. The thresholds are for all of them.
        names: what reports shall call a keyword that is written otherwise, by what is written.
        progress: called after each recording.

    Returns:
        What `evaluate_keywords` returns, before the thresholds were in use, with `thresholds` by keyword.

    Raises:
        BundleError: it is not a bundle's folder, or is damaged.
        UserError: as `evaluate_keywords`; or the rate is not a positive number.
    """
    bundle = Path(bundle)
    if not bundle.is_dir() or not is_bundle(bundle):
        raise BundleError(f"{bundle}: is not a bundle's folder; `speechgru export` makes one")
    if not 0 < false_accepts_per_hour < float("inf"):
        raise UserError(f"false accepts an hour are a number above 0, got {false_accepts_per_hour}")
    record = evaluate_keywords(
        bundle, manifests, keywords, form=form, false_accepts_per_hour=false_accepts_per_hour, progress=progress
    )
    thresholds = {}
    for found in record["keywords"]:
        usable = max(
            (point["threshold"] for point in found["curve"] if point["miss_rate"] <= _MOST_MISSES), default=0.0
        )
        thresholds[found["keyword"]] = max(
            found["chosen"]["threshold"], min(found["extrapolated"]["threshold"], usable)
        )
    kept = {
        "thresholds": thresholds,
        "names": dict(names or {}),
        "false_accepts_per_hour": false_accepts_per_hour,
        "chosen_on": {
            found["keyword"]: {
                "num_commands": found["num_commands"],
                "counted_misses": found["chosen"]["num_misses"],
                "negative_seconds": found["negative_seconds"],
            }
            for found in record["keywords"]
        },
        "manifests": [Path(manifest).name for manifest in manifests],
        "form": record["form"],
        "speechgru_version": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    _keep_in_bundle(bundle, {"keywords": kept})
    return record | {"thresholds": thresholds}


def _keep_in_bundle(bundle: Path, entries: dict[str, Any]) -> None:
    """Puts a bundle with more metadata in the old one's place, once it is whole: its checksums change with it.

    Raises:
        BundleError: a link in it leads elsewhere.
    """
    require_own_files(bundle)
    with atomic_folder(bundle) as made:
        shutil.copytree(bundle, made, dirs_exist_ok=True)
        metadata = json.loads((made / "bundle.json").read_text(encoding="utf-8"))
        metadata |= entries
        for stored in metadata["models"].values():
            file = made / stored["file"]
            if METADATA_ENTRY in read_metadata(file):  # older bundles have it in bundle.json alone
                file.write_bytes(_with_entries(file, entries))
                stored |= {"size_bytes": file.stat().st_size, "sha256": sha256_of(file)}
        write_json(made / "bundle.json", metadata)
        if metadata.get("bundle_version") == BUNDLE_VERSION:
            write_text(made / "README.md", model_card(metadata))


def _with_entries(file: Path, entries: dict[str, Any]) -> bytes:
    """A `.tflite` file's bytes with more in its own metadata."""
    own = json.loads(read_metadata(file)[METADATA_ENTRY]) | entries
    return sealed(file.read_bytes(), {METADATA_ENTRY: encode_json(own | {"checksum": CHECKSUM_ENTRY})})
