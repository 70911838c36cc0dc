"""The synthetic corpus: household commands and digit strings, spoken offline by a voice engine.

It is a generalisation test and a fair one: the voices and sentences of test and dev do not occur in training, but their
accents, sexes, rates, pitches and noises are drawn from the same ranges, and every word of them is in a training
sentence.

The noise and the level of a recording are drawn here; the speakers and how they speak are the voice engine's.

A hundred recordings share a WAV file: a file each, or FLAC, would take longer to write, and training would take longer
to read them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.corpora import grammar
from speechgru.errors import CorpusError
from speechgru.process import workers as processes
from speechgru.processors import num_processors
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance, write_manifest
from speechgru.utterances.measurement import (
    MEASUREMENTS_NAME,
    Measurement,
    measure_samples,
    measurement_key,
    write_measurements,
)
from speechgru.voices import Engine, find_engine

#: The sample rate of the recordings, Hz.
SAMPLE_RATE = 16000

_SNR_DB = (15.0, 40.0)
_PEAK_DB = (-12.0, -0.5)
_PADDING_SECONDS = (0.05, 0.4)
_NOISE_SLOPES = (0.0, 0.5, 1.0)  # the amplitude falls with frequency to this power: white, pink, brown
_NOISE_FLOOR_HZ = 50.0  # below it, coloured noise grows no further
_SPEECH_FLOOR = 0.003  # of the peak: what an engine gives before and after the words is quieter

_DEV_SHARE, _TEST_SHARE = 0.05, 0.08
_MIN_UTTERANCES = 12
_MAX_REDRAWS = 500
_PER_FILE = 100  # recordings: some four minutes, half a second of work
_OWN_AUDIO = re.compile(r"(train|dev|test)-\d{6}\.(wav|flac)")  # a FLAC an utterance, as it once was, too


@dataclass(frozen=True)
class _Sentence:
    """One utterance to speak: all that its samples depend on but the engine."""

    seed: tuple[int, int, int]
    split: str
    text: str


@dataclass(frozen=True)
class _Job:
    """A file to fill: sentences of one split, and who speaks them."""

    path: str
    sentences: Sequence[_Sentence]
    engine: Engine


@dataclass(frozen=True)
class _Spoken:
    """One utterance in its file, with what was measured of it and what that depends on (`measurement_key`)."""

    split: str
    utterance: Utterance
    key: list[Any]
    measurement: Measurement


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    utterances: int = 6000,
    engine: str = "espeak",
    workers: int | None = None,
) -> dict[str, Path]:
    """Speaks the corpus into `out`: `audio/*.wav` (16 kHz, mono, 16 bit; 100 recordings each) and the manifests.

    Each recording is measured before it is written, so that neither `check` nor training has to read the corpus first
    (`measurements.jsonl`). The old manifests go first and the new ones come last, so that a crash leaves no manifest of
    other audio.

    Args:
        out: the folder to write.
        source: must be None; the corpus is spoken, not read.
        seed: 0 or more. The same seed and size give the same recordings and manifests, to the byte, however many
            workers speak (with the same releases of eSpeak NG, NumPy, soxr and libsndfile).
        progress: called after every 100 utterances.
        utterances: how many in all, at least 12: about 87 % train, 5 % dev, 8 % test.
        engine: the voice engine that speaks.
        workers: processes; none starts one for each CPU core that this process may use.

    Returns:
        The manifests by split. Every line also has `snr_db` and what the engine reports of the voice: eSpeak NG gives
        `rate` (words a minute) and `pitch` (0-100).

    Raises:
        CorpusError: an argument is out of range, the voice engine or soxr is not installed, or `out` cannot be written.
    """
    _check_arguments(source=source, seed=seed, utterances=utterances, workers=workers)
    speaker = find_engine(engine)
    _require_voices(speaker)
    _require_soxr()
    audio = out / "audio"
    try:
        audio.mkdir(parents=True, exist_ok=True)
        for name in (*(f"{split}.jsonl" for split in grammar.SPLITS), MEASUREMENTS_NAME):
            (out / name).unlink(missing_ok=True)
        for path in audio.iterdir():
            if _OWN_AUDIO.fullmatch(path.name):
                path.unlink()
    except OSError as error:
        raise CorpusError(f"{out}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    jobs = _share_out(_plan(seed=seed, utterances=utterances), audio, engine=speaker)
    spoken = _speak_all(jobs, workers=workers or num_processors(), progress=progress)
    write_measurements(out / MEASUREMENTS_NAME, ((each.key, each.measurement) for each in spoken))
    manifests = {}
    for split in reversed(grammar.SPLITS):  # train last: where it stands, the others do
        chosen = [each.utterance for each in spoken if each.split == split]
        manifests[split] = write_manifest(out / f"{split}.jsonl", chosen)
    return {split: manifests[split] for split in grammar.SPLITS}


def _check_arguments(*, source: Path | None, seed: int, utterances: int, workers: int | None) -> None:
    if source is not None:
        raise CorpusError(f"synthetic: takes no source, got {source}; the corpus is spoken, not read: leave it out")
    for name, value, least in (("seed", seed, 0), ("utterances", utterances, _MIN_UTTERANCES), ("workers", workers, 1)):
        if value is None and name == "workers":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise CorpusError(f"synthetic: {name} must be a whole number, {least} or more, got {value!r}")
    if utterances > 999_999:
        raise CorpusError(f"synthetic: utterances must be at most 999999, got {utterances}")


def _require_voices(engine: Engine) -> None:
    """Makes sure that every split has speakers, and that none is in two: the test set is for new voices."""
    taken: dict[str, str] = {}
    for split in grammar.SPLITS:
        voices = engine.voices(split)
        if not voices:
            raise CorpusError(f"the voice engine {engine.name} has no speaker for {split}; give it one in `voices`")
        for voice in voices:
            if taken.setdefault(voice, split) != split:
                raise CorpusError(
                    f"the voice engine {engine.name} has the speaker {voice} in {taken[voice]} and in {split}; a "
                    "speaker belongs to one split"
                )


def _require_soxr() -> None:
    try:
        import soxr  # noqa: F401
    except ImportError as error:
        raise CorpusError(
            "the synthetic corpus is resampled by soxr, and soxr is not installed; "
            "install it with `pip install 'speechgru[train]'`"
        ) from error


def _plan(*, seed: int, utterances: int) -> list[_Sentence]:
    """What is spoken, before anything is.

    A dev or test sentence occurs once and has only words of training sentences (a corpus of a few dozen utterances may
    lack such a sentence; then the next one is used as it is). A training sentence may recur in another voice.
    """
    sizes = {"dev": max(2, round(utterances * _DEV_SHARE)), "test": max(4, round(utterances * _TEST_SHARE))}
    sizes["train"] = utterances - sizes["dev"] - sizes["test"]
    sentences: list[_Sentence] = []
    known: set[str] = set()
    for position, split in enumerate(grammar.SPLITS):
        taken: set[str] = set()
        for index in range(sizes[split]):
            rng = np.random.default_rng([seed, position, index, 0])
            text = grammar.draw_sentence_of(split, rng)
            if split != "train":
                for _ in range(_MAX_REDRAWS):
                    if text not in taken and known.issuperset(text.split()):
                        break
                    text = grammar.draw_sentence_of(split, rng)
            taken.add(text)
            sentences.append(_Sentence(seed=(seed, position, index), split=split, text=text))
        if split == "train":
            known = {word for text in taken for word in text.split()}
    return sentences


def _share_out(sentences: Sequence[_Sentence], audio: Path, *, engine: Engine) -> list[_Job]:
    """The sentences by file; a file's name has the number of its first sentence."""
    jobs = []
    for split in grammar.SPLITS:
        own = [sentence for sentence in sentences if sentence.split == split]
        for start in range(0, len(own), _PER_FILE):
            path = audio / f"{split}-{start:06d}.wav"
            jobs.append(_Job(str(path), own[start : start + _PER_FILE], engine))
    return jobs


def _speak_all(jobs: Sequence[_Job], *, workers: int, progress: Progress) -> list[_Spoken]:
    spoken: dict[int, list[_Spoken]] = {}
    total, done = sum(len(job.sentences) for job in jobs), 0
    progress("speaking", 0, total, "")
    for position, in_file in processes.run(_speak_file, jobs, workers=workers):
        spoken[position] = in_file
        done += len(in_file)
        progress("speaking", done, total, "")
    return [each for position in range(len(jobs)) for each in spoken[position]]


def _speak_file(job: _Job) -> list[_Spoken]:
    """Speaks a file's sentences, writes it, and measures each recording."""
    import soundfile

    recordings = [_speak(sentence, job.engine) for sentence in job.sentences]
    all_N = np.concatenate([pcm_N for pcm_N, _, _ in recordings])
    try:
        soundfile.write(job.path, all_N, SAMPLE_RATE, subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"{job.path}: cannot be written ({error})") from error
    of_file = Measurement(
        source_rate=SAMPLE_RATE, num_channels=1, format="WAV PCM_16", file_seconds=len(all_N) / SAMPLE_RATE
    )
    spoken, start = [], 0
    for sentence, (pcm_N, speaker, extra) in zip(job.sentences, recordings, strict=True):
        utterance = Utterance(
            audio_filepath=job.path,
            duration=round(len(pcm_N) / SAMPLE_RATE, 6),  # as a manifest states it, so that the key will be the same
            text=sentence.text,
            speaker=speaker,
            offset=round(start / SAMPLE_RATE, 6),
            extra=extra,
            segment=True,
        )
        samples_N = pcm_N.astype(np.float32) / 32768  # as `read_recording` will give them
        spoken.append(
            _Spoken(
                sentence.split,
                utterance,
                measurement_key(utterance, sample_rate=SAMPLE_RATE),
                measure_samples(samples_N, of_file, sample_rate=SAMPLE_RATE),
            )
        )
        start += len(pcm_N)
    return spoken


def _speak(sentence: _Sentence, engine: Engine) -> tuple[np.ndarray, str, dict[str, Any]]:
    """A recording of a sentence, int16; its speaker; and the further fields of its manifest line."""
    import soxr

    rng = np.random.default_rng([*sentence.seed, 1])
    voice = engine.draw_voice(sentence.split, rng, is_digits=grammar.is_digit_string(sentence.text))
    samples_N, sample_rate = engine.speak(sentence.text, voice, seed=int(rng.integers(1, 2**31 - 1)))
    audible_N = _trim(samples_N)
    if not len(audible_N):
        raise CorpusError(f"the voice engine {engine.name} spoke {sentence.text!r} in silence; reinstall it")
    speech = soxr.resample(audible_N, sample_rate, SAMPLE_RATE)
    snr_db = round(float(rng.uniform(*_SNR_DB)), 1)
    recording = _record(speech, snr_db=snr_db, rng=rng)
    pcm_N = np.round(recording * 32767).astype(np.int16)
    return pcm_N, voice.name, {**voice.facts, "snr_db": snr_db}


def _trim(samples_N: np.ndarray) -> np.ndarray:
    """The samples from the first audible one to the last; none where nothing is audible."""
    if not len(samples_N):
        return samples_N
    audible = np.flatnonzero(np.abs(samples_N) > _SPEECH_FLOOR * np.abs(samples_N).max())
    return samples_N[audible[0] : audible[-1] + 1] if len(audible) else samples_N[:0]


def _record(speech: np.ndarray, *, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Puts speech into a room: noise before, under and after it, and a level.

    Args:
        speech: float samples at `SAMPLE_RATE`.
        snr_db: power of the speech, pauses included, over the power of the noise.
        rng: draws the pauses, the noise's colour and the level.

    Returns:
        Float samples within [-1, 1].
    """
    before, after = (int(rng.uniform(*_PADDING_SECONDS) * SAMPLE_RATE) for _ in range(2))
    padded = np.concatenate([np.zeros(before), speech.astype(np.float64), np.zeros(after)])
    noise = _coloured_noise(len(padded), slope=_NOISE_SLOPES[rng.integers(len(_NOISE_SLOPES))], rng=rng)
    noise *= np.sqrt(np.mean(speech.astype(np.float64) ** 2)) * 10 ** (-snr_db / 20)
    mixture = padded + noise
    return mixture / np.abs(mixture).max() * 10 ** (rng.uniform(*_PEAK_DB) / 20)


def _coloured_noise(num_samples: int, *, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of power 1 whose amplitude spectrum falls as frequency to the power `-slope`."""
    if slope == 0:
        noise_N = rng.standard_normal(num_samples)
    else:
        # The spectrum of white noise is white noise itself: drawing it spares one of two transforms.
        n_fft = _fast_length(num_samples)
        spectrum = rng.standard_normal(n_fft + 2, dtype=np.float32).view(np.complex64)
        frequencies = np.arange(n_fft // 2 + 1, dtype=np.float32) * (SAMPLE_RATE / n_fft)
        noise_N = np.fft.irfft(spectrum * np.maximum(frequencies, _NOISE_FLOOR_HZ) ** -slope, n_fft)[:num_samples]
    return noise_N / np.sqrt(np.mean(noise_N**2))


def _fast_length(least: int) -> int:
    """The smallest even length, `least` or more, with no prime factor above 5: others take several times as long.

    >>> [_fast_length(least) for least in (1, 7, 1025, 40_001)]
    [2, 8, 1080, 40500]
    """
    odd_parts = (3**threes * 5**fives for threes in range(13) for fives in range(9))
    return min(odd << max(1, (-(-least // odd) - 1).bit_length()) for odd in odd_parts)
