"""Around what writes: a folder that is still there, a disk with room, and what would be left half made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from speechgru.errors import UserError

#: The folders that this process works in, and what tells whether each is still the one that it began in.
_held: dict[Path, Callable[[], bool]] = {}


@contextlib.contextmanager
def held(folder: str | Path, is_same: Callable[[], bool]) -> Iterator[None]:
    """Lets nothing be written into a folder any more once it is gone: half a folder would come back.

    Args:
        folder: what the block works in.
        is_same: whether it is still there, and the same.
    """
    place = Path(os.path.realpath(folder))
    _held[place] = is_same
    try:
        yield
    finally:
        _held.pop(place, None)


def make_folder(path: str | Path) -> None:
    """Makes a folder with all above it, where they are missing, but none that has been taken away (`held`).

    Raises:
        UserError: it lies in a folder that was moved or removed while this process works there.
        OSError: it cannot be made.
    """
    place = Path(os.path.realpath(path))
    for folder, is_same in list(_held.items()):
        if place.is_relative_to(folder):
            _make_within(folder, place, is_same)
    Path(path).mkdir(parents=True, exist_ok=True)


def _make_within(folder: Path, place: Path, is_same: Callable[[], bool]) -> None:
    """Makes a place below a folder that is held, one level after the other, where it is there and as long as it is."""
    gone = UserError(
        f"{folder}: is gone, moved or removed while this command worked there; nothing is written into its place. "
        "Bring it back, or run the command again to begin anew"
    )
    if not is_same():
        raise gone
    if not folder.exists():  # not yet
        return
    for level in reversed([place, *place.parents][: len(place.parts) - len(folder.parts)]):
        try:
            level.mkdir(exist_ok=True)
        except FileNotFoundError:  # taken away after it was looked for
            raise gone from None


@contextlib.contextmanager
def room_for(path: str | Path) -> Iterator[None]:
    """Turns a full or failing disk under a block that writes into one clear error.

    Args:
        path: what the block writes.

    Raises:
        UserError: in place of an OSError from the block: the disk is full, read-only or failing, or the folder may not
            be written; names `path`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); what was finished before is kept. Make room, or "
            "choose a folder you may write to, and run the same command again"
        ) from error


#: What this process has begun to write, and would leave half made if it ended here.
_unfinished: set[object] = set()


def is_writing() -> bool:
    """Whether this process would leave something half made if it ended here."""
    return bool(_unfinished)


@contextlib.contextmanager
def unfinished() -> Iterator[None]:
    """Marks a block that takes back what it has begun where an exception ends it; see `is_writing`."""
    mark = object()
    _unfinished.add(mark)
    try:
        yield
    finally:
        _unfinished.discard(mark)
