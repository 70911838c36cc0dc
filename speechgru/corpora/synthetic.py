"""The synthetic corpus: household commands and digit strings, spoken offline by eSpeak NG.

It is a generalisation test and a fair one: the test and dev voices and sentences are never heard in training, but
their accents, sexes, rates, pitches and noises are drawn from the same ranges, and every word of them stands in a
training sentence.

The voices are 51 of the wheel's 104 variants. Left out are whispering, croaking and strongly echoing ones, robots, a
child at 390 Hz, two that eSpeak NG renders differently from process to process (Reed, caleb), a copy of a test voice
(belinda, of linda), and most in which another recogniser, PocketSphinx with a small grammar, missed over 60 % of words.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.corpora import espeak, grammar
from speechgru.errors import CorpusError
from speechgru.process import workers as processes
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance, write_manifest

#: The sample rate of the recordings, Hz.
SAMPLE_RATE = 16000

#: The variants of each split, by sex. No variant, and so no voice, stands in two splits.
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "female": ("f1", "f2", "f5", "steph", "steph2", "steph3", "anika", "aunty"),
        "male": (
            "m1", "m3", "m6", "m7", "m8", "max", "fast", "john", "Alex", "Denis", "Diogo", "Henrique", "Hugo", "Gene",
            "Gene2", "ed", "edward", "edward2", "klatt", "klatt3", "klatt6", "adam", "benjamin", "mike2", "Mike",
            "Nguyen", "grandpa", "iven", "iven2", "iven4", "pablo", "pedro", "paul", "sandro",
        ),
    },
    "dev": {"female": ("f4",), "male": ("m4", "michel")},
    "test": {"female": ("f3", "linda"), "male": ("m2", "m5", "victor", "miguel")},
}  # fmt: skip

_FEMALE_SHARE = 0.4
_ACCENT_SHARES = {
    "en": 0.20, "en-US": 0.28, "en-GB-x-rp": 0.14, "en-GB-scotland": 0.10, "en-GB-x-gbclan": 0.08,
    "en-GB-x-gbcwmd": 0.06, "en-029": 0.06, "en-US-nyc": 0.08,
}  # fmt: skip
_RATES = (135, 195)  # words a minute
_PITCHES = (35, 65)
_PITCH_RANGES = (30, 70)
_SNR_DB = (15.0, 40.0)
_PEAK_DB = (-12.0, -0.5)
_PADDING_SECONDS = (0.05, 0.4)
_NOISE_SLOPES = (0.0, 0.5, 1.0)  # the amplitude falls with frequency to this power: white, pink, brown
_NOISE_FLOOR_HZ = 50.0  # below it, coloured noise grows no further
_SPEECH_FLOOR = 0.003  # of the peak: what eSpeak NG gives before and after the words is quieter

_DEV_SHARE, _TEST_SHARE = 0.05, 0.08
_MIN_UTTERANCES = 12
_MAX_REDRAWS = 500
_REPORT_EVERY = 25
_OWN_AUDIO = re.compile(r"(train|dev|test)-\d{6}\.flac")


@dataclass(frozen=True)
class _Job:
    """One utterance to speak: all that its samples depend on, and where they go."""

    seed: tuple[int, int, int]
    split: str
    text: str
    path: str


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    utterances: int = 6000,
    workers: int | None = None,
) -> dict[str, Path]:
    """Speaks the corpus into `out`: `audio/*.flac` (16 kHz, mono, 16 bit) and the manifests.

    The old manifests go first and the new ones come last, so that a crash leaves no manifest of other audio.

    Args:
        out: the folder to write.
        source: not taken; the corpus is made, not read.
        seed: 0 or more. The same seed and size give the same bytes, however many workers speak (with the same
            releases of eSpeak NG, NumPy, soxr and libsndfile).
        progress: told every 25 utterances.
        utterances: how many in all, at least 12: about 87 % train, 5 % dev, 8 % test.
        workers: processes; None takes one for each CPU core that this process may use.

    Returns:
        The manifests by split. Every line also has `rate` (words a minute), `pitch` (0-100) and `snr_db`.

    Raises:
        CorpusError: an argument is out of range, eSpeak NG or soxr is not installed, or `out` cannot be written.
    """
    _check_arguments(source=source, seed=seed, utterances=utterances, workers=workers)
    espeak.require()
    _require_soxr()
    audio = out / "audio"
    try:
        audio.mkdir(parents=True, exist_ok=True)
        for split in grammar.SPLITS:
            (out / f"{split}.jsonl").unlink(missing_ok=True)
        for path in audio.iterdir():
            if _OWN_AUDIO.fullmatch(path.name):
                path.unlink()
    except OSError as error:
        raise CorpusError(f"{out}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    jobs = _plan(audio, seed=seed, utterances=utterances)
    spoken = _speak_all(jobs, workers=workers or _num_cores(), progress=progress)
    manifests = {}
    for split in reversed(grammar.SPLITS):  # train last: where it stands, the others do
        chosen = [utterance for job, utterance in zip(jobs, spoken, strict=True) if job.split == split]
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


def _require_soxr() -> None:
    try:
        import soxr  # noqa: F401
    except ImportError as error:
        raise CorpusError(
            "the synthetic corpus is resampled by soxr, and soxr is not installed; "
            "install it with `pip install 'speechgru[train]'`"
        ) from error


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _plan(audio: Path, *, seed: int, utterances: int) -> list[_Job]:
    """Who says what, before anybody speaks.

    A dev or test sentence stands once and has only words of training sentences (a corpus of a few dozen utterances
    may lack such a sentence; then the next one is taken as it is). A training sentence may come again in another voice.
    """
    sizes = {"dev": max(2, round(utterances * _DEV_SHARE)), "test": max(4, round(utterances * _TEST_SHARE))}
    sizes["train"] = utterances - sizes["dev"] - sizes["test"]
    jobs: list[_Job] = []
    known: set[str] = set()
    for position, split in enumerate(grammar.SPLITS):
        taken: set[str] = set()
        for index in range(sizes[split]):
            rng = np.random.default_rng([seed, position, index, 0])
            sentence = grammar.draw_sentence_of(split, rng)
            if split != "train":
                for _ in range(_MAX_REDRAWS):
                    if sentence not in taken and known.issuperset(sentence.split()):
                        break
                    sentence = grammar.draw_sentence_of(split, rng)
            taken.add(sentence)
            path = audio / f"{split}-{index:06d}.flac"
            jobs.append(_Job(seed=(seed, position, index), split=split, text=sentence, path=str(path)))
        if split == "train":
            known = {word for sentence in taken for word in sentence.split()}
    return jobs


def _speak_all(jobs: list[_Job], *, workers: int, progress: Progress) -> list[Utterance]:
    spoken: list[Utterance | None] = [None] * len(jobs)
    progress("speaking", 0, len(jobs), "")
    for done, (position, utterance) in enumerate(processes.run(_speak, jobs, workers=workers), start=1):
        spoken[position] = utterance
        if done % _REPORT_EVERY == 0 or done == len(jobs):
            progress("speaking", done, len(jobs), "")
    return spoken


def _speak(job: _Job) -> Utterance:
    import soundfile
    import soxr

    rng = np.random.default_rng([*job.seed, 1])
    voice = _draw_voice(job.split, rng, is_digits=grammar.is_digit_string(job.text))
    samples, sample_rate = espeak.speak(job.text, voice, seed=int(rng.integers(1, 2**31 - 1)))
    speech = soxr.resample(_trim(samples.astype(np.float32) / 32768), sample_rate, SAMPLE_RATE)
    snr_db = round(float(rng.uniform(*_SNR_DB)), 1)
    recording = _record(speech, snr_db=snr_db, rng=rng)
    pcm = np.round(recording * 32767).astype(np.int16)
    try:
        soundfile.write(job.path, pcm, SAMPLE_RATE, subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"{job.path}: cannot be written ({error})") from error
    return Utterance(
        audio_filepath=job.path,
        duration=len(pcm) / SAMPLE_RATE,
        text=job.text,
        speaker=voice.name,
        extra={"rate": voice.rate, "pitch": voice.pitch, "snr_db": snr_db},
    )


def _draw_voice(split: str, rng: np.random.Generator, *, is_digits: bool) -> espeak.Voice:
    variants = VARIANTS[split]["female" if rng.random() < _FEMALE_SHARE else "male"]
    accents = list(_ACCENT_SHARES)
    return espeak.Voice(
        accent=accents[rng.choice(len(accents), p=list(_ACCENT_SHARES.values()))],
        variant=variants[rng.integers(len(variants))],
        rate=int(rng.integers(_RATES[0], _RATES[1] + 1)),
        pitch=int(rng.integers(_PITCHES[0], _PITCHES[1] + 1)),
        pitch_range=int(rng.integers(_PITCH_RANGES[0], _PITCH_RANGES[1] + 1)),
        word_gap=int(rng.integers(0, 6)) if is_digits else int(rng.integers(0, 2)),
    )


def _trim(samples: np.ndarray) -> np.ndarray:
    """Cuts what is before the first and after the last audible sample."""
    audible = np.flatnonzero(np.abs(samples) > _SPEECH_FLOOR * np.abs(samples).max())
    if not len(audible):
        raise CorpusError("eSpeak NG spoke a sentence in silence; reinstall espeakng-loader")
    return samples[audible[0] : audible[-1] + 1]


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
    n_fft = 1 << (num_samples - 1).bit_length()  # other lengths take several times as long
    spectrum = np.fft.rfft(rng.standard_normal(n_fft))
    spectrum *= np.maximum(np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE), _NOISE_FLOOR_HZ) ** -slope
    noise = np.fft.irfft(spectrum, n_fft)[:num_samples]
    return noise / np.sqrt(np.mean(noise**2))
