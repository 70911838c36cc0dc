"""Whose a folder is: where one verb has written, another does not."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from speechgru.errors import UserError
from speechgru.files import require_folder_place

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
