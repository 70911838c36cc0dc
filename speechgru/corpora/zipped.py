"""Recordings that come as one ZIP file, such as the one that the studio of a site saves."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from speechgru.corpora.archive import unpack
from speechgru.errors import CorpusError, UserError
from speechgru.files import sha256_of
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import read_manifest

#: Far more than a person reads in one sitting, and few enough to fit on a disk.
_MOST_MEMBERS, _MOST_BYTES = 20_000, 4_000_000_000


@contextlib.contextmanager
def unpacked(path: str | Path, folder: Path, *, progress: Progress = silent) -> Iterator[Path]:
    """The recordings of a ZIP file as a folder; anything else as it is.

    An archive is unpacked once, to a place that its content names, so that a second call finds the same files there.
    Where the block fails, what it unpacked is removed again.

    Args:
        path: a file whose name ends in `.zip`, or anything else.
        folder: where to unpack; made when it is missing.
        progress: called with the bytes of the archive that were unpacked.

    Yields:
        The archive's only folder, or the place of its files.

    Raises:
        CorpusError: the archive is damaged, too large, or holds what no folder of recordings does.
        UserError: its manifest names files that are not in it.
    """
    path = Path(path)
    if path.suffix.lower() != ".zip" or path.is_dir():
        yield path
        return
    try:
        place = folder / sha256_of(path)[:16]
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from error
    is_new = not place.exists()
    made = [each for each in (folder, folder.parent) if not each.exists()]
    try:
        if is_new:
            unpack(path, place, max_members=_MOST_MEMBERS, max_bytes=_MOST_BYTES, progress=progress)
        found = _folder_in(place)
        _require_own_files(found, place, path)
        yield found
    except BaseException:
        if is_new:
            shutil.rmtree(place, ignore_errors=True)
            for each in made:
                with contextlib.suppress(OSError):
                    each.rmdir()
        raise


def _folder_in(place: Path) -> Path:
    """The folder that was packed: the only one, beside what systems add (`__MACOSX`, hidden files), or all of it."""
    entries = [entry for entry in place.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else place


def _require_own_files(found: Path, place: Path, archive: Path) -> None:
    """Refuses manifests that name files outside of the archive: whoever packed it had them, and nobody else."""
    inside = place.resolve()
    for manifest in sorted(found.glob("*.jsonl")):
        for utterance in read_manifest(manifest):
            if not Path(utterance.audio_filepath).resolve().is_relative_to(inside):
                raise UserError(
                    f"{archive}: its {manifest.name} names {utterance.audio_filepath}, which is not in the archive; "
                    "pack the folder with its recordings, and name them relative to it"
                )
