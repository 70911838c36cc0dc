"""Spoken corpora: sentences and a cast of voices in, recordings and manifests out.

What is spoken is planned in `planning`, and what a recording sounds like in `variety`; the voices and how they speak
are the engines'.

A hundred recordings share a WAV file: a file each, or FLAC, would take longer to write, and training would take longer
to read them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.corpora import grammar
from speechgru.corpora.planning import Sentence, check_whole
from speechgru.corpora.variety import SAMPLE_RATE, VARIETIES, Variety, phrase, record, trim
from speechgru.errors import CorpusError
from speechgru.files import make_folder, write_text
from speechgru.process import workers as processes
from speechgru.processors import num_processors
from speechgru.progress import Progress, silent
from speechgru.text import quoted
from speechgru.utterances.manifest import Utterance, require_storable, write_manifest
from speechgru.utterances.measurement import (
    MEASUREMENTS_NAME,
    Measurement,
    measure_samples,
    measurement_key,
    write_measurements,
)
from speechgru.voices import Cast, Engine, Sources, Voice, choose_cast
from speechgru.voices.cache import SpeechCache, default_folder
from speechgru.voices.engine import ALL

#: What a corpus keeps about its engines: licences, voices by split, and who was left out.
VOICES_NAME = "voices.json"
#: The grammar that a corpus was made from, beside its manifests.
GRAMMAR_NAME = "grammar.json"

_PER_FILE = 100  # recordings: some four minutes, half a second of work
_MOST = 1_000_000  # a file's name has six digits
_OWN_AUDIO = re.compile(r"(train|dev|test|test_\w+)-\d{6}\.(wav|flac)")  # a FLAC an utterance, as it once was, too


@dataclass(frozen=True)
class _Job:
    """A file to fill: sentences of one split, and who speaks them."""

    path: str
    sentences: Sequence[Sentence]
    cast: Cast
    variety: Variety = VARIETIES["usual"]
    names_engine: bool = False
    cache: SpeechCache | None = None


@dataclass(frozen=True)
class _Spoken:
    """One utterance in its file, with what was measured of it and what that depends on (`measurement_key`)."""

    split: str
    utterance: Utterance
    key: list[Any]
    measurement: Measurement


def speak_sentences(
    sentences: Iterable[str] | Mapping[str, Iterable[str]],
    out: str | Path,
    *,
    engines: Mapping[str, float | None] | None = None,
    train_engines: Sequence[str] = (),
    test_engines: Sequence[str] = (),
    sources: Sources | None = None,
    seed: int = 0,
    variety: str = "wide",
    cache: str | Path | None = "default",
    workers: int | None = None,
    progress: Progress = silent,
) -> dict[str, Path]:
    """Speaks any sentences: a corpus of them, in the voices of several engines.

    Args:
        sentences: texts, dealt to train, dev and test by a hash of the text (80 : 7 : 13); or those of each split, by
            its name. Each is spoken once; a text that occurs twice is spoken twice, by whomever is drawn.
        out: the folder to write: `audio/*.wav`, a manifest a split, and `voices.json`.
        engines: as for `voices.choose_cast`, such as `{"espeak": 3, "flite": 1}`; None stands for all that are here.
        train_engines: engines that speak in train only, with all their voices.
        test_engines: engines that speak in a test of their own only: the sentences of test once more, as
            `test_ENGINE.jsonl`.
        sources: voices and programs that are not installed with an engine.
        seed: 0 or more; the same seed, sentences and engines give the same bytes, however many workers speak.
        variety: "wide" or "usual" (`VARIETIES`).
        cache: a folder of speech that was spoken before, of slow engines; "default" is the user's cache, None is none.
        workers: processes; None starts one for each CPU core that this process may use.
        progress: called as the work proceeds.

    Returns:
        The manifests by split. Each line also has `engine`, `voice`, `snr_db` and what the engine reports of the voice.

    Raises:
        CorpusError: an argument is out of range, an engine is not installed or failed, a split has no voice, or `out`
            cannot be written.
    """
    if isinstance(sentences, Mapping):
        by_split = {split: list(texts) for split, texts in sentences.items()}
    else:
        by_split = {split: [] for split in grammar.SPLITS}
        for text in sentences:
            by_split[grammar.split_of(text)].append(text)
    unknown = by_split.keys() - set(grammar.SPLITS)
    if unknown:
        raise CorpusError(f"sentences are of train, dev and test; got {', '.join(sorted(map(str, unknown)))}")
    check_whole(seed=(seed, 0), workers=(workers, 1))
    plan = [
        Sentence(seed=(seed, place, index), split=split, text=text)
        for place, split in enumerate(grammar.SPLITS)
        for index, text in enumerate(by_split.get(split, ()))
    ]
    cast, left_out = choose_cast(engines, train_engines=train_engines, test_engines=test_engines, sources=sources)
    return speak_corpus(
        Path(out).absolute(),
        plan,
        cast,
        variety=variety,
        left_out=left_out,
        cache=cache,
        workers=workers,
        progress=progress,
    )


def speak_corpus(
    out: Path,
    sentences: Sequence[Sentence],
    cast: Cast,
    *,
    variety: str,
    left_out: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    beside: Mapping[str, str] | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> dict[str, Path]:
    """Speaks planned sentences into `out`, with `voices.json`; those of test once more by each engine kept for it.

    Args:
        out: the folder to write.
        sentences: of train, dev and test.
        cast: who speaks.
        variety: a name of `VARIETIES`.
        left_out: engines that could have spoken, with the reason, for `voices.json`.
        notes: further sentences for people, for `voices.json`.
        beside: texts of further files, by name, that belong to the manifests.
        cache: as for `speak_sentences`.
        workers: as for `speak_sentences`.
        progress: called as the work proceeds.

    Returns:
        The manifests by split.

    Raises:
        CorpusError: as for `speak_sentences`.
    """
    if variety not in VARIETIES:
        raise CorpusError(f"variety must be one of {', '.join(VARIETIES)}, got {variety!r}")
    held_out = [split for split in cast.splits if split not in grammar.SPLITS]
    again = [
        Sentence((*each.seed, 1 + number), split, each.text, each.extra)
        for number, split in enumerate(held_out)
        for each in sentences
        if each.split == "test"
    ]
    everything = [*sentences, *again]
    splits = [split for split in (*grammar.SPLITS, *held_out) if any(each.split == split for each in everything)]
    voices = _describe(cast, splits, variety=variety)
    voices |= {"left_out": dict(left_out or {}), "notes": list(notes)}
    speech_cache = None
    if cache is not None and any(each.engine.is_slow for each in cast.members):
        speech_cache = SpeechCache(default_folder() if cache == "default" else Path(cache).absolute())
    manifests = speak_files(
        out,
        everything,
        cast,
        splits=splits,
        variety=VARIETIES[variety],
        names_engine=True,
        beside={**(beside or {}), VOICES_NAME: json.dumps(voices, indent=2, ensure_ascii=False) + "\n"},
        cache=speech_cache,
        workers=workers,
        progress=progress,
    )
    if speech_cache is not None:
        speech_cache.trim()
    return manifests


def _describe(cast: Cast, splits: Sequence[str], *, variety: str) -> dict[str, Any]:
    """What a corpus keeps about its voices; JSON-ready."""
    engines = {}
    for member in cast.members:
        keys = {split: key for split in splits if (key := member.voices_key(split))}
        engines[member.engine.name] = {
            "licence": member.engine.licence,
            "weight": round(member.weight, 3),
            "kept_for": member.role or None,
            "voices": {split: list(member.engine.voices(key)) for split, key in keys.items()},
            "people": len({member.engine.person(voice) for voice in member.engine.voices(ALL)}),
        }
    return {"variety": variety, "engines": engines}


def speak_files(
    out: Path,
    sentences: Sequence[Sentence],
    cast: Cast,
    *,
    splits: Sequence[str],
    variety: Variety,
    names_engine: bool,
    beside: Mapping[str, str] | None = None,
    cache: SpeechCache | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> dict[str, Path]:
    """Speaks planned sentences into `out/audio`, 100 a file, measures them, and writes the manifests of `splits`.

    Each recording is measured before it is written, so that neither `check` nor training has to read the corpus first
    (`measurements.jsonl`). The old manifests go first and the new ones come last, so that a crash leaves no manifest of
    other audio. What stands in their place is somebody else's where no recording is ours.
    """
    beside = beside or {}
    cast.check(splits)
    _require_soxr()
    most = max((sum(each.split == split for each in sentences) for split in splits), default=0)
    if not sentences or most >= _MOST:
        raise CorpusError(f"a split has 1 to {_MOST - 1} sentences, got {most}")
    audio = out / "audio"
    require_storable(str(audio))
    outdated, spoken_before = _outdated(out, splits), _own_audio(audio)
    others = [path.name for path in (*outdated, *(out / name for name in beside)) if os.path.lexists(path)]
    if others and not spoken_before:
        raise CorpusError(
            f"{out}: holds {others[0]}, and no recording that was spoken here; it would be lost, so move it away, or "
            "name another folder"
        )
    try:
        make_folder(audio)
        for path in outdated:
            path.unlink(missing_ok=True)
        for path in spoken_before:
            path.unlink()
    except OSError as error:
        raise CorpusError(f"{out}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    jobs = []
    for split in splits:
        own = [sentence for sentence in sentences if sentence.split == split]
        for start in range(0, len(own), _PER_FILE):  # a file's name has the number of its first sentence
            path = audio / f"{split}-{start:06d}.wav"
            jobs.append(_Job(str(path), own[start : start + _PER_FILE], cast, variety, names_engine, cache))
    spoken = _speak_all(jobs, workers=workers or num_processors(), progress=progress)
    write_measurements(out / MEASUREMENTS_NAME, ((each.key, each.measurement) for each in spoken))
    for name, text in beside.items():
        write_text(out / name, text)
    manifests = {}
    for split in reversed(splits):  # train last: where it stands, the others do
        chosen = [each.utterance for each in spoken if each.split == split]
        manifests[split] = write_manifest(out / f"{split}.jsonl", chosen)
    return {split: manifests[split] for split in splits}


def _own_audio(audio: Path) -> list[Path]:
    """The recordings of the corpus that was here."""
    return [path for path in audio.iterdir() if _OWN_AUDIO.fullmatch(path.name)] if audio.is_dir() else []


def _outdated(out: Path, splits: Sequence[str]) -> list[Path]:
    """What belongs to the corpus that was here: manifests, those of engines kept for its test too, and files beside."""
    held_out = {path.name.partition("-")[0] for path in (out / "audio").glob("test_*-*.wav")}
    manifests = [f"{split}.jsonl" for split in {*grammar.SPLITS, *splits, *held_out}]
    return [out / name for name in (*manifests, MEASUREMENTS_NAME, VOICES_NAME, GRAMMAR_NAME)]


def _require_soxr() -> None:
    try:
        import soxr  # noqa: F401
    except ImportError as error:
        raise CorpusError(
            "spoken recordings are resampled by soxr, and soxr is not installed; "
            "install it with `pip install 'speechgru[train]'`"
        ) from error


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

    drawn = [_draw(sentence, job) for sentence in job.sentences]
    recordings: dict[int, tuple[np.ndarray, dict[str, Any]]] = {}
    for place in sorted(range(len(drawn)), key=drawn.__getitem__):  # an engine has few models in memory at once
        recordings[place] = _record_sentence(job.sentences[place], drawn[place], job)
    all_N = np.concatenate([recordings[place][0] for place in range(len(drawn))])
    try:
        soundfile.write(job.path, all_N, SAMPLE_RATE, subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"{job.path}: cannot be written ({error})") from error
    of_file = Measurement(
        source_rate=SAMPLE_RATE, num_channels=1, format="WAV PCM_16", file_seconds=len(all_N) / SAMPLE_RATE
    )
    spoken, start = [], 0
    for place, sentence in enumerate(job.sentences):
        pcm_N, extra = recordings[place]
        utterance = Utterance(
            audio_filepath=job.path,
            duration=round(len(pcm_N) / SAMPLE_RATE, 6),  # as a manifest states it, so that the key will be the same
            text=sentence.text,
            speaker=drawn[place].speaker if job.names_engine else drawn[place].voice.name,
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


@dataclass(frozen=True)
class _Drawn:
    """Who speaks a sentence and how; orders by voice."""

    engine: Engine
    voice: Voice
    text: str
    seed: int
    rng: np.random.Generator

    @property
    def speaker(self) -> str:
        """The voice among those of all engines."""
        return f"{self.engine.name}/{self.voice.name}"

    def __lt__(self, other: _Drawn) -> bool:
        return self.speaker < other.speaker


def _draw(sentence: Sentence, job: _Job) -> _Drawn:
    rng = np.random.default_rng([*sentence.seed, 1])
    is_digits, is_wide = grammar.is_digit_string(sentence.text), job.variety.is_wide
    engine, voice = job.cast.draw(sentence.split, rng, is_digits=is_digits, is_wide=is_wide)
    text = phrase(sentence.text, rng, is_digits=is_digits) if is_wide else sentence.text
    return _Drawn(engine, voice, text, int(rng.integers(1, 2**31 - 1)), rng)


def _record_sentence(sentence: Sentence, drawn: _Drawn, job: _Job) -> tuple[np.ndarray, dict[str, Any]]:
    """A recording of a sentence, int16, and the further fields of its manifest line."""
    import soxr

    engine, voice, rng = drawn.engine, drawn.voice, drawn.rng
    try:
        if job.cache is not None and engine.is_slow:
            samples_N, sample_rate = job.cache.speak(engine, drawn.text, voice, seed=drawn.seed)
        else:
            samples_N, sample_rate = engine.speak(drawn.text, voice, seed=drawn.seed)
    except CorpusError as error:
        raise CorpusError(
            f"the voice engine {engine.name} did not speak {quoted(drawn.text)} with the voice {voice.name}: {error}"
        ) from error
    audible_N = trim(samples_N)
    if not len(audible_N):
        raise CorpusError(
            f"the voice engine {engine.name} spoke {quoted(drawn.text)} in silence with the voice {voice.name}; "
            "reinstall it"
        )
    speech = soxr.resample(audible_N, sample_rate, SAMPLE_RATE)
    snr_db = round(float(rng.uniform(*job.variety.snr_db)), 1)
    recording = record(speech, snr_db=snr_db, rng=rng, variety=job.variety)
    pcm_N = np.round(recording * 32767).astype(np.int16)
    named = {"engine": engine.name, "voice": voice.name} if job.names_engine else {}
    return pcm_N, {**sentence.extra, **named, **voice.facts, "snr_db": snr_db}
