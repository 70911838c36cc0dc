"""LibriSpeech: a thousand hours of English audiobooks, read by 2,484 people, 16 kHz.

Public home: OpenSLR 12; CC BY 4.0. Panayotov et al. 2015, "LibriSpeech: an ASR corpus based on public domain audio
books". Its official splits are by speaker: `clean` is what was recognised well when it was made, `other` the rest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, files_below, require_one_of, write
from speechgru.corpora.public.lines import read_lines, read_pairs
from speechgru.corpora.public.source import Archive, fetch, find_roots, openslr, require_folder
from speechgru.errors import CorpusError
from speechgru.progress import Progress, silent


@dataclass(frozen=True)
class Part:
    """A part of the corpus.

    Args:
        split: the manifest that it goes into.
        archive: where it is.
    """

    split: str
    archive: Archive


def _part(split: str, name: str, num_bytes: int, md5: str) -> Part:
    return Part(split, openslr(12, f"{name}.tar.gz", num_bytes=num_bytes, checksum=f"md5:{md5}"))


_PARTS = {
    "train-clean-100": _part("train", "train-clean-100", 6_387_309_499, "2a93770f6d5c6c964bc36631d331a522"),
    "train-clean-360": _part("train", "train-clean-360", 23_049_477_885, "c0e676e450a7ff2f54aeade5171606fa"),
    "train-other-500": _part("train", "train-other-500", 30_593_501_606, "d1a0fd59409feb2c614ce4d30c387708"),
    "dev-clean": _part("dev", "dev-clean", 337_926_286, "42e2234ba48799c1f50f24a7926300a1"),
    "dev-other": _part("dev_other", "dev-other", 314_305_928, "c8d0bcc9cca99d4f8b62fcc847357931"),
    "test-clean": _part("test", "test-clean", 346_663_984, "32fa31d27d2e1cad72775fee3f4849a9"),
    "test-other": _part("test_other", "test-other", 328_757_843, "fb5a50374b501bb3bac4815ee91d3135"),
}
#: What is fetched where no parts are named: 7 GB of the 61.
_USUAL = ("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    parts: list[str] | None = None,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of the official splits; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder that holds parts such as `train-clean-100`, at most three folders down; None downloads them
            into `out/raw`.
        seed: not used: the splits are official.
        progress: called as it downloads and measures.
        parts: of train-clean-100, train-clean-360, train-other-500, dev-clean, dev-other, test-clean, test-other;
            none: those that the source has, and of a download all but the two large ones.
        skip_missing: whether to leave out what lacks its transcript or recording, stands twice, or cannot be read.

    Returns:
        The manifests "train", "dev" and "test" (clean) and "dev_other" and "test_other", as far as their parts are
        there. Every line has the `speaker`, the `part`, and `gender` (`m`, `f`) where `SPEAKERS.TXT` is there.

    Raises:
        CorpusError: a part is not known or not there, the copy is not whole, or it cannot be fetched.
    """
    return prepare_parts(
        "librispeech", _PARTS, _USUAL, out, source, parts, skip_missing=skip_missing, progress=progress
    )


def prepare_parts(
    corpus: str,
    known: Mapping[str, Part],
    usual: Sequence[str],
    out: Path,
    source: Path | None,
    parts: Sequence[str] | None,
    *,
    skip_missing: bool,
    progress: Progress,
) -> dict[str, Path]:
    """The work of a corpus in LibriSpeech's layout.

    Args:
        corpus: its name.
        known: its parts.
        usual: those that are fetched where none are named.
        out, source, parts, skip_missing, progress: as in `prepare`.
    """
    for part in parts or ():
        require_one_of(corpus, "parts", part, known)
    if source is None:
        chosen = list(parts or usual)
        source = fetch(corpus, [known[part].archive for part in chosen], out, progress=progress)
    else:
        require_folder(corpus, source)
        chosen = list(parts or known)
    folders = {part: _folder_of(corpus, source, part) for part in chosen}
    found = {part: folder for part, folder in folders.items() if folder is not None}
    missing = [part for part in chosen if part not in found] if parts else []
    if missing or not found:
        packed = next((part for part in chosen if (source / known[part].archive.name).is_file()), None)
        advice = f"{known[packed].archive.name} is there: unpack it first" if packed else "name another --source"
        raise CorpusError(f"{source}: holds no folder {', '.join(missing or known)}, as {corpus} does; {advice}")
    copy = Copy(corpus, source)
    for part, folder in found.items():
        _read_part(copy, part, known[part].split, folder)
    needed = list(dict.fromkeys(known[part].split for part in found))
    return write(copy, out, needed=needed, skip_missing=skip_missing, progress=progress)


def _folder_of(corpus: str, source: Path, part: str) -> Path | None:
    """The folder of a part: the source itself, or one below it.

    Raises:
        CorpusError: there are several.
    """
    if source.name == part and not (source / part).is_dir():
        return source
    # What was fetched lies in a folder of the archive's name: raw/dev-clean/LibriSpeech/dev-clean.
    roots = [root / part for root in find_roots(source, part)]
    nested = [inner for root in roots for inner in sorted(root.glob(f"*/{part}"))]
    found = nested or roots
    if len(found) > 1:
        shown = " and ".join(map(str, found[:3]))
        raise CorpusError(f"{source}: holds {part} of {corpus} {len(found)} times, in {shown}; name one with --source")
    return next(iter(found), None)


def _read_part(copy: Copy, part: str, split: str, folder: Path) -> None:
    genders = _genders(folder.parent / "SPEAKERS.TXT")
    audio: dict[str, dict[str, str]] = {}
    tables: dict[str, str] = {}
    for path in files_below(folder, ".flac", ".wav", ".trans.txt"):
        place, name = os.path.split(path)
        if name.endswith(".txt"):
            tables[place] = path
        else:
            audio.setdefault(place, {})[os.path.splitext(name)[0]] = path
    for place in sorted(audio.keys() | tables.keys()):
        texts = list(read_pairs(Path(tables[place]))) if place in tables else []
        expected = os.path.join(place, "{}.flac").format
        for name, path, text in copy.match(audio.get(place, {}), texts, expected=expected):
            speaker = name.partition("-")[0]
            extra = {"part": part} | ({"gender": genders[speaker]} if speaker in genders else {})
            copy.add(split, Clip(path, text.lower(), speaker, extra))


def _genders(path: Path) -> dict[str, str]:
    """Who is a woman and who a man, by speaker, where the corpus's table is there."""
    rows = [line.split("|") for _, line in read_lines(path) if not line.startswith(";")] if path.is_file() else []
    return {row[0].strip(): row[1].strip().lower() for row in rows if len(row) > 1}
