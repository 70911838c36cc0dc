"""Your own recordings: a folder of audio files with transcripts.

A transcript is a text file beside the recording with the same stem (`kitchen/0001.wav`, `kitchen/0001.txt`), or a row
of one table `transcripts.csv` or `transcripts.tsv` at the top of the folder with the columns `file`, `text` and, where
known, `speaker`. The audio stays where it is; the manifests name it.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from speechgru.errors import CorpusError
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance, write_manifest

_SPLITS = ("train", "dev", "test")
_TABLES = {"transcripts.csv": ",", "transcripts.tsv": "\t"}
_MIN_SPEAKERS = 3  # fewer cannot fill three splits
_SHOWN = 5


@dataclass(frozen=True)
class _Entry:
    audio: Path
    text: str
    speaker: str | None


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    dev_share: float = 0.1,
    test_share: float = 0.1,
) -> dict[str, Path]:
    """Writes manifests of the recordings in a folder, split at random but always alike.

    When every recording has a speaker and there are at least three, whole speakers are dealt to the splits, so that
    test measures new voices; otherwise recordings are. Which goes where follows from a hash of its name and the seed.

    Args:
        out: the folder to write.
        source: the folder of recordings; any format that soundfile reads, at any depth.
        seed: another seed, another split.
        progress: called as recordings are read.
        dev_share: the fraction of speakers or recordings for dev, at least one.
        test_share: the fraction for test, at least one; both together are below 1.

    Returns:
        The manifests by split; each holds at least one utterance.

    Raises:
        CorpusError: no folder, fewer than three recordings, a recording without a transcript or the other way round,
            an unreadable file, or a table that is not as expected; names file, line and fix.
    """
    if source is None:
        raise CorpusError("folder: needs --source, the folder of your recordings and their transcripts")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise CorpusError(f"folder: seed must be a whole number, got {seed!r}")
    for name, share in (("dev_share", dev_share), ("test_share", test_share)):
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise CorpusError(f"folder: {name} must be a fraction between 0 and 1, got {share!r}")
    if dev_share + test_share >= 1:
        raise CorpusError(f"folder: dev_share {dev_share} and test_share {test_share} leave nothing for train")
    utterances = read_folder(source, least=len(_SPLITS), progress=progress)
    splits = _split(utterances, source, seed=seed, dev_share=dev_share, test_share=test_share)
    return {split: write_manifest(out / f"{split}.jsonl", splits[split]) for split in _SPLITS}


def read_folder(source: Path, *, least: int = 1, progress: Progress = silent) -> list[Utterance]:
    """The recordings of a folder with their transcripts, by path, not split.

    Args:
        source: the folder of recordings.
        least: fewer recordings are refused: 3 fill train, dev and test.
        progress: called as recordings are read.

    Raises:
        CorpusError: as `prepare` raises it.
    """
    if not source.is_dir():
        what = "is a file" if source.exists() else "no such folder"
        raise CorpusError(f"{source}: {what}; name the folder of your recordings")
    entries = _read_entries(source)
    if len(entries) < least:
        raise CorpusError(
            f"{source}: holds {len(entries)} recordings with transcripts; at least 3 are needed, one each for train, "
            "dev and test"
        )
    return _measure(entries, source, progress=progress)


def _read_entries(source: Path) -> list[_Entry]:
    """The recordings and their transcripts, by path."""
    import soundfile

    suffixes = {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".opus", ".oga"}
    audio = sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    )
    if not audio:
        raise CorpusError(
            f"{source}: holds no audio file; expected recordings (.wav, .flac, .ogg, .mp3, ...), each with a .txt of "
            "the same name beside it, or a transcripts.csv"
        )
    tables = [source / name for name in _TABLES if (source / name).is_file()]
    if len(tables) > 1:
        raise CorpusError(f"{source}: holds {tables[0].name} and {tables[1].name}; keep one of them")
    return _read_table(tables[0], audio) if tables else _read_sidecars(source, audio)


def _read_sidecars(source: Path, audio: list[Path]) -> list[_Entry]:
    stems: dict[Path, Path] = {}
    for path in audio:
        other = stems.setdefault(path.with_suffix(""), path)
        if other is not path:
            raise CorpusError(f"{path}: shares its transcript with {other.name}; rename one of them")
    without = [path for path in audio if not path.with_suffix(".txt").is_file()]
    if without:
        raise CorpusError(
            f"{source}: {_some(without, source)}: no transcript; write each as a .txt of the same name beside the "
            "recording, or list all in transcripts.csv"
        )
    texts = {path.with_suffix(".txt") for path in audio}
    orphans = sorted(
        path
        for path in source.rglob("*.txt")
        if path not in texts and path.is_file() and not path.stem.lower().startswith(("readme", "license", "licence"))
    )
    if orphans:
        raise CorpusError(
            f"{source}: {_some(orphans, source)}: transcript without a recording; add the recording or remove the text"
        )
    entries = []
    for path in audio:
        transcript = path.with_suffix(".txt")
        lines = [line.strip() for line in _read_text(transcript).splitlines() if line.strip()]
        if len(lines) != 1:
            raise CorpusError(
                f"{transcript}: has {len(lines)} lines with text, expected one: what is said in {path.name}"
            )
        entries.append(_Entry(path, lines[0], None))
    return entries


def _read_table(table: Path, audio: list[Path]) -> list[_Entry]:
    reader = csv.reader(io.StringIO(_read_text(table), newline=""), delimiter=_TABLES[table.name], strict=True)
    folder, known, entries = table.parent, set(audio), {}
    missing: list[str] = []
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        if len(set(header)) != len(header) or not {"file", "text"} <= set(header) <= {"file", "text", "speaker"}:
            raise CorpusError(
                f"{table}:1: the first row must name the columns file, text and, if you like, speaker; "
                f"got {', '.join(header) or 'nothing'}"
            )
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{table}:{reader.line_num}"
            if len(row) != len(header):
                raise CorpusError(
                    f"{where}: has {len(row)} cells, the first row {len(header)}; a text with the separator in it "
                    'must stand in "quotes"'
                )
            cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
            if not cells["file"] or not cells["text"]:
                raise CorpusError(f"{where}: the cell {'text' if cells['file'] else 'file'} is empty; fill it in")
            path = folder / cells["file"]
            if path not in known:
                if path.is_file():
                    raise CorpusError(f"{where}: {cells['file']} is not among the audio files below {folder}")
                missing.append(f"{cells['file']} (line {reader.line_num})")
            elif path in entries:
                raise CorpusError(f"{where}: {cells['file']} stands a second time; keep one row of it")
            else:
                entries[path] = _Entry(path, cells["text"], cells.get("speaker") or None)
    except csv.Error as error:
        raise CorpusError(f"{table}:{reader.line_num}: is not a proper table ({error})") from error
    if missing:
        raise CorpusError(f"{table}: {_some(missing)}: no such recording; correct the name or remove the row")
    without = [path for path in audio if path not in entries]
    if without:
        raise CorpusError(f"{table}: {_some(without, folder)}: recording without a row; add its row or remove the file")
    return [entries[path] for path in audio]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: is not UTF-8 text ({error}); save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from error


def _measure(entries: list[_Entry], source: Path, *, progress: Progress) -> list[Utterance]:
    import soundfile

    utterances, broken = [], []
    for number, entry in enumerate(entries):
        if number % 100 == 0:
            progress("reading", number, len(entries), "")
        try:
            info = soundfile.info(str(entry.audio))
        except (OSError, soundfile.LibsndfileError):
            broken.append(entry.audio)
            continue
        duration = info.frames / info.samplerate
        if not 0 < duration < 24 * 3600:  # libsndfile gives absurd lengths for files that were cut off
            broken.append(entry.audio)
            continue
        utterances.append(
            Utterance(audio_filepath=str(entry.audio), duration=duration, text=entry.text, speaker=entry.speaker)
        )
    if broken:
        raise CorpusError(
            f"{source}: {_some(broken, source)}: not audio that can be read, or no sound in it; repair or remove"
        )
    progress("reading", len(entries), len(entries), "")
    return utterances


def _split(
    utterances: list[Utterance], source: Path, *, seed: int, dev_share: float, test_share: float
) -> dict[str, list[Utterance]]:
    speakers = {utterance.speaker for utterance in utterances}
    by_speaker = None not in speakers and len(speakers) >= _MIN_SPEAKERS

    def unit_of(utterance: Utterance) -> str:
        if by_speaker and utterance.speaker is not None:
            return utterance.speaker
        return Path(utterance.audio_filepath).relative_to(source).as_posix()

    units = sorted(
        {unit_of(utterance) for utterance in utterances},
        key=lambda unit: hashlib.sha256(f"{seed}\0{unit}".encode()).digest(),
    )
    num_test = max(1, round(len(units) * test_share))
    num_dev = max(1, min(round(len(units) * dev_share), len(units) - num_test - 1))
    num_test = min(num_test, len(units) - num_dev - 1)
    test, dev = set(units[:num_test]), set(units[num_test : num_test + num_dev])
    splits: dict[str, list[Utterance]] = {split: [] for split in _SPLITS}
    for utterance in utterances:
        unit = unit_of(utterance)
        splits["test" if unit in test else "dev" if unit in dev else "train"].append(utterance)
    return splits


def _some(items: Iterable[Path | str], folder: Path | None = None) -> str:
    names = [item.relative_to(folder).as_posix() if folder and isinstance(item, Path) else str(item) for item in items]
    more = f" and {len(names) - _SHOWN:,} more ({len(names):,} in all)" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
