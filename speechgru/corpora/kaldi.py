"""Kaldi data directories: `wav.scp`, `text`, and where they are there `segments`, `utt2spk`, `spk2gender`, `utt2dur`.

```
data/train/wav.scp     call1 audio/call1.wav           a recording each line
data/train/segments    call1-ada-1 call1 0.00 2.31     an utterance, its recording, from and to, in seconds
data/train/text        call1-ada-1 TURN IT OFF
data/train/utt2spk     call1-ada-1 ada
```

Without `segments` each recording is an utterance. Lines have `speaker` where utt2spk tells people from utterances. A
recording that is made by a command is refused, and the command not run. Layout: the Kaldi documentation, "Data
preparation".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechgru.corpora.described import Described, Faults, Places
from speechgru.corpora.extracting import Extraction, plain_name, read_ark, suffix_of
from speechgru.corpora.kaldi_tables import read_table
from speechgru.corpora.sets import Layout
from speechgru.errors import CorpusError

#: A place in an ark: `data/wav.ark:17`.
_IN_ARK = re.compile(r"(.+\.ark):(\d{1,15})")


def usual_directories(folder: Path, name: str) -> Sequence[Path]:
    """The data directory of a name in a folder."""
    return [folder / name] if (folder / name / "wav.scp").exists() else []


def read_directory(folder: Path, split: str, faults: Faults, extraction: Extraction) -> Iterator[Described]:
    """The utterances of a data directory, in the order of `segments` or `wav.scp`.

    Args:
        folder: the directory.
        split: names the files that are copied out of arks.
        faults: takes utterances that stand in one table and not in another.
        extraction: copies recordings out of arks.

    Raises:
        CorpusError: a table is missing or faulty, or a recording is made by a command.
    """
    recordings = read_table(folder / "wav.scp")
    texts = read_table(folder / "text", may_be_empty=True)
    segments = read_table(folder / "segments", optional=True)
    speakers = _speakers(read_table(folder / "utt2spk", optional=True), folder, faults)
    genders = read_table(folder / "spk2gender", optional=True)
    seconds = read_table(folder / "utt2dur", optional=True)
    find = _Recordings(folder, split, recordings, extraction)
    for name in texts.keys() - (segments or recordings).keys():
        where = "segments" if segments else "wav.scp"
        faults.add(f"{folder / 'text'}: {name}", f"has a transcript, and no line in {where}")
    for name in segments or recordings:
        where = f"{folder / ('segments' if segments else 'wav.scp')}: {name}"
        recording, start, end, channel = _parse_segment(segments[name], where) if segments else (name, None, None, None)
        if recording not in recordings:
            faults.add(where, f"is part of the recording {recording}, which wav.scp does not name")
            continue
        if start is not None:
            duration = None if end is None else end - start
        else:
            duration = _number(seconds[name], f"{folder / 'utt2dur'}: {name}") if name in seconds else None
        speaker = speakers.get(name)
        yield Described(
            where,
            find(recording),
            texts.get(name),
            speaker,
            start,
            duration,
            channel,
            {"gender": genders[speaker]} if speaker in genders else {},
        )


def _speakers(table: dict[str, str], folder: Path, faults: Faults) -> dict[str, str]:
    """Who speaks; nobody where every utterance is its own speaker, which is Kaldi's way to say that it is not known."""
    if table and all(name == speaker for name, speaker in table.items()):
        faults.notes.append(f"{folder / 'utt2spk'}: every utterance is its own speaker, so that speakers are not known")
        return {}
    return table


def _parse_segment(value: str, where: str) -> tuple[str, float, float | None, int | None]:
    """Recording, start, end (None for the rest) and channel of a line of `segments`."""
    parts = value.split()
    if len(parts) not in (3, 4):
        raise CorpusError(f"{where}: expected a recording, a start and an end in seconds, got {value!r:.80}")
    start, end = _number(parts[1], where), _number(parts[2], where)
    channel = int(parts[3]) + 1 if len(parts) == 4 and parts[3].isdecimal() else None  # Kaldi counts from 0
    return parts[0], start, None if end == -1 else end, channel


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise CorpusError(f"{where}: expected seconds, got {text!r:.40}")
    return value


class _Recordings:
    """Finds the file of a recording of `wav.scp`; one in an ark is copied out, when it is first asked for."""

    def __init__(self, folder: Path, split: str, table: dict[str, str], extraction: Extraction):
        self._scp, self._split, self._table = folder / "wav.scp", split, table
        self._places, self._extraction = Places(folder), extraction
        self._found: dict[str, Path] = {}
        for name, value in table.items():
            self._refuse_command(name, value)
        places = (_IN_ARK.fullmatch(value) for value in table.values())
        extraction.announce(sorted({self._places.find(place[1]) for place in places if place}))

    def __call__(self, name: str) -> Path:
        """The recording's file, which may be missing."""
        if name not in self._found:
            value = self._table[name]
            place = _IN_ARK.fullmatch(value)
            if place is None:
                self._found[name] = self._places.find(value)
            else:
                where = f"{self._scp}: {name}"
                content = read_ark(self._places.find(place[1]), int(place[2]), where=where)
                file = f"{self._split}/{self._scp.parent.name}/{plain_name(name)}{suffix_of(content)}"
                self._found[name] = self._extraction.put(file, content)
        return self._found[name]

    def _refuse_command(self, name: str, value: str) -> None:
        if value.endswith("|") or value == "-":
            raise CorpusError(
                f"{self._scp}: {name} is what a command prints ({value!r:.100}); commands of a corpus are not run. "
                "Where it only decodes a file (flac -c -d -s FILE |), name that file itself; else write the recordings "
                "to files first, such as by ESPnet's scripts/audio/format_wav_scp.sh"
            )


prepare = Layout(
    "kaldi",
    kind="a Kaldi data directory (wav.scp, text)",
    usual=usual_directories,
    read=read_directory,
    within=(".", "data"),
).prepare
