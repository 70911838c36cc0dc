"""One utterance: its reference over what was recognised, its errors marked, and its recording to play."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from speechgru.files import for_soundfile
from speechgru.metrics.error_rates import AlignedPair, align
from speechgru.report.html import is_number, seconds, text

#: The longest recording in a page, so that it stays small enough to send by mail.
MAX_PLAYER_SECONDS = 10.0

LEGEND_HTML = (
    '<p class="quiet">The reference is above what was recognised. <span class="lost">Struck through</span>: missed or '
    'replaced. <span class="wrong">Underlined</span>: recognised in its place, or added. \u00b7 marks a word without a '
    "partner.</p>"
)


def aligned(reference: str, hypothesis: str, *, words: Sequence[Mapping[str, Any]] = ()) -> str:
    """Reference over hypothesis, word by word, with the errors marked; a screen reader reads the two texts.

    Args:
        reference: the text of the manifest.
        hypothesis: the text that was recognised.
        words: the hypothesis' words with `start_seconds`, `end_seconds` and `confidence`, for a reader who points at
            one.

    >>> import re
    >>> re.findall("<(del|ins) .*?>(.*?)<", aligned("turn on the light", "turn the lights"))
    [('del', 'on'), ('del', 'light'), ('ins', 'lights')]
    """
    pairs = align(reference.split(), hypothesis.split())
    hints = iter(map(_hint, words) if len(words) == len(hypothesis.split()) else [])
    inner = "".join(_pair(pair, hint="" if pair.hypothesis is None else next(hints, "")) for pair in pairs)
    return (
        f'<p class="hidden">Reference: {text(reference) or "(empty)"}. Recognised: {text(hypothesis) or "(empty)"}.</p>'
        '<div class="aligned" aria-hidden="true"><div class="names"><span>reference</span><span>recognised</span></div>'
        f'<div class="pairs">{inner or _pair(AlignedPair("equal", "(nothing)", "(nothing)"))}'
        "</div></div>"
    )


def _hint(word: Mapping[str, Any]) -> str:
    return (
        f", {word['start_seconds']:.2f} to {word['end_seconds']:.2f} s, confidence {word['confidence']:.2f}"
        if all(is_number(word.get(key)) for key in ("start_seconds", "end_seconds", "confidence"))
        else ""
    )


def _pair(pair: AlignedPair, *, hint: str = "") -> str:
    def side(word: str | None, kind: str, hint: str = "") -> str:
        if word is None:
            return '<span class="gap">\u00b7</span>'
        name = "del" if kind == "lost" else "ins" if kind == "wrong" else "span"
        inner = f'<{name} class="{kind}">{text(word)}</{name}>' if kind else text(word)
        return f'<span dir="auto" title="{text(word + hint)}">{inner}</span>'

    right = pair.operation == "equal"
    return (
        f'<span class="pair">{side(pair.reference, "" if right else "lost")}'
        f"{side(pair.hypothesis, '' if right else 'wrong', hint)}</span>"
    )


def utterance_card(utterance: Mapping[str, Any], *, with_player: bool) -> str:
    """One utterance with its errors, facts and, where asked for and possible, a player.

    Args:
        utterance: any of `utterance_id`, `reference`, `hypothesis`, `word_errors`, `words` (of the reference),
            `speaker`, `duration` (seconds), `confidence`, `hypothesis_words` (see `aligned`), and for the player
            `audio_filepath`, `offset` (seconds) and `channel`.
        with_player: whether the recording is put into the page.
    """
    errors, words = utterance.get("word_errors"), utterance.get("words")
    facts = [f"{errors} {'error' if errors == 1 else 'errors'} in {words} {'word' if words == 1 else 'words'}"]
    if utterance.get("speaker"):
        facts.append(f"speaker {utterance['speaker']}")
    if is_number(utterance.get("duration")):
        facts.append(seconds(utterance["duration"]))
    if is_number(utterance.get("confidence")):
        facts.append(f"confidence {utterance['confidence']:.2f}")
    player_html = player(utterance) if with_player else ""
    texts_html = aligned(
        str(utterance.get("reference", "")),
        str(utterance.get("hypothesis", "")),
        words=utterance.get("hypothesis_words") or (),
    )
    return (
        f'<article class="card"><header><h3>{text(utterance.get("utterance_id", "utterance"))}</h3>'
        f"{''.join(f'<span>{text(fact)}</span>' for fact in facts)}</header>"
        f"{texts_html}{player_html}</article>"
    )


def player(utterance: Mapping[str, Any]) -> str:
    """A player of the recording, or a sentence on why there is none.

    >>> player({"audio_filepath": None})
    '<p class="quiet">No player: the evaluation names no recording.</p>'
    """
    try:
        wav = read_wav(
            utterance.get("audio_filepath"),
            offset=utterance.get("offset") or 0.0,
            duration=utterance.get("duration"),
            channel=utterance.get("channel"),
        )
    except AudioUnavailableError as error:
        return f'<p class="quiet">No player: {text(error)}.</p>'
    source = base64.b64encode(wav).decode()
    name = text(f"Recording of {utterance.get('utterance_id', 'the utterance')}")
    return f'<audio controls preload="metadata" aria-label="{name}" src="data:audio/wav;base64,{source}"></audio>'


class AudioUnavailableError(Exception):
    """A recording that cannot be put into the page; the message says why, for a reader of the page."""


def read_wav(
    path: str | None, *, offset: float = 0.0, duration: float | None = None, channel: int | None = None
) -> bytes:
    """A recording, or a segment of one, as a mono 16-bit WAV at its own sample rate.

    Args:
        path: the recording.
        offset: seconds into it at which the segment starts.
        duration: seconds of the segment; without, to the end.
        channel: the one to play, from 1 on; without, their average.

    Raises:
        AudioUnavailableError: it is missing, broken, empty, without that channel or longer than `MAX_PLAYER_SECONDS`,
            or soundfile is not installed.
    """
    if not path:
        raise AudioUnavailableError("the evaluation names no recording")
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package without its library
        raise AudioUnavailableError("soundfile is not installed") from error
    try:
        with soundfile.SoundFile(for_soundfile(path)) as recording:
            start = round(offset * recording.samplerate)
            length = recording.frames - start
            if duration is not None:
                length = min(length, round(duration * recording.samplerate))
            if length > MAX_PLAYER_SECONDS * recording.samplerate:
                raise AudioUnavailableError(f"the recording is longer than {MAX_PLAYER_SECONDS:.0f} s")
            if length <= 0:
                raise AudioUnavailableError("the recording has no samples")
            if channel is not None and not 1 <= channel <= recording.channels:
                raise AudioUnavailableError(f"the recording has no channel {channel}")
            recording.seek(start)
            samples_NC = recording.read(length, dtype="float32", always_2d=True)
            stream = io.BytesIO()
            samples_N = samples_NC.mean(axis=1) if channel is None else samples_NC[:, channel - 1]
            soundfile.write(stream, samples_N, recording.samplerate, format="WAV", subtype="PCM_16")
    except (RuntimeError, OSError, ValueError, TypeError) as error:  # LibsndfileError is a RuntimeError
        raise AudioUnavailableError("the recording cannot be read") from error
    return stream.getvalue()
