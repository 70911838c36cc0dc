"""Where somebody's copy of a corpus is: in a folder that they name, or fetched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from speechgru.errors import CorpusError
from speechgru.files import make_folder, room_for
from speechgru.progress import Progress, silent

#: The ends of the names of files that are unpacked; others are kept as they come.
_ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar", ".zip")
#: Folders below the one that is named in which a corpus is looked for: `source/corpus-1.0/data/...`.
_DEPTH = 3
#: Bytes of a file whose size no source gives, at most.
_MOST_BYTES = 1 << 41
#: Of a byte of an archive come at most so many; sound is packed already.
_MOST_UNPACKED, _LEAST_BOUND = 20, 1 << 30
_MOST_MEMBERS = 20_000_000
#: A week: what broke off is resumed, and a server that is still for long is given up before.
_MOST_SECONDS = 7 * 86_400.0
#: How often each address is tried, where more came of the file than the time before.
_TRIES = 5

#: Where OpenSLR's files are: its own server, and its mirrors in Europe and China.
_OPENSLR = ("https://www.openslr.org", "https://openslr.elda.org", "https://openslr.magicdatatech.com")


@dataclass(frozen=True)
class Archive:
    """A file of a corpus on the network.

    Args:
        name: its own; its end says how it is packed.
        urls: where it is, the best place first.
        num_bytes: its size, to within a twentieth; 0 where no source gives it.
        checksum: `md5:` or `sha256:` and its checksum; empty where none is known.
    """

    name: str
    urls: tuple[str, ...]
    num_bytes: int = 0
    checksum: str = ""

    @property
    def place(self) -> str:
        """What it becomes in the folder of what was fetched: a folder, or a file that is not unpacked.

        >>> openslr(31, "train-clean-5.tar.gz").place
        'train-clean-5'
        """
        end = next((end for end in _ARCHIVES if self.name.endswith(end)), "")
        return self.name.removesuffix(end)


def openslr(number: int, name: str, *, num_bytes: int = 0, checksum: str = "") -> Archive:
    """A file of OpenSLR.

    >>> openslr(31, "train-clean-5.tar.gz").urls[0]
    'https://www.openslr.org/resources/31/train-clean-5.tar.gz'
    """
    return Archive(name, tuple(f"{home}/resources/{number}/{name}" for home in _OPENSLR), num_bytes, checksum)


def fetch(corpus: str, archives: Sequence[Archive], out: Path, *, progress: Progress = silent) -> Path:
    """Downloads, verifies and unpacks what is not in `out/raw` yet.

    The sizes are reported before anything is fetched. What broke off is resumed, by the next try or the next call.

    Args:
        corpus: its name, for messages.
        archives: what it consists of.
        out: the folder of the corpus.
        progress: called with a message, and with the bytes received, verified and unpacked.

    Returns:
        `out/raw`, with a folder for each archive.

    Raises:
        CorpusError: no network, no room, a file that is not the known one, or one that cannot be unpacked.
    """
    raw = out / "raw"
    left = [archive for archive in archives if not os.path.lexists(raw / archive.place)]
    if not left:
        return raw
    with room_for(raw):
        make_folder(raw)
    sizes = [archive.num_bytes for archive in left]
    known = [gigabytes(sum(sizes))] if any(sizes) else []
    unknown = [f"{sizes.count(0)} of a size that the server gives"] if 0 in sizes else []
    names = ", ".join(archive.name for archive in left)
    home = urlsplit(left[0].urls[0]).hostname
    said = f"{names}: {' and '.join(known + unknown)}, from {home} into {raw}; unpacked at least as much again"
    progress(f"downloading {corpus}", 0, 0, said)
    free, needed = shutil.disk_usage(raw).free, 2 * sum(sizes)
    if free < needed:
        raise CorpusError(
            f"{raw}: has room for {gigabytes(free)}, and {corpus} needs {gigabytes(needed)} while it is unpacked; name "
            "a folder on a larger disk with --out, or ask for less"
        )
    for archive in left:
        _fetch_one(archive, raw, progress=progress)
    return raw


def _fetch_one(archive: Archive, raw: Path, *, progress: Progress) -> None:
    # With `download` it loads what few commands need.
    from speechgru.corpora.archive import DamagedArchiveError, checksum_of, unpack

    packed = raw / archive.name
    was_there = packed.is_file()  # perhaps somebody's own, who has fetched it by other means
    if not was_there:
        _download(archive, packed, progress=progress)
    kind, _, expected = archive.checksum.partition(":")
    if expected and (found := checksum_of(packed, kind, progress=progress)) != expected:
        if was_there:
            raise CorpusError(
                f"{packed}: has the {kind.upper()} {found}, expected {expected}; it is damaged or of another release: "
                "move it away, and the same command fetches it, or name an unpacked copy that you trust with --source"
            )
        packed.unlink()
        raise CorpusError(
            f"{archive.urls[0]}: what came has the {kind.upper()} {found}, expected {expected}; it was damaged on the "
            "way or has been replaced, and is removed: run the command again, or name a copy that you trust with "
            "--source"
        )
    if archive.place == archive.name:
        return
    size = packed.stat().st_size
    try:
        unpack(
            packed,
            raw / archive.place,
            max_members=_MOST_MEMBERS,
            max_bytes=_MOST_UNPACKED * size + _LEAST_BOUND,
            may_link=True,
            progress=progress,
        )
    except DamagedArchiveError as error:
        if was_there:
            raise CorpusError(f"{error}: move it away, and the same command does") from error
        packed.unlink()
        raise CorpusError(f"{error}: it is removed, so that the same command fetches it") from error
    packed.unlink()


def _download(archive: Archive, packed: Path, *, progress: Progress) -> None:
    """Downloads a file from the first of its places that gives it, as often as more of it comes."""
    from speechgru.corpora.download import download

    part = packed.with_name(f"{packed.name}.part")
    advice = "run the command again to resume, or fetch and unpack it by other means and name its folder with --source"
    for attempt in range(1, _TRIES + 1):
        begun, failed = _size_of(part), list[CorpusError]()
        for url in archive.urls:
            try:
                download(
                    url,
                    packed,
                    max_bytes=archive.num_bytes + archive.num_bytes // 20 or _MOST_BYTES,
                    max_seconds=_MOST_SECONDS,
                    advice=advice,
                    resumes=True,
                    progress=lambda stage, done, total, note: progress(f"{stage} {archive.name}", done, total, note),
                )
                return
            except CorpusError as error:
                failed.append(error)
        if attempt == _TRIES or _size_of(part) <= begun:
            others = f" ({len(failed) - 1} more addresses were tried)" if len(failed) > 1 else ""
            raise CorpusError(f"{failed[0]}{others}") from failed[0]


def _size_of(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def gigabytes(num_bytes: int) -> str:
    """A size as people say it.

    >>> [gigabytes(size) for size in (4_700_000, 332_954_390, 6_387_309_499)]
    ['5 MB', '333 MB', '6.4 GB']
    """
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:,.1f} GB"


def require_folder(corpus: str, source: Path | None, advice: str = "") -> Path:
    """The folder that a person named, of a corpus that is not fetched.

    Args:
        corpus: its name.
        source: what was named.
        advice: how it is had.

    Raises:
        CorpusError: none was named, or it is no folder.
    """
    if source is None:
        raise CorpusError(f"{corpus}: name the unpacked corpus with --source; {advice}")
    if not source.is_dir():
        what = "is a file" if source.exists() else "no such folder"
        raise CorpusError(f"{source}: {what}; name the folder of the unpacked corpus with --source")
    return source


def find_roots(source: Path, *markers: str) -> list[Path]:
    """The folders, the named one or some below it, that hold all of some files or folders; none inside another.

    Args:
        source: where to begin; at most three folders down.
        markers: paths relative to what is looked for.
    """
    roots, level = [], [source]
    for _ in range(_DEPTH + 1):
        below = []
        for folder in level:
            if all((folder / marker).exists() for marker in markers):
                roots.append(folder)
            else:
                below.append(folder)
        level = [Path(entry.path) for folder in below for entry in _folders(folder)]
    return roots


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:  # one that may not be read is not searched
        return []
    return sorted(found, key=lambda entry: entry.name)


def find_root(corpus: str, source: Path, *markers: str) -> Path:
    """The one folder of `find_roots`.

    Raises:
        CorpusError: there is none, or there are several; says what was looked for.
    """
    if not source.is_dir():
        require_folder(corpus, source)
    roots = find_roots(source, *markers)
    if len(roots) == 1:
        return roots[0]
    if roots:
        shown = " and ".join(str(root) for root in roots[:3])
        raise CorpusError(f"{source}: holds {corpus} {len(roots)} times, in {shown}; name one of them with --source")
    packed = sorted(path.name for path in source.iterdir() if path.name.lower().endswith(_ARCHIVES))
    advice = (
        f"{packed[0]} is there: unpack it first" if packed else "name the folder of the unpacked corpus with --source"
    )
    raise CorpusError(f"{source}: holds no {' and no '.join(markers)}, as {corpus} does; {advice}")


def find_language(corpus: str, source: Path, language: str | None, *markers: str) -> Path:
    """The folder of a language, of a corpus that has a folder for each.

    Args:
        corpus: its name.
        source: where to begin; at most three folders down.
        language: the folder's name; None where there is one language.
        markers: what the folder of a language holds.

    Raises:
        CorpusError: there is none, there are several and none was named, or the one that was named is not there once.
    """
    roots = find_roots(source, *markers)
    if len(roots) <= 1 and language is None:
        return find_root(corpus, source, *markers)
    chosen = [root for root in roots if root.name == language]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(sorted({root.name for root in roots})) or "none"
    if chosen:
        raise CorpusError(
            f"{source}: holds {language} {len(chosen)} times; name the folder of one of them with --source"
        )
    what = "holds several languages" if language is None else f"holds no language {language!r}"
    raise CorpusError(f"{source}: {what}; name one of them with language=: {names}")
