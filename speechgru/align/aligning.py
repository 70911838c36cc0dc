"""When each word of a known text was said."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru import lengths
from speechgru.align.boundaries import word_edges
from speechgru.align.known_text import KnownText, WrittenWord, encode_words, read_words, split_words
from speechgru.align.loudness import Loudness
from speechgru.audio.reading import Recording, read_blocks, read_recording
from speechgru.decoding import align as align_labels
from speechgru.decoding.hypothesis import peaks_of
from speechgru.errors import AudioError, TextError, UserError
from speechgru.progress import Progress, silent
from speechgru.runtime import Recognizer
from speechgru.text import BLANK_ID
from speechgru.timed import TimedLabel, TimedRecording, TimedWord
from speechgru.utterances.manifest import Utterance, read_manifest
from speechgru.visible import counted

#: Below this mean confidence a text is most likely another recording's. Chosen on recordings with texts of others.
_DOUBTFUL = 0.1


@dataclass(frozen=True)
class Listened:
    """What a model made of a recording, and how loud that is.

    Args:
        log_probs_SV: natural logarithms.
        decibels_T: see `Loudness.decibels_T`.
        duration: seconds.
        offset: seconds of the recording at which it begins.
        step_seconds: seconds from one step to the next.
    """

    log_probs_SV: np.ndarray
    decibels_T: np.ndarray
    duration: float
    offset: float
    step_seconds: float


def listen(
    recognizer: Recognizer,
    path: str | os.PathLike[str],
    *,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> Listened:
    """Runs the model over a recording, block by block, or over a segment of one.

    Raises:
        AudioError: it cannot be read.
    """
    blocks: Iterable[np.ndarray]
    if offset or duration is not None:
        recording = read_recording(path, offset=offset, duration=duration, channel=channel)
        sample_rate, blocks = recording.sample_rate, [recording.samples_N]
    else:
        recordings = read_blocks(path, channel=channel)
        first = next(recordings)
        sample_rate, blocks = first.sample_rate, _samples_of(itertools.chain([first], recordings))
    loudness = Loudness(sample_rate)
    pieces = list(recognizer.log_probs_of_blocks(loudness.watch(blocks), sample_rate))
    log_probs_SV = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return Listened(log_probs_SV, loudness.decibels_T(), loudness.duration, offset, recognizer.step_seconds)


def _samples_of(recordings: Iterable[Recording]) -> Iterator[np.ndarray]:
    for recording in recordings:
        yield recording.samples_N


def place_words(listened: Listened, text: KnownText, *, recognizer: Recognizer, where: str) -> list[TimedWord]:
    """The words of a text with their times in the recording and their confidences.

    Raises:
        TextError: the recording is too short for the text.
    """
    log_probs_SV = listened.log_probs_SV
    needed = lengths.min_steps(list(text.labels))
    if len(log_probs_SV) < needed:
        raise TextError(
            f"{where}: {counted(len(text.words), 'word needs', 'words need')} "
            f"{needed * listened.step_seconds:.1f} s at least, and the "
            f"recording has {listened.duration:.1f} s; is this its text?"
        )
    if text.gap_label in text.labels:
        # What stands for anything is as probable as the most probable label of each step, silence among them.
        log_probs_SV = np.concatenate([log_probs_SV, log_probs_SV.max(axis=1, keepdims=True)], axis=1)
    try:
        spans = align_labels(log_probs_SV, text.labels, blank_id=BLANK_ID)
    except ValueError as error:  # a model that is certain of something else at each step
        raise TextError(f"{where}: {error}; is this the recording's text?") from error
    return time_words(listened, text, spans, recognizer=recognizer)


def time_words(
    listened: Listened, text: KnownText, spans: Sequence[tuple[int, int]], *, recognizer: Recognizer
) -> list[TimedWord]:
    """Words with their times and confidences, of labels with their spans."""
    vocabulary = recognizer.vocabulary
    # A gap is like a word: others do not reach into it.
    pieces = sorted([*text.spans, *((k, k + 1) for k, label in enumerate(text.labels) if label == text.gap_label)])
    edges = word_edges(
        [spans[first] for first, _ in pieces],
        [spans[after - 1] for _, after in pieces],
        decibels_T=listened.decibels_T,
        step_seconds=listened.step_seconds,
        duration=listened.duration,
    )
    words = dict(zip(text.spans, text.words, strict=True))
    timed = []
    for piece, (start, end) in zip(pieces, edges, strict=True):
        if piece not in words:
            continue
        own = slice(*piece)
        labels, own_spans = text.labels[own], spans[own]
        peaks = peaks_of(listened.log_probs_SV, labels, own_spans)
        # A label ends where the next one begins: in the middle between their spikes.
        inner = [(a[1] + b[0]) / 2 * listened.step_seconds for a, b in itertools.pairwise(own_spans)]
        borders = [start, *(min(max(start, border), end) for border in inner), end]
        borders = [round(listened.offset + border, 3) for border in borders]
        timed.append(
            TimedWord(
                words[piece].text,
                borders[0],
                borders[-1],
                float(np.exp(np.mean(peaks))),
                tuple(
                    TimedLabel(vocabulary.entries[label - 1], a, b, float(np.exp(peak)))
                    for label, (a, b), peak in zip(labels, itertools.pairwise(borders), peaks, strict=True)
                ),
            )
        )
    return timed


def align_recording(
    recognizer: Recognizer,
    audio: str | os.PathLike[str],
    words: Sequence[WrittenWord],
    *,
    where: str,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
    leave_out_unknown: bool = False,
) -> TimedRecording:
    """Aligns one recording, or a segment of one, with its text.

    Args:
        recognizer: the model.
        audio: the recording.
        words: what is said in it.
        where: the text's name, for messages.
        offset, duration: seconds of a segment; times are those of the whole recording.
        channel: the one that is meant; None averages them.
        leave_out_unknown: as in `encode_words`.

    Returns:
        The words with their times. Its record holds `text`, `confidence` (the geometric mean of the words'),
        `left_out` (words) and `notes`.

    Raises:
        AudioError: the recording cannot be read.
        TextError: the model cannot write the text, or the recording is too short for it.
    """
    text = encode_words(words, recognizer.vocabulary, where=where, leave_out_unknown=leave_out_unknown)
    listened = listen(recognizer, audio, offset=offset, duration=duration, channel=channel)
    timed = place_words(listened, text, recognizer=recognizer, where=where)
    confidence = float(np.exp(np.mean(np.log([max(1e-9, word.confidence) for word in timed]))))
    notes = []
    if text.left_out:
        shown = ", ".join(dict.fromkeys(word.text for word in text.left_out))
        what = counted(len(text.left_out), "word was", "words were")
        notes.append(f"{what} left out, which the model cannot write: {shown[:200]}")
    if confidence < _DOUBTFUL:
        notes.append(f"the confidence is {confidence:.2f}: is this the recording's text, and the model's language?")
    record = {
        "text": " ".join(word.text for word in timed),
        "confidence": confidence,
        "left_out": [word.text for word in text.left_out],
        "notes": notes,
    }
    return TimedRecording(os.fspath(audio), listened.offset + listened.duration, timed, record, channel)


def align(
    recognizer: Recognizer,
    audio: str | os.PathLike[str],
    text: str | os.PathLike[str],
    *,
    channel: int | None = None,
    leave_out_unknown: bool = False,
) -> TimedRecording:
    """Aligns a recording with the text in a file (`align_recording`).

    Raises:
        AudioError, TextError: as `align_recording`; the file cannot be read, or holds no word.
    """
    words = read_words(Path(text), recognizer.text_rules)
    return align_recording(
        recognizer, audio, words, where=os.fspath(text), channel=channel, leave_out_unknown=leave_out_unknown
    )


def align_manifest(
    recognizer: Recognizer,
    manifest: str | Path,
    *,
    leave_out_unknown: bool = False,
    progress: Progress = silent,
) -> tuple[list[tuple[Utterance, TimedRecording]], list[UserError]]:
    """Aligns each recording of a manifest with its text.

    One that cannot be read, or whose text does not fit, does not keep the others from being aligned.

    Args:
        recognizer: the model.
        manifest: JSON Lines.
        leave_out_unknown: as in `encode_words`.
        progress: called after each recording.

    Returns:
        Each utterance that was aligned, and what was wrong with the others.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    return align_utterances(
        recognizer, read_manifest(manifest), manifest, leave_out_unknown=leave_out_unknown, progress=progress
    )


def align_utterances(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    manifest: str | Path,
    *,
    leave_out_unknown: bool = False,
    progress: Progress = silent,
) -> tuple[list[tuple[Utterance, TimedRecording]], list[UserError]]:
    """Aligns some of a manifest's recordings, as `align_manifest` does all of them."""
    done: list[tuple[Utterance, TimedRecording]] = []
    failed: list[UserError] = []
    for number, utterance in enumerate(utterances, start=1):
        try:
            timed = align_recording(
                recognizer,
                utterance.audio_filepath,
                split_words(utterance.text, recognizer.text_rules),
                where=f"{manifest}:{utterance.line}",
                offset=utterance.offset,
                duration=utterance.duration if utterance.segment else None,
                channel=utterance.channel,
                leave_out_unknown=leave_out_unknown,
            )
        except (AudioError, TextError) as error:
            failed.append(error)
        else:
            done.append((utterance, timed))
        progress("aligning", number, len(utterances), "")
    return done, failed
