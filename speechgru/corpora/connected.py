"""Connected speech from recordings of single words: words of one speaker, one after the other, with pauses.

The recordings keep their samples and their level. A pause is not digital silence, which no microphone gives and which
would mark the words' edges for a model: it is white noise at the level of the quietest moments of the words beside
it, sliding from one word's level to the next one's. Words come from a shuffled deck for each speaker, so that every
recording is used about equally often; the speakers take turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from speechgru.errors import CorpusError
from speechgru.files import make_folder, require_unread
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance, require_storable

_PAUSE_SECONDS = (0.05, 0.3)
_BARE_EDGE_SHARE = 0.2  # of the utterances start (end) with the word itself, as trimmed recordings do
_LEVEL_FRAME_SECONDS = 0.01
_LEVEL_PERCENTILE = 5
_FADE_SECONDS = 0.005
#: Where a word is cut tight, what is at either end so much softer than its loudest moment goes, dB.
_TIGHT_DB = (8.0, 32.0)
#: Up to which frequency it is heard there: a telephone's "s" is soft, whose energy lies above, and is cut off first.
_TIGHT_HZ = (1500.0, 8000.0)
_BLOCK_SECONDS = 0.005
#: Blocks that stay beyond the last loud one, at most.
_MOST_BLOCKS_BEYOND = 4
#: What is left of a word; a shorter rest is a click that was louder than the word.
_LEAST_SECONDS = 0.06
_OWN_AUDIO = "[0-9]" * 6 + ".flac"


def join(
    words: Sequence[Utterance],
    folder: Path,
    *,
    num_utterances: int,
    num_words: range,
    sample_rate: int,
    seed: Sequence[int],
    tight_share: float = 0.0,
    stage: str = "joining",
    progress: Progress = silent,
) -> list[Utterance]:
    """Joins single words into utterances and writes them as 16-bit FLAC.

    Args:
        words: recordings of one word each, or parts of recordings, with speakers, all mono at `sample_rate`.
        folder: where `000000.flac` and so on go; such files of an earlier run are removed first.
        num_utterances: how many to write.
        num_words: the numbers of words in an utterance, drawn evenly.
        sample_rate: Hz.
        seed: whole numbers, 0 or more. The same seed and arguments give the same list and the same samples.
        tight_share: share of the words that are cut tight (`without_soft_ends`).
        stage: the name of this work for `progress`.
        progress: called every 50 utterances.

    Returns:
        The utterances; `joins` in their extra fields holds [start, end] of every word in seconds, `recordings` the
        names of the joined files.

    Raises:
        CorpusError: `folder` cannot be written or a recording cannot be read.
        ManifestError: no manifest can hold the folder's name.
        UserError: one of the words' recordings would be removed.
    """
    make_empty(folder, reads=(word.audio_filepath for word in words))
    decks = _Decks(words, np.random.default_rng([*seed, 0]))
    cache: dict[tuple[str, float, float | None], np.ndarray] = {}
    utterances = []
    for index in range(num_utterances):
        if index % 50 == 0:
            progress(stage, index, num_utterances, "")
        rng = np.random.default_rng([*seed, 1, index])
        chosen = decks.draw(index, int(rng.choice(list(num_words))))
        places = [(word.audio_filepath, word.offset, word.duration if word.segment else None) for word in chosen]
        for place in places:
            if place not in cache:
                cache[place] = _read(*place)
        cutter = np.random.default_rng([*seed, 2, index])
        cuts = [
            faded(without_soft_ends(cache[place], cutter, sample_rate), sample_rate)
            if cutter.random() < tight_share
            else cache[place]
            for place in places
        ]
        samples, joins = concatenate(cuts, sample_rate, rng)
        path = folder / f"{index:06d}.flac"
        write_samples(path, samples, sample_rate)
        utterances.append(
            Utterance(
                audio_filepath=str(path),
                duration=len(samples) / sample_rate,
                text=" ".join(word.text for word in chosen),
                speaker=chosen[0].speaker,
                extra={"joins": joins, "recordings": [Path(word.audio_filepath).name for word in chosen]},
            )
        )
    progress(stage, num_utterances, num_utterances, "")
    return utterances


def make_empty(folder: Path, *, reads: Iterable[str], manifest: Path | None = None) -> None:
    """Makes a folder for joined recordings, and removes those of an earlier run with their manifest.

    Args:
        folder: the folder.
        reads: the recordings that the new ones are made of.
        manifest: what will name them, where a crash must leave none that names other sound.

    Raises:
        CorpusError: it cannot be written.
        ManifestError: no manifest can hold its name.
        UserError: one that is read would be removed.
    """
    require_storable(str(folder))
    require_unread(folder.glob(_OWN_AUDIO), set(reads))
    try:
        make_folder(folder)
        if manifest is not None:
            manifest.unlink(missing_ok=True)
        for path in folder.glob(_OWN_AUDIO):
            path.unlink()
    except OSError as error:
        raise CorpusError(
            f"{folder}: cannot be written ({error.strerror}); choose a folder you may write to"
        ) from error


def write_samples(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Writes int16 samples as FLAC.

    Raises:
        CorpusError: the file cannot be written.
    """
    import soundfile

    try:
        soundfile.write(path, samples, sample_rate, subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"{path}: cannot be written ({error})") from error


class _Decks:
    """One shuffled deck of recordings for each speaker; an empty one is shuffled anew."""

    def __init__(self, words: Sequence[Utterance], rng: np.random.Generator):
        self._words: dict[str, list[Utterance]] = {}
        for word in words:
            self._words.setdefault(word.speaker or "", []).append(word)
        self._speakers = sorted(self._words)
        self._left: dict[str, list[Utterance]] = {speaker: [] for speaker in self._speakers}
        self._rng = rng

    def draw(self, index: int, count: int) -> list[Utterance]:
        speaker = self._speakers[index % len(self._speakers)]
        drawn = []
        for _ in range(count):
            if not self._left[speaker]:
                words = self._words[speaker]
                self._left[speaker] = [words[position] for position in self._rng.permutation(len(words))]
            drawn.append(self._left[speaker].pop())
        return drawn


def _read(path: str, offset: float, duration: float | None) -> np.ndarray:
    """A recording's int16 samples, or those of `duration` seconds from `offset` on."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            file.seek(min(round(offset * file.samplerate), file.frames))
            return file.read(-1 if duration is None else round(duration * file.samplerate), dtype="int16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"{path}: cannot be read as audio ({error})") from error


def without_soft_ends(samples_N: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """A word as a recorder's voice switch cuts it: "six" may lose its "s" and "three" its "th".

    Args:
        samples_N: the word, float32 or int16.
        rng: draws how far below the word's loudest moment what is cut lies, 8 to 32 dB, up to which frequency both are
            measured, 1.5 to 8 kHz, and how much more stays at either end, up to 20 ms.
        sample_rate: Hz.

    Returns:
        A part of `samples_N`; all of it where a click of less than 60 ms is louder than the word.
    """
    block = round(_BLOCK_SECONDS * sample_rate)
    below_db = rng.uniform(*_TIGHT_DB)
    before, behind = rng.integers(_MOST_BLOCKS_BEYOND + 1, size=2)
    highest_hz = np.exp(rng.uniform(*np.log(_TIGHT_HZ)))
    if len(samples_N) < 3 * block:
        return samples_N
    spectrum_F = np.fft.rfft(samples_N.astype(np.float64))
    spectrum_F[np.fft.rfftfreq(len(samples_N), 1 / sample_rate) > highest_hz] = 0.0
    heard_N = np.fft.irfft(spectrum_F, len(samples_N))
    blocks_MN = heard_N[: len(samples_N) // block * block].reshape(-1, block)
    energy_M = np.convolve(np.square(blocks_MN).sum(axis=1), np.ones(3), "same")  # a single click is no sound
    loud = np.flatnonzero(energy_M >= energy_M.max() * 10 ** (-below_db / 10))
    if loud[-1] + 1 - loud[0] < _LEAST_SECONDS / _BLOCK_SECONDS:
        return samples_N
    return samples_N[max(0, loud[0] - before) * block : (loud[-1] + 1 + behind) * block]


def faded(samples_N: np.ndarray, sample_rate: int) -> np.ndarray:
    """The samples, float32 or int16, with 5 ms faded in and out, where they were cut."""
    length = min(len(samples_N) // 2, round(_FADE_SECONDS * sample_rate))
    gain_N = np.ones(len(samples_N), np.float32)
    gain_N[:length] = np.linspace(0, 1, length)
    gain_N[len(samples_N) - length :] = gain_N[:length][::-1]
    return (samples_N * gain_N).astype(samples_N.dtype)


def concatenate(
    recordings: list[np.ndarray], sample_rate: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[list[float]]]:
    """int16 recordings with pauses around and between them, and where each stands, [start, end] in seconds.

    A pause has noise at the level of the quietest moments beside it.
    """
    levels = [_noise_level(samples, sample_rate) for samples in recordings]
    pauses = [int(rng.uniform(*_PAUSE_SECONDS) * sample_rate) for _ in range(len(recordings) + 1)]
    for edge in (0, -1):
        if rng.random() < _BARE_EDGE_SHARE:
            pauses[edge] = 0
    pieces, joins, position = [], [], 0
    for number, pause in enumerate(pauses):
        level = np.linspace(levels[max(number - 1, 0)], levels[min(number, len(levels) - 1)], pause)
        pieces.append(np.round(rng.standard_normal(pause) * level).clip(-32768, 32767).astype(np.int16))
        position += pause
        if number < len(recordings):
            end = position + len(recordings[number])
            joins.append([round(position / sample_rate, 6), round(end / sample_rate, 6)])
            pieces.append(recordings[number])
            position = end
    return np.concatenate(pieces), joins


def _noise_level(samples: np.ndarray, sample_rate: int) -> float:
    """The root mean square of a recording's quietest moments, in int16 steps."""
    frame_length = min(len(samples), max(1, int(_LEVEL_FRAME_SECONDS * sample_rate)))
    frames = samples[: len(samples) // frame_length * frame_length].reshape(-1, frame_length).astype(np.float64)
    return float(np.percentile(np.sqrt(np.mean((frames - frames.mean()) ** 2, axis=1)), _LEVEL_PERCENTILE))
