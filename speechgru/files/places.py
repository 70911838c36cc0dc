"""Where something may be written, asked before anything long is done, and whose a folder is."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from speechgru.errors import UserError

#: The file by which a folder of each kind is known.
MARKS = {
    "bundle": "bundle.json",
    "site": "site.json",
    "run": "config.yaml",
    "language model's run": "language.yaml",
    "sweep": "sweep.json",
    "corpus of shards": "shards.json",
}
#: What the verb that makes them replaces whole, with all that lies in them.
_REPLACED_WHOLE = ("bundle", "site")
#: What resumes from the files that it finds, so that another kind's would be taken for its own.
_RESUMED = ("run", "language model's run", "sweep")


def require_folder_place(path: str | Path) -> None:
    """Refuses a place that no folder can be written to, to be asked before anything long is done.

    Raises:
        UserError: it is a file, or lies below one; names the path.
    """
    _require_place(Path(path))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise UserError(f"{path}: is a file; name a folder to write")


def require_file_place(path: str | Path) -> None:
    """Refuses a place that no file can be written to, to be asked before anything long is done.

    Raises:
        UserError: it is a folder, a device or a pipe, or lies below a file; names the path.
    """
    _require_place(Path(path))
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder; name a file to write")
    refuse_device(path)


def require_page_place(path: str | Path) -> None:
    """Refuses a place that no page can be written to, also a file that is there and no page: a run's own, perhaps.

    Raises:
        UserError: as `require_file_place`; or such a file is there.
    """
    require_file_place(path)
    if os.path.lexists(path) and Path(path).suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path}: exists, and its name is no page's; name a new file, or one that ends in .html")


def user_cache(*, instead: str) -> Path:
    """Where what can be made again is kept for a user: `speechgru` where this system keeps caches.

    Args:
        instead: what else may be done where there is no such place, for the message.

    Raises:
        UserError: neither a folder of caches nor a home is known, as in a container that knows no such user.
    """
    variable, usual = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    try:
        return Path(os.environ.get(variable) or Path.home() / usual) / "speechgru"
    except RuntimeError as error:
        raise UserError(f"there is no folder for caches, as this user has no home; set {variable}{instead}") from error


def require_unread(paths: Iterable[str | Path], reads: Iterable[str | os.PathLike[str] | None]) -> None:
    """Refuses to write what the same command reads, such as a recording, which would be lost.

    Args:
        paths: the files to write.
        reads: what is read; None is left out.

    Raises:
        UserError: one of the paths is one of these, by whatever name; names it.

    Example:
        >>> _ = Path("talk.txt").write_text("good morning")
        >>> require_unread(["talk.srt"], reads=["talk.txt", None])
        >>> require_unread(["./talk.txt"], reads=["talk.txt"])
        Traceback (most recent call last):
        speechgru.errors.UserError: ./talk.txt: is what this command reads, and would be lost; name another file
    """
    found = [path for path in paths if os.path.exists(path)]
    if found:
        read = {_identity(path) for path in reads if path is not None and os.path.exists(path)}
        for path in found:
            if _identity(path) in read:
                raise UserError(f"{path}: is what this command reads, and would be lost; name another file")


def require_own_folder(path: str | Path, *, kind: str) -> None:
    """Refuses a place where a verb's folder cannot be, or would be lost, or lose what another verb made.

    Args:
        path: the folder to write.
        kind: of `MARKS`, or what else is written there, as a message names it ("the manifests").

    Raises:
        UserError: it is a file or lies below one; it is a folder of another kind; or it lies in a bundle or a site, of
            which all goes when it is written again.

    Example:
        >>> Path("bundle").mkdir()
        >>> _ = Path("bundle/bundle.json").write_text("{}")
        >>> require_own_folder("bundle", kind="bundle")
        >>> require_own_folder("bundle/lists", kind="the manifests")
        Traceback (most recent call last):
        speechgru.errors.UserError: bundle/lists: lies in a bundle (bundle/bundle.json), which is replaced whole when \
it is written again; give the manifests a folder of its own
    """
    require_folder_place(path)
    whose = f"the {kind.removeprefix('the ')}"
    place = Path(path)
    for other, mark in MARKS.items():
        if other != kind and (other in _REPLACED_WHOLE or kind in _RESUMED) and (place / mark).is_file():
            raise UserError(f"{path}: is a {other} ({mark}); give {whose} a folder of its own")
    for above in Path(os.path.abspath(place)).parents:
        for other in _REPLACED_WHOLE:
            if (above / MARKS[other]).is_file():
                shown = os.path.relpath(above / MARKS[other]) if not place.is_absolute() else above / MARKS[other]
                raise UserError(
                    f"{path}: lies in a {other} ({shown}), which is replaced whole when it is written again; give "
                    f"{whose} a folder of its own"
                )


def require_nothing_else(path: str | Path, *, kind: str, made: Collection[str], suffixes: tuple[str, ...] = ()) -> None:
    """Refuses to replace a folder in which somebody keeps what the verb that replaces it has not made.

    Args:
        path: the folder that would be replaced whole; it need not be there.
        kind: what it is, of `MARKS`.
        made: the names of what the verb writes there.
        suffixes: and the endings of further ones.

    Raises:
        UserError: there is something else in it, or it is no such folder and not empty.

    Example:
        >>> Path("site").mkdir()
        >>> for name in ("site.json", "index.html", "notes.txt"):
        ...     _ = Path("site", name).write_text("")
        >>> require_nothing_else("site", kind="site", made=["index.html"])
        Traceback (most recent call last):
        speechgru.errors.UserError: site: would be replaced whole, and notes.txt in it is not of the site; move it, or \
choose another --out
    """
    place, mark = Path(path), MARKS[kind]
    if not place.exists():
        return
    inside = sorted(os.listdir(place)) if place.is_dir() else None
    if inside is None or (inside and mark not in inside):
        raise UserError(f"{path}: exists and is not a {kind} ({mark} is missing); choose another --out")
    other = [name for name in inside if name not in (mark, *made) and not name.endswith(suffixes or ("\0",))]
    if other:
        more = f" and {len(other) - 1:,} more" if len(other) > 1 else ""
        raise UserError(
            f"{path}: would be replaced whole, and {other[0]}{more} in it is not of the {kind}; move it, or choose "
            "another --out"
        )


def refuse_device(path: str | Path) -> None:
    """Refuses what a rename would replace.

    Raises:
        UserError: it is a device or a pipe.
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise UserError(f"{path}: cannot be written (a device or a pipe, not a file); name a file")


def _identity(path: str | os.PathLike[str]) -> tuple[int, int]:
    state = os.stat(path)
    return state.st_dev, state.st_ino


def _require_place(path: Path) -> None:
    """Refuses a path below what is no folder."""
    above = next((each for each in path.absolute().parents if os.path.lexists(each)), None)
    if above is not None and not above.is_dir():
        raise UserError(f"{path}: cannot be written, because {above} is a file; name another place")
