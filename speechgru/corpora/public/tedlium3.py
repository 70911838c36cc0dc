"""TED-LIUM 3: 452 hours of TED talks in English with segments, 16 kHz, in SPHERE files.

Public home: OpenSLR 51; CC BY-NC-ND 3.0: no commercial use. Hernandez et al. 2018, "TED-LIUM 3: Twice as Much Data and
Corpus Repartition for Experiments on Speaker Adaptation". The split is that of `legacy/`, whose dev and test are those
of the second release. A line of a talk's STM is a segment: its words, in small letters, with marks that are taken out
here (`(2)`, the second pronunciation in a dictionary; `<sil>`; `{NOISE}`), and with endings apart (`it 's`), which are
joined.
"""

from __future__ import annotations

import re
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, write
from speechgru.corpora.public.lines import read_stm
from speechgru.corpora.public.source import fetch, find_root, openslr
from speechgru.corpora.splits import SPLITS
from speechgru.progress import Progress, silent

_ARCHIVE = openslr(
    51,
    "TEDLIUM_release-3.tgz",
    num_bytes=54_000_000_000,
    checksum="sha256:ad1e454d14d1ad550bc2564c462d87c7a7ec83d4dc2b9210f22ab4973b9eccdb",
)
_IGNORED = "ignore_time_segment_in_scoring"
_UNKNOWN = "<unk>"
#: What is no word: the number of a pronunciation, silence, noise, the segment's name at the end of a line.
_MARKS = re.compile(r"\(\d+\)|<sil>|\{[^}]*\}|\([^ ()]*\)$")
_ENDING = re.compile(r" '(?=[a-z]+\b)")


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    keep_unknown: bool = False,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of segments of the talks; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder `TEDLIUM_release-3`, or one above it; None downloads it into `out/raw`.
        seed: not used: the split is official.
        progress: called as it downloads and measures.
        keep_unknown: whether segments with <unk>, a word that the transcript does not name, are kept without it; they
            are left out, because what is said there is not what is written.
        skip_missing: whether to leave out talks without segments or recording, and segments that cannot be read.

    Returns:
        The manifests "train", "dev" and "test"; every line has the `speaker` and an `offset`.

    Raises:
        CorpusError: the copy is not whole, or it cannot be fetched.
    """
    if source is None:
        source = fetch("tedlium3", [_ARCHIVE], out, progress=progress)
    root = find_root("tedlium3", source, *(f"legacy/{split}/stm" for split in SPLITS))
    copy = Copy("tedlium3", root)
    for split in SPLITS:
        _read_split(copy, root, split, keep_unknown=keep_unknown)
    return write(copy, out, skip_missing=skip_missing, progress=progress)


def _read_split(copy: Copy, root: Path, split: str, *, keep_unknown: bool) -> None:
    folder = root / "legacy" / split
    tables = sorted(path for path in (folder / "stm").glob("*.stm") if not path.name.startswith("."))
    sounds = {path.stem for path in (folder / "sph").glob("*.sph") if not path.name.startswith(".")}
    for name in sorted(sounds - {table.stem for table in tables}):
        copy.faults[str(folder / "sph" / f"{name}.sph")] = "has no segments (.stm)"
    for table in tables:
        audio = folder / "sph" / f"{table.stem}.sph"
        if table.stem not in sounds:
            audio = root / "data" / "sph" / audio.name  # where some copies have them, with links to here
        for line in read_stm(table):
            where = f"{table}:{line.line}"
            text = _ENDING.sub("'", _spoken(line.text))
            if line.text == _IGNORED or line.speaker == "inter_segment_gap":
                copy.passed_over["marked not to be scored"] += 1
            elif _UNKNOWN in text and not keep_unknown:
                copy.passed_over["with <unk>, a word that the transcript does not name"] += 1
            elif not (text := " ".join(text.replace(_UNKNOWN, " ").split())):
                copy.passed_over["without a word"] += 1
            elif line.recording != table.stem:
                copy.faults[where] = f"is of the recording {line.recording}, in the table of {table.stem}"
            else:
                extra = {"gender": gender} if (gender := _gender(line.labels)) else {}
                seconds = round(line.end - line.start, 3)
                copy.add(split, Clip(str(audio), text, line.speaker, extra, offset=line.start, duration=seconds))


def _spoken(text: str) -> str:
    """The words of a segment.

    >>> _spoken("and it 's(2) {NOISE} a <sil> gift (AlGore_2009-0012)")
    "and it 's a gift"
    """
    return " ".join(_MARKS.sub(" ", text).split())


def _gender(labels: str) -> str:
    last = labels.replace("_", ",").split(",")[-1].strip().lower()
    return {"male": "m", "m": "m", "female": "f", "f": "f"}.get(last, "")
