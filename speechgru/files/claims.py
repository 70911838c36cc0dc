"""Around what writes: a folder that is still there, a disk with room, and what would be left half made."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from speechgru.errors import DiskError, UserError
from speechgru.files.making import locked

#: The folders that this process works in, each with what tells whether it is still the one that it began in.
_held: list[tuple[Path, Callable[[], bool]]] = []


@contextlib.contextmanager
def held(folder: str | Path, is_same: Callable[[], bool] | None = None, *, is_others: bool = False) -> Iterator[None]:
    """Lets nothing be written into a folder any more once it is gone: half a folder would come back.

    Every process that writes below a folder holds it, one that another process has started too.

    Args:
        folder: what the block works in. It need not be there yet.
        is_same: whether it is still there, and the same; None to compare it with what was there first.
        is_others: whether somebody else has made it, so that it must be there.

    Raises:
        DiskError: it must be there, and is not.
    """
    place = Path(os.path.realpath(folder))
    claim = place, is_same or _once_there(place)
    if is_others and not (place.is_dir() and claim[1]()):
        raise _gone(place)
    _held.append(claim)
    try:
        yield
    finally:
        _held.remove(claim)


@contextlib.contextmanager
def held_alone(folder: str | Path, *, activity: str, advice: str) -> Iterator[None]:
    """`held`, and by no other process: two that write into one folder at once would mix what they write.

    Where the system or its file system has no such locks, nothing keeps another process out.

    Args:
        folder: what the block works in; made when it is missing, and removed again where nothing was written into it.
        activity: what the process does there, as in "is preparing a corpus here"; completes the message.
        advice: what to do where another process holds it; ends the message.

    Raises:
        UserError: another process holds it.
        DiskError: it cannot be made.
    """
    is_new = not os.path.lexists(folder)
    with room_for(folder):
        make_folder(folder)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(Path(os.path.realpath(folder)), is_needed=True))
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise UserError(f"{folder}: another process {activity}; {advice}") from None
        try:
            with held(folder):
                yield
        finally:
            if is_new:
                with contextlib.suppress(OSError):  # something was written
                    os.rmdir(folder)


def make_folder(path: str | Path) -> None:
    """Makes a folder with all above it, where they are missing, but none that has been taken away (`held`).

    Raises:
        DiskError: it lies in a folder that was moved or removed while this process works there.
        OSError: it cannot be made.
    """
    place = Path(os.path.realpath(path))
    claims = _claims_on(place)
    for folder, is_same in claims:
        if not is_same():
            raise _gone(folder)
    there = [folder for folder, _ in claims if folder.exists()]
    if there:
        _make_within(max(there, key=lambda folder: len(folder.parts)), place)
    else:
        Path(path).mkdir(parents=True, exist_ok=True)
    for _, is_same in claims:  # notes what was made just now
        is_same()


def folders_above(path: str | Path) -> dict[Path, tuple[int, int] | None]:
    """The folders above a path as they are now, for `take_back`."""
    return {level: identity_of(level) for level in Path(os.path.realpath(path)).parents}


def take_back(path: str | Path, before: dict[Path, tuple[int, int] | None]) -> None:
    """Removes what has just been made in the place of a folder that was taken away; elsewhere it does nothing.

    For libraries that make the folders above a file by themselves, as that of locks does.

    Args:
        path: the file that was made. It goes with the new folders above it where these hold nothing else.
        before: `folders_above` before the library was called.

    Raises:
        DiskError: the folder was taken away.
    """
    place = Path(os.path.realpath(path))
    for folder, is_same in _claims_on(place):
        if not is_same():
            new = [level for level in place.parents if identity_of(level) != before.get(level)]
            top = min([folder, *new], key=lambda level: len(level.parts))
            levels = [*place.parents][: len(place.parts) - len(top.parts)]
            with contextlib.suppress(OSError):  # taken away once more
                if all(os.listdir(level) == [below.name] for below, level in itertools.pairwise([place, *levels])):
                    place.unlink()
                    for level in levels:
                        level.rmdir()
            raise _gone(folder)


def identity_of(folder: str | Path) -> tuple[int, int] | None:
    """What tells a folder from another one of its name; None where there is none."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _once_there(folder: Path) -> Callable[[], bool]:
    """Tells, once a folder is there, whether it still is and is the same."""
    began_in: tuple[int, int] | None = None

    def is_same() -> bool:
        nonlocal began_in
        now = identity_of(folder)
        began_in = began_in or now
        return now == began_in

    is_same()
    return is_same


def _claims_on(place: Path) -> list[tuple[Path, Callable[[], bool]]]:
    return [claim for claim in list(_held) if place.is_relative_to(claim[0])]


def _gone(folder: Path) -> DiskError:
    return DiskError(
        f"{folder}: is gone, moved or removed while this command worked there; nothing is written into its place. "
        "Bring it back, or run the command again to begin anew"
    )


def _make_within(folder: Path, place: Path) -> None:
    """Makes a place below a folder that is held, one level after the other, as long as that is there."""
    for level in reversed([place, *place.parents][: len(place.parts) - len(folder.parts)]):
        try:
            level.mkdir(exist_ok=True)
        except FileNotFoundError:  # taken away after it was looked for
            raise _gone(folder) from None


@contextlib.contextmanager
def room_for(path: str | Path) -> Iterator[None]:
    """Turns a full or failing disk under a block that writes into one clear error.

    Args:
        path: what the block writes.

    Raises:
        DiskError: in place of an OSError from the block: the disk is full, read-only or failing, or the folder may not
            be written; names `path`.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(
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
