"""The forms: what each looks like, and which one a file's name asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from speechgru.errors import UserError
from speechgru.files import encode_json
from speechgru.timed.subtitles import cut_into_cues
from speechgru.timed.words import TimedRecording, TimedWord
from speechgru.visible import visible

_VTT_MARKS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True)
class TimedFormat:
    """A form.

    Args:
        name: as an option names it.
        suffix: of its files.
        summary: what reads it.
        write: recordings to text.
        holds_several: whether a file can hold several recordings.
    """

    name: str
    suffix: str
    summary: str
    write: Callable[[Sequence[TimedRecording]], str]
    holds_several: bool = False


def timed_text(recordings: Sequence[TimedRecording], form: str) -> str:
    """Recordings in a form.

    Args:
        recordings: one, or several where the form holds several.
        form: a name of `FORMATS`.

    Raises:
        UserError: there is no such form, or it does not hold several recordings.
    """
    found = _find(form)
    if len(recordings) != 1 and not found.holds_several:
        raise UserError(f"{found.name} holds one recording a file, and these are {len(recordings)}; name a folder")
    shown = [replace(one, words=[_shown(word) for word in one.words]) for one in recordings]
    return found.write(shown)


def _shown(word: TimedWord) -> TimedWord:
    """A word that steers no terminal and ends no line."""
    return replace(
        word,
        text=visible(word.text, in_a_line=True),
        labels=tuple(replace(label, text=visible(label.text, in_a_line=True)) for label in word.labels),
    )


def format_of(path: str | Path | None, form: str | None) -> TimedFormat | None:
    """The form that is asked for, by its name or by a file's suffix; None where neither asks for one.

    Raises:
        UserError: there is no such form, or the suffix is none of a form and no name says which.

    Example:
        >>> format_of("talk.TextGrid", None).name
        'textgrid'
    """
    if form is not None:
        return _find(form)
    suffix = "" if path is None else PurePath(path).suffix.lower()
    if not suffix:
        return None
    found = [one for one in FORMATS.values() if one.suffix.lower() == suffix and one.name != "audacity"]
    if not found:
        known = ", ".join(one.suffix for one in FORMATS.values() if one.name != "audacity")
        raise UserError(f"{path}: the suffix {suffix} names no form ({known}); add --format {'|'.join(FORMATS)}")
    return found[0]


def _find(form: str) -> TimedFormat:
    if form.lower() not in FORMATS:
        raise UserError(f"expected --format {', '.join(FORMATS)}, got {form!r}")
    return FORMATS[form.lower()]


def _srt(recordings: Sequence[TimedRecording]) -> str:
    return "\n".join(
        f"{number}\n{_clock(cue.start_seconds, ',')} --> {_clock(cue.end_seconds, ',')}\n" + "\n".join(cue.lines) + "\n"
        for number, cue in enumerate(_cues(recordings), start=1)
    )


def _vtt(recordings: Sequence[TimedRecording]) -> str:
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start_seconds, '.')} --> {_clock(cue.end_seconds, '.')}\n"
        + "".join(f"{line.translate(_VTT_MARKS)}\n" for line in cue.lines)
        for cue in _cues(recordings)
    )


def _cues(recordings: Sequence[TimedRecording]) -> Iterable[Any]:
    (recording,) = recordings
    return cut_into_cues(recording.words, duration=recording.duration)


def _clock(seconds: float, mark: str) -> str:
    """Hours, minutes, seconds and milliseconds.

    >>> _clock(3661.0005, ",")
    '01:01:01,000'
    """
    milliseconds = max(0, round(1000 * seconds))
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{mark}{milliseconds % 1000:03}"


def _ctm(recordings: Sequence[TimedRecording]) -> str:
    """NIST's form of words with times: recording, channel, start, seconds, word, confidence."""
    names = _names([recording.audio_filepath for recording in recordings])
    lines = [
        f"{name} {recording.channel or 1} {word.start_seconds:.3f} {word.end_seconds - word.start_seconds:.3f} "
        f"{word.text.split()[0]} {word.confidence:.3f}\n"
        for name, recording in zip(names, recordings, strict=True)
        for word in recording.words
    ]
    return "".join(lines)


def _names(paths: Sequence[str]) -> list[str]:
    """Names of recordings without white space: of files their names, where two are alike their paths."""
    stems = [re.sub(r"\s", "_", PurePath(path).stem) for path in paths]
    places: dict[str, set[str]] = {}
    for stem, path in zip(stems, paths, strict=True):
        places.setdefault(stem, set()).add(path)
    return [
        stem if len(places[stem]) == 1 else re.sub(r"\s", "_", path) for stem, path in zip(stems, paths, strict=True)
    ]


def _audacity(recordings: Sequence[TimedRecording]) -> str:
    (recording,) = recordings
    return "".join(f"{word.start_seconds:.6f}\t{word.end_seconds:.6f}\t{word.text}\n" for word in recording.words)


def _textgrid(recordings: Sequence[TimedRecording]) -> str:
    """Praat's long form: a tier of words, and one of labels where they are known; pauses are empty intervals."""
    (recording,) = recordings
    words = [(word.start_seconds, word.end_seconds, word.text) for word in recording.words]
    labels = [(label.start_seconds, label.end_seconds, label.text) for word in recording.words for label in word.labels]
    tiers = [("words", words), *([("labels", labels)] if labels else [])]
    end = max([recording.duration, *(span[1] for _, spans in tiers for span in spans)])
    lines = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}",
        "tiers? <exists>", f"size = {len(tiers)}", "item []:",
    ]  # fmt: skip
    for number, (name, spans) in enumerate(tiers, start=1):
        intervals = _intervals(spans, end)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {end:.6f}", f"        intervals: size = {len(intervals)}"]
        for place, (start, stop, text) in enumerate(intervals, start=1):
            quoted = text.replace('"', '""')
            lines += [f"        intervals [{place}]:", f"            xmin = {start}", f"            xmax = {stop}"]
            lines += [f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"


def _intervals(spans: Iterable[tuple[float, float, str]], end: float) -> list[tuple[str, str, str]]:
    """Spans with the pauses between them, their times as they are written, so that neighbours share them exactly."""
    intervals, last = [], f"{0:.6f}"
    for start, stop, text in spans:
        begin, after = f"{start:.6f}", f"{stop:.6f}"
        if begin != last:
            intervals.append((last, begin, ""))
        if after != begin:  # Praat refuses an interval without length
            intervals.append((begin, after, text))
        last = after
    if last != f"{end:.6f}" or not intervals:
        intervals.append((last, f"{end:.6f}", ""))
    return intervals


def _json(recordings: Sequence[TimedRecording]) -> str:
    return encode_json([as_record(recording) for recording in recordings], indent=2).decode() + "\n"


def as_record(recording: TimedRecording) -> dict[str, Any]:
    """A recording JSON-ready: `audio_filepath`, `duration`, what its record says, `words` with times and labels."""
    words = []
    for word in recording.words:
        entry = asdict(word)
        if not entry["labels"]:
            del entry["labels"]
        words.append(entry)
    return {
        "audio_filepath": recording.audio_filepath,
        "duration": recording.duration,
        **recording.record,
        "words": words,
    }


#: The forms by name.
FORMATS: dict[str, TimedFormat] = {
    one.name: one
    for one in (
        TimedFormat("textgrid", ".TextGrid", "Praat: words and labels as tiers", _textgrid),
        TimedFormat("ctm", ".ctm", "NIST's words with times, for scoring tools", _ctm, holds_several=True),
        TimedFormat("srt", ".srt", "subtitles of video players", _srt),
        TimedFormat("vtt", ".vtt", "subtitles of browsers", _vtt),
        TimedFormat("json", ".json", "all of it, for programs", _json, holds_several=True),
        TimedFormat("audacity", ".txt", "Audacity's labels", _audacity),
    )
}
