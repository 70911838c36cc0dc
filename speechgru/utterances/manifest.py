"""Manifests: one utterance a line, as JSON Lines, the form that NeMo and lhotse users know.

```
{"audio_filepath": "audio/0001.flac", "duration": 2.31, "text": "turn on the lights", "speaker": "ada"}
```

`audio_filepath` is absolute or relative to the manifest's own folder, so that a corpus moves as one folder. NeMo's are
relative to the working folder, and are found there where the manifest's own folder has none such.
`duration` and the optional `offset` are seconds. A line with an `offset`, be it 0, names a segment of a recording; one
without names a whole recording, whose duration it should give. Of a recording with several channels the optional
`channel`, from 1 on, names the one that is meant, such as a side of a telephone call; without, they are averaged.
"""

from __future__ import annotations

import functools
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechgru.errors import ManifestError
from speechgru.files import describe_undecodable, read_text
from speechgru.jsonlines import write_lines

#: Measurements beside manifests, left by whoever made the recordings, and measured them before they were written.
MEASUREMENTS_NAME = "measurements.jsonl"

_KNOWN = ("audio_filepath", "duration", "text", "speaker", "offset", "channel")
#: Of a line, however many fields of their own people give it.
_MOST_CHARACTERS = 1_000_000
#: A thousand years: what is longer is no number of seconds, and some of it no float.
_MOST_SECONDS = 1e11
#: Faulty lines that a message lists behind the first one.
_MOST_LINES = 10
#: What a WAV's header can count.
_MOST_CHANNELS = 65_535


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording, or a segment of one, with its transcript.

    Args:
        audio_filepath: absolute path of the recording.
        duration: seconds of audio.
        text: the transcript as written, before normalisation; may be empty.
        speaker: who speaks, where known.
        offset: seconds into the recording at which the segment starts.
        extra: further fields of the line, kept as they are.
        line: 1-based line of the manifest it was read from; 0 when it was not read from one.
        segment: whether a part of a recording is meant: an offset was given, be it 0. True wherever it is not 0.
        channel: the channel that is meant, from 1 on; None for the average of all.
    """

    audio_filepath: str
    duration: float
    text: str
    speaker: str | None = None
    offset: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)
    line: int = 0
    segment: bool = False
    channel: int | None = None

    def __post_init__(self) -> None:
        if self.offset:
            object.__setattr__(self, "segment", True)

    @property
    def utterance_id(self) -> str:
        """A short name for messages: the file's name, the channel, and the offset of a segment."""
        name = os.path.basename(self.audio_filepath) + (f"#{self.channel}" if self.channel else "")
        return f"{name}@{self.offset:.3f}" if self.offset else name


def distinct_names(utterances: Sequence[Utterance]) -> list[str]:
    """A short name of each utterance for people: its `utterance_id`, with folders in front where others share it.

    >>> distinct_names([Utterance("/a/ann/take 6.wav", 1.0, ""), Utterance("/a/bo/take 6.wav", 1.0, "")])
    ['ann/take 6.wav', 'bo/take 6.wav']
    """
    names = [utterance.utterance_id for utterance in utterances]
    folders = [Path(utterance.audio_filepath).parts[:-1] for utterance in utterances]
    for depth in range(1, 1 + max(map(len, folders), default=0)):
        counts = Counter(names)
        if len(counts) == len(names):
            break
        names = [
            f"{parts[-depth]}/{name}" if counts[name] > 1 and depth < len(parts) else name
            for name, parts in zip(names, folders, strict=True)
        ]
    return names


def read_manifest(path: str | Path, *, needs_text: bool = True) -> list[Utterance]:
    """Reads a manifest whole.

    Args:
        path: a JSON Lines file.
        needs_text: whether each line has a transcript, be it empty; negatives need none.

    Returns:
        The utterances in the file's order, with absolute audio paths.

    Raises:
        ManifestError: the file is missing, empty, not UTF-8, or lines are not utterances; names file, lines and fix.
    """
    path = Path(path)
    if path.is_dir():
        raise ManifestError(f"{path}: is a folder; name a manifest{_example_in(path)}")
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such manifest; `speechgru prepare` writes manifests") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: {describe_undecodable(error)}; a manifest is JSON Lines in UTF-8") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    locate = _locator(path.absolute().parent)
    utterances: list[Utterance] = []
    faults: dict[int, ManifestError] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                utterances.append(_parse_line(line, number, path=path, locate=locate, needs_text=needs_text))
            except ManifestError as error:
                faults[number] = error
    if faults:
        first, *others = faults
        raise ManifestError(f"{faults[first]}{_and_others(others)}") from faults[first].__cause__
    if not utterances:
        raise ManifestError(f"{path}: holds no utterance; a manifest has one JSON object a line")
    return utterances


def _example_in(folder: Path) -> str:
    """Of a folder's manifests one, for a message."""
    found = sorted(file for file in folder.glob("*.jsonl") if file.name != MEASUREMENTS_NAME)
    return f" in it, such as {found[-1]}" if found else ", a file of a line an utterance; none is in this folder"


def _and_others(lines: Sequence[int]) -> str:
    """The further lines that are no utterances, for the end of the message about the first one.

    >>> _and_others([5, 7])
    '. The lines 5 and 7 are not utterances either'
    """
    if not lines:
        return ""
    *shown, last = map(str, lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        return f". {len(lines):,} more lines are not utterances either: {', '.join([*shown, last])}, ..."
    return (
        f". The lines {', '.join(shown)} and {last} are not utterances either"
        if shown
        else (f". Line {last} is not an utterance either")
    )


def _locator(folder: Path) -> Callable[[str], str]:
    """What finds the recordings that the lines of a manifest name.

    Folders are looked for, each once, rather than each of a hundred thousand recordings.

    Args:
        folder: the manifest's own.

    Returns:
        A function from `audio_filepath` to an absolute path without `..`, be there such a recording or not.
    """
    is_folder = functools.cache(os.path.isdir)

    def locate(name: str) -> str:
        written = os.path.join(folder, os.path.expanduser(name))
        path = os.path.normpath(written)
        if not is_folder(os.path.dirname(path)):
            # `..` behind a linked folder leads elsewhere than it reads; and NeMo's paths begin at the working folder.
            for other in (written, os.path.abspath(name)):
                if is_folder(os.path.dirname(other)) and os.path.exists(other):
                    return other
        # A Mac writes accented letters of names as two characters, Windows folders with another stroke.
        if (not name.isascii() or "\\" in name) and not os.path.lexists(path):
            spellings = [unicodedata.normalize(form, path) for form in ("NFC", "NFD")]
            spellings += [os.path.normpath(spelling.replace("\\", "/")) for spelling in (path, *spellings)]
            return next((spelling for spelling in spellings if os.path.lexists(spelling)), path)
        return path

    return locate


def _parse_line(line: str, number: int, *, path: Path, locate: Callable[[str], str], needs_text: bool) -> Utterance:
    where = f"{path}:{number}"
    if len(line) > _MOST_CHARACTERS:
        raise ManifestError(f"{where}: has {len(line):,} characters, and a line about an utterance some hundreds")
    try:
        record = json.loads(line)
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"{where}: holds {error.object[error.start : error.end]!r}, half of a character, which UTF-8 cannot hold; "
            "where it stands in a file's name, rename that file"
        ) from error
    except RecursionError as error:
        raise ManifestError(f"{where}: is nested too deeply to be an utterance") from error
    except ValueError as error:  # a plain one is a number of thousands of digits
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        shown = line.strip()[:60]
        raise ManifestError(
            f"{where}: is not JSON ({reason}): {shown!r}; "
            'expected one object a line, such as {"audio_filepath": "a.wav", "duration": 1.5, "text": "yes"}'
        ) from error
    if not isinstance(record, dict):
        raise ManifestError(f"{where}: expected a JSON object, got {type(record).__name__}")
    if not needs_text:
        record.setdefault("text", "")
    missing = [key for key in ("audio_filepath", "duration", "text") if key not in record]
    if missing:
        raise ManifestError(f"{where}: lacks {' and '.join(missing)}; got the keys {', '.join(record) or '(none)'}")
    for key, kinds, word in (("audio_filepath", str, "text"), ("text", str, "text"), ("speaker", str, "text")):
        value = record.get(key)
        if value is None and key == "speaker":
            continue
        if not isinstance(value, kinds):
            raise ManifestError(f"{where}: {key} must be {word} in quotes, got {_shown(value)}")
    if not record["audio_filepath"] or "\0" in record["audio_filepath"]:
        what = "holds a null character" if record["audio_filepath"] else "is empty"
        raise ManifestError(f"{where}: audio_filepath {what}; give the path of a recording")
    for key in ("duration", "offset"):
        value = record.get(key, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_SECONDS:
            raise ManifestError(f"{where}: {key} must be a number of seconds, 0 or more, got {_shown(value)}")
    fault = fault_of_channel(record.get("channel"))
    if fault is not None:
        raise ManifestError(f"{where}: {fault}")
    return Utterance(
        audio_filepath=locate(record["audio_filepath"]),
        duration=float(record["duration"]),
        text=record["text"],
        speaker=None if record.get("speaker") is None else unicodedata.normalize("NFC", record["speaker"]),
        offset=float(record.get("offset", 0.0)),
        extra={key: value for key, value in record.items() if key not in _KNOWN},
        line=number,
        segment="offset" in record,
        channel=record.get("channel"),
    )


def fault_of_channel(channel: Any) -> str | None:
    """What is wrong with a line's or a row's `channel`, in a sentence; None where it is one, or none is given.

    >>> fault_of_channel("left")
    "channel must be a channel's number from 1 on, got 'left'; give another name to a field about something else"
    """
    is_number = isinstance(channel, int) and not isinstance(channel, bool)
    if channel is None or (is_number and 1 <= channel <= _MOST_CHANNELS):
        return None
    return (
        f"channel must be a channel's number from 1 on, got {_shown(channel)}; give another name to a field about "
        "something else"
    )


def _shown(value: Any) -> str:
    """A value for a message; a long one by its beginning."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> Path:
    """Writes utterances as JSON Lines, atomically.

    Audio is written relative to the manifest's folder, with `..` where it lies beside or above it, so that a project
    can be moved, or read from another machine, with its recordings. Audio that has no folder in common with the
    manifest but the root is written absolute.

    Args:
        path: the file to write; its folder is made when it is missing.
        utterances: what to write, in order.

    Returns:
        `path`.

    Raises:
        ManifestError: a recording's name is not UTF-8; what was there before is intact.
    """
    path = Path(path)
    folder = path.absolute().parent
    write_lines(path, (_as_record(utterance, folder) for utterance in utterances), ascii_only=False)
    return path


def require_storable(path: str) -> None:
    """Refuses a recording's name that no manifest can hold, to be asked before anything long is done.

    Raises:
        ManifestError: it is not UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"{path!a}: its name is not UTF-8, so that no manifest can hold it; rename the file or folder"
        ) from error


def _as_record(utterance: Utterance, folder: Path) -> dict[str, Any]:
    require_storable(utterance.audio_filepath)
    record: dict[str, Any] = {
        "audio_filepath": relative_path(utterance.audio_filepath, folder),
        "duration": round(utterance.duration, 6),
        "text": utterance.text,
    }
    if utterance.speaker is not None:
        record["speaker"] = utterance.speaker
    if utterance.segment:
        record["offset"] = round(utterance.offset, 6)
    if utterance.channel is not None:
        record["channel"] = utterance.channel
    return record | utterance.extra


def relative_path(path: str | Path, folder: Path) -> str:
    """A path as a manifest in a folder names it: relative, with `/`; absolute where they share the root alone.

    >>> relative_path("/home/ada/recordings/a.wav", Path("/home/ada/data/mine"))
    '../../recordings/a.wav'
    >>> relative_path("/corpora/a.wav", Path("/home/ada/data/mine"))
    '/corpora/a.wav'
    """
    absolute = os.path.abspath(path)
    try:
        shared = Path(os.path.commonpath([absolute, folder]))
    except ValueError:  # Windows: on two drives
        return absolute
    if shared.parent == shared:
        return absolute
    relative = Path(os.path.relpath(absolute, folder)).as_posix()
    return f"./{relative}" if relative.startswith("~") else relative  # a bare ~ is somebody's home
