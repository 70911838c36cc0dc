"""A person's own negatives: recordings in which a recogniser found what nobody said, added to a manifest."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from speechgru.audio.finding import find_recordings
from speechgru.audio.reading import read_header
from speechgru.errors import UserError
from speechgru.files import held_alone
from speechgru.text import quoted
from speechgru.utterances.manifest import Utterance, read_manifest, require_storable, write_manifest


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
        recordings: audio files, and folders, which stand for the recordings in and below them.
        manifest: the JSON Lines file; it is replaced atomically.

    Raises:
        AudioError: a recording cannot be read; nothing is added then.
        ManifestError: the manifest is there and is none, or a recording's name is not UTF-8.
        UserError: a line of it has a text, so that it is no manifest of negatives; no recording is given; or another
            process adds some in the same folder.
    """
    manifest = Path(manifest)
    with held_alone(manifest.parent, activity="is adding negatives here", advice="wait for it"):
        return _add(recordings, manifest)


def _add(recordings: Sequence[str | os.PathLike[str]], manifest: Path) -> AddedNegatives:
    """Adds recordings to a manifest that no other process writes meanwhile."""
    known = read_manifest(manifest, needs_text=False) if manifest.exists() else []
    spoken = next((utterance for utterance in known if utterance.text), None)
    if spoken is not None:
        raise UserError(
            f"{manifest}:{spoken.line}: has the text {quoted(spoken.text)}, and negatives have none; add them to a "
            "manifest of their own"
        )
    if not recordings:
        raise UserError("no recording is given; name the files in which something was found that nobody said")
    paths = {os.path.realpath(utterance.audio_filepath) for utterance in known}
    files = [os.path.abspath(path) for recording in recordings for path in _files_of(recording)]
    for path in files:
        require_storable(path)
    added = []
    for path in files:
        header = read_header(path)
        if os.path.realpath(path) in paths:
            continue
        paths.add(os.path.realpath(path))
        added.append(Utterance(path, header.num_samples / header.sample_rate, ""))
    write_manifest(manifest, [*known, *added])
    return AddedNegatives(
        manifest=manifest,
        num_added=len(added),
        num_known=len(files) - len(added),
        seconds=sum(utterance.duration for utterance in [*known, *added]),
    )


def _files_of(recording: str | os.PathLike[str]) -> Sequence[str | os.PathLike[str]]:
    """A file, or the recordings of a folder; one without any is left to the reader, which names it."""
    return (find_recordings(recording) if os.path.isdir(recording) else []) or [recording]
