"""A person's own negatives: recordings in which a recogniser found what nobody said, added to a manifest."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from speechgru.audio.reading import read_header
from speechgru.errors import UserError
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest


@dataclasses.dataclass(frozen=True)
class AddedNegatives:
    """What `add_negatives` did.

    Args:
        manifest: the manifest.
        num_added: recordings that are new in it.
        num_known: recordings that it held already, and that were left as they are.
        seconds: of all that it holds now.
    """

    manifest: Path
    num_added: int
    num_known: int
    seconds: float


def add_negatives(recordings: Sequence[str | os.PathLike[str]], manifest: str | Path) -> AddedNegatives:
    """Adds recordings to a manifest of negatives, with an empty text; it is made where it is missing.

    The manifest serves `evaluate` and `calibrate` as negatives, `data.negatives` to choose the best weights by, and as
    one of `data.train`, where its recordings are learnt as silence. The recordings stay where they are.

    Args:
        recordings: audio files.
        manifest: the JSON Lines file; it is replaced atomically.

    Raises:
        AudioError: a recording cannot be read; nothing is added then.
        ManifestError: the manifest is there and is none.
        UserError: a line of it has a text, so that it is no manifest of negatives; or no recording is given.
    """
    manifest = Path(manifest)
    known = read_manifest(manifest, needs_text=False) if manifest.exists() else []
    spoken = next((utterance for utterance in known if utterance.text), None)
    if spoken is not None:
        raise UserError(
            f"{manifest}:{spoken.line}: has the text {spoken.text!r}, and negatives have none; add them to a manifest "
            "of their own"
        )
    if not recordings:
        raise UserError("no recording is given; name the files in which something was found that nobody said")
    paths = {os.path.realpath(utterance.audio_filepath) for utterance in known}
    added = []
    for recording in recordings:
        path = os.path.abspath(recording)
        header = read_header(path)
        if os.path.realpath(path) in paths:
            continue
        paths.add(os.path.realpath(path))
        added.append(Utterance(path, header.num_samples / header.sample_rate, ""))
    write_manifest(manifest, [*known, *added])
    return AddedNegatives(
        manifest=manifest,
        num_added=len(added),
        num_known=len(recordings) - len(added),
        seconds=sum(utterance.duration for utterance in [*known, *added]),
    )
