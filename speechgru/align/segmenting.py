"""A long recording and its text, cut into a corpus of short utterances; what does not match is left out."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.align.aligning import Listened, listen
from speechgru.align.boundaries import word_edges
from speechgru.align.known_text import KnownText, WrittenWord, encode_words, read_words
from speechgru.align.matching import Match, find_units
from speechgru.align.units import cut_into_units
from speechgru.decoding import greedy_decode
from speechgru.decoding.greedy import label_runs
from speechgru.decoding.hypothesis import peaks_of
from speechgru.errors import UserError
from speechgru.files import make_folder, write_json
from speechgru.progress import Progress, silent
from speechgru.runtime import Recognizer
from speechgru.text import BLANK_ID
from speechgru.utterances.manifest import Utterance, write_manifest

#: Silence that stays before and behind an utterance, where there is any.
_MARGIN_SECONDS = 0.25
#: A pause that a cut needs; between words without one, utterances stay together.
_PAUSE_SECONDS = 0.08
#: Speech between utterances that is long enough to be named as left out.
_NAMED_SECONDS = 1.0
#: Labels between sentences that may be theirs, written a step too early or late.
_LEAST_LABELS = 2
#: Labels beside a sentence that it may have in place of its own, written wrongly; a pause of this length parts them.
_MOST_OWN_LABELS, _GAP_PAUSE_SECONDS = 5, 0.2


@dataclass(frozen=True)
class Segment:
    """An utterance of a long recording.

    Args:
        offset, duration: seconds.
        text: as it is written.
        confidence: 0 to 1, the geometric mean of its labels' (`TimedWord`).
        cost: nats a label that the text is less probable than what the model wrote by itself.
    """

    offset: float
    duration: float
    text: str
    confidence: float
    cost: float


@dataclass(frozen=True)
class Segmented:
    """What became of a recording and its text.

    Args:
        segments: in order.
        left_out: records: of text `kind` "text", `text`, `line`, `reason`; of sound `kind` "sound", `offset`,
            `duration`, `recognized` and `reason`.
        duration: of the recording, seconds.
    """

    segments: list[Segment]
    left_out: list[dict[str, Any]]
    duration: float


@dataclass(frozen=True)
class _Word:
    """A word that was found.

    Args:
        place: in the text.
        unit: its sentence's number.
        start, end: seconds.
        before, behind: where what is before it ends, and what is behind it begins.
        peaks: the log-probabilities of its labels.
        cost: its sentence's.
    """

    place: int
    unit: int
    start: float
    end: float
    before: float
    behind: float
    peaks: tuple[float, ...]
    cost: float


def segment(
    recognizer: Recognizer,
    audio: str | os.PathLike[str],
    text: str | os.PathLike[str],
    *,
    channel: int | None = None,
    least_seconds: float = 1.0,
    most_seconds: float = 20.0,
    progress: Progress = silent,
) -> Segmented:
    """Cuts a recording with its text into utterances at pauses.

    Sentences that are not spoken, speech that is not in the text, and what the model does not find for sure are left
    out (`matching`). A sentence longer than `most_seconds` is cut at its longest pauses, one shorter than
    `least_seconds` goes with the next.

    Args:
        recognizer: the model; it must recognise something of the recording, not much.
        audio: the recording.
        text: a file with what is said in it, perhaps not all of it, perhaps more.
        channel: the one that is meant; None averages them.
        least_seconds, most_seconds: of an utterance.
        progress: called as it is matched.

    Raises:
        AudioError, TextError: the recording or the text cannot be read.
        UserError: the limits are none; or too little of the text is recognised.
    """
    if not 0 < least_seconds < most_seconds:
        raise UserError(f"utterances need 0 < least seconds < most seconds, got {least_seconds:g} and {most_seconds:g}")
    words = read_words(Path(text), recognizer.text_rules)
    left_out = []
    units: list[tuple[list[int], KnownText]] = []  # the places of the spoken words of each, and their labels
    for first, after in cut_into_units(words):
        unknown = [word.text for word in words[first:after] if any(map(recognizer.vocabulary.unwritable, word.spoken))]
        if unknown:
            left_out.append(_left_text(words, first, after, f"the model cannot write {', '.join(unknown)}"))
        elif any(word.spoken for word in words[first:after]):
            known = encode_words(words[first:after], recognizer.vocabulary, where=os.fspath(text))
            units.append(([place for place in range(first, after) if words[place].spoken], known))
    if not units:
        raise UserError(f"{text}: holds no sentence that the model can write")
    listened = listen(recognizer, audio, channel=channel)
    labels = [known.labels for _, known in units]
    try:
        matches = find_units(listened.log_probs_SV, labels, progress=progress)
    except UserError as error:
        raise UserError(f"{audio} and {text}: {error}") from error
    for (places, _), match in zip(units, matches, strict=True):
        if match is None:
            reason = "is not spoken, or the model does not find it for sure"
            left_out.append(_left_text(words, places[0], places[-1] + 1, reason))
    pause_steps = max(1, round(_GAP_PAUSE_SECONDS / listened.step_seconds))
    kept = [match for match in matches if match is not None]
    gaps = _gaps(listened.log_probs_SV, kept, pause_steps=pause_steps)
    found = _find_words(listened, units, matches, gaps)
    segments = []
    for run in _join(_runs(found, most_seconds), least_seconds, most_seconds):
        offset = max(run[0].start - _MARGIN_SECONDS, (run[0].before + run[0].start) / 2)
        end = min(run[-1].end + _MARGIN_SECONDS, (run[-1].end + run[-1].behind) / 2)
        if least_seconds <= end - offset <= most_seconds:
            segments.append(_segment_of(words, run, offset, end))
        else:
            why = "short" if end - offset < least_seconds else "long"
            left_out.append(_left_text(words, run[0].place, run[-1].place + 1, f"is too {why} ({end - offset:.1f} s)"))
    left_out += [_left_sound(recognizer, listened, *gap) for gap in gaps]
    left_out = [one for one in left_out if one["kind"] == "text" or one["duration"] >= _NAMED_SECONDS]
    left_out.sort(key=lambda one: (one["kind"] == "sound", one.get("line", 0), one.get("offset", 0.0)))
    return Segmented(segments, left_out, listened.duration)


def _gaps(log_probs_SV: np.ndarray, matches: Sequence[Match], *, pause_steps: int) -> list[tuple[int, int]]:
    """Steps between sentences in which the model wrote something, from its first label to its last.

    A few labels that follow a sentence without a pause, or lead to one, are its own: the model wrote them wrongly.
    """
    runs = label_runs(log_probs_SV.argmax(axis=1), blank_id=BLANK_ID)
    starts = np.array([start for _, start, _ in runs])
    borders = [0, *(step for match in matches for step in (match.spans[0][0], match.spans[-1][1])), len(log_probs_SV)]
    gaps = []
    for begin, end in zip(borders[::2], borders[1::2], strict=True):
        low, high = map(int, np.searchsorted(starts, [begin, end]))
        between = runs[low:high]
        before = _without_pause([(begin, begin), *((start, after) for _, start, after in between)], pause_steps)
        behind = _without_pause([(-end, -end), *((-after, -start) for _, start, after in between[::-1])], pause_steps)
        before, behind = before if begin else 0, behind if end < len(log_probs_SV) else 0
        between = between[before : max(before, len(between) - behind)]
        if len(between) > _LEAST_LABELS:
            gaps.append((between[0][1], min(end, between[-1][2])))
    return gaps


def _without_pause(spans: Sequence[tuple[int, int]], pause_steps: int) -> int:
    """How many spans follow the first one without a pause; none where they are too many to be a sentence's own.

    >>> _without_pause([(0, 1), (2, 3), (4, 5), (20, 21)], 5)
    2
    """
    count = 0
    for one, two in itertools.pairwise(spans):
        if two[0] - one[1] >= pause_steps:
            return count
        count += 1
        if count > _MOST_OWN_LABELS:
            return 0
    return count


def _find_words(
    listened: Listened,
    units: Sequence[tuple[list[int], KnownText]],
    matches: Sequence[Match | None],
    gaps: Sequence[tuple[int, int]],
) -> list[_Word]:
    """The words of the sentences that were found, with their times."""
    firsts = [(begin, begin + 1) for begin, _ in gaps]
    lasts = [(end - 1, end) for _, end in gaps]
    found: list[tuple[int, int, KnownText, int, Match] | None] = [None] * len(gaps)
    for number, ((places, known), match) in enumerate(zip(units, matches, strict=True)):
        if match is not None:
            for k, (first, after) in enumerate(known.spans):
                firsts.append(match.spans[first])
                lasts.append(match.spans[after - 1])
                found.append((places[k], number, known, k, match))
    order = sorted(range(len(firsts)), key=lambda k: firsts[k])
    edges = word_edges(
        [firsts[k] for k in order],
        [lasts[k] for k in order],
        decibels_T=listened.decibels_T,
        step_seconds=listened.step_seconds,
        duration=listened.duration,
    )
    ends = [0.0, *(end for _, end in edges)]
    starts = [*(start for start, _ in edges), listened.duration]
    words = []
    for rank, k in enumerate(order):
        one = found[k]
        if one is not None:
            place, number, known, word, match = one
            own = slice(*known.spans[word])
            peaks = peaks_of(listened.log_probs_SV, known.labels[own], match.spans[own])
            start, end = edges[rank]
            words.append(_Word(place, number, start, end, ends[rank], starts[rank + 1], tuple(peaks), match.cost))
    return words


def _runs(words: Sequence[_Word], most_seconds: float) -> Iterator[list[_Word]]:
    """Sentences, long ones cut at their longest pauses."""
    for _, own in itertools.groupby(words, key=lambda word: word.unit):
        waiting = [list(own)]
        while waiting:
            run = waiting.pop()
            if run[-1].end - run[0].start + 2 * _MARGIN_SECONDS <= most_seconds or len(run) == 1:
                yield run
                continue
            cut = max(range(1, len(run)), key=lambda k: (run[k].start - run[k - 1].end, -abs(2 * k - len(run))))
            waiting += [run[cut:], run[:cut]]


def _join(runs: Iterable[list[_Word]], least_seconds: float, most_seconds: float) -> list[list[_Word]]:
    """Runs, those joined that follow each other and are too short by themselves or have no pause between."""
    joined: list[list[_Word]] = []
    for run in runs:
        if joined:
            last = joined[-1]
            is_next = run[0].unit - last[-1].unit <= 1 and run[0].before == last[-1].end
            is_short = min(part[-1].end - part[0].start for part in (last, run)) < least_seconds
            seconds = run[-1].end - last[0].start + 2 * _MARGIN_SECONDS
            has_pause = run[0].start - last[-1].end >= _PAUSE_SECONDS
            if is_next and (is_short or not has_pause) and seconds <= most_seconds:
                joined[-1] = last + run
                continue
        joined.append(run)
    return joined


def _segment_of(words: Sequence[WrittenWord], run: Sequence[_Word], offset: float, end: float) -> Segment:
    peaks = [peak for word in run for peak in word.peaks]
    return Segment(
        offset=round(offset, 3),
        duration=round(end - offset, 3),
        text=_written(words, run[0].place, run[-1].place + 1),
        confidence=round(float(np.exp(np.mean(peaks))), 4),
        cost=round(max(word.cost for word in run), 3),
    )


def _written(words: Sequence[WrittenWord], first: int, after: int) -> str:
    """Words as they are written, with what is not spoken behind the last."""
    while after < len(words) and not words[after].spoken and words[after].line == words[after - 1].line:
        after += 1
    return " ".join(word.text for word in words[first:after])


def _left_text(words: Sequence[WrittenWord], first: int, after: int, reason: str) -> dict[str, Any]:
    return {"kind": "text", "line": words[first].line, "text": _written(words, first, after), "reason": reason}


def _left_sound(recognizer: Recognizer, listened: Listened, begin: int, end: int) -> dict[str, Any]:
    recognized = greedy_decode(
        listened.log_probs_SV[begin:end], vocabulary=recognizer.vocabulary, step_seconds=listened.step_seconds
    )
    return {
        "kind": "sound",
        "offset": round(begin * listened.step_seconds, 3),
        "duration": round((end - begin) * listened.step_seconds, 3),
        "recognized": recognized.text,
        "reason": "is not in the text, or the model does not find it for sure",
    }


def write_corpus(
    segmented: Segmented, audio: str | os.PathLike[str], out: str | Path, *, speaker: str | None, channel: int | None
) -> Path:
    """Writes a recording's segments as a manifest and what was left out beside it.

    Args:
        segmented: what `segment` gave.
        audio: the recording, which stays where it is.
        out: the folder; gets `NAME.jsonl` and `NAME_left_out.json`, by the recording's name.
        speaker: who speaks.
        channel: the one that is meant.

    Returns:
        The manifest.

    Raises:
        ManifestError: no manifest can hold the recording's name.
    """
    folder, name = Path(out), Path(audio).stem
    make_folder(folder)
    write_json(folder / f"{name}_left_out.json", segmented.left_out)
    return write_manifest(
        folder / f"{name}.jsonl",
        [
            Utterance(
                audio_filepath=os.path.abspath(audio),
                duration=one.duration,
                text=one.text,
                speaker=speaker,
                offset=one.offset,
                extra={"confidence": one.confidence, "cost": one.cost},
                segment=True,
                channel=channel,
            )
            for one in segmented.segments
        ],
    )
