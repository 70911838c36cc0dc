"""The synthetic corpus: household commands and digit strings, spoken offline by a voice engine.

It is a generalisation test and a fair one: the voices and sentences of test and dev do not occur in training, but their
accents, sexes, rates, pitches and noises are drawn from the same ranges, and every word of them is in a training
sentence. `commands` makes such a corpus from any grammar, in the voices of several engines.
"""

from __future__ import annotations

from pathlib import Path

from speechgru.corpora import grammar
from speechgru.corpora.planning import Sentence, check_whole, plan
from speechgru.corpora.spoken import GRAMMAR_NAME, speak_files
from speechgru.corpora.variety import VARIETIES
from speechgru.errors import CorpusError
from speechgru.progress import Progress, silent
from speechgru.voices import Cast, find_engine
from speechgru.voices.cast import Member

_MIN_UTTERANCES = 12


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
    cast = Cast((Member(speaker),))
    return speak_files(
        out,
        _plan(seed=seed, utterances=utterances),
        cast,
        splits=grammar.SPLITS,
        variety=VARIETIES["usual"],
        names_engine=False,
        beside={GRAMMAR_NAME: grammar.household().to_json()},
        workers=workers,
        progress=progress,
    )


def _check_arguments(*, source: Path | None, seed: int, utterances: int, workers: int | None) -> None:
    if source is not None:
        raise CorpusError(f"synthetic: takes no source, got {source}; the corpus is spoken, not read: leave it out")
    check_whole(seed=(seed, 0), utterances=(utterances, _MIN_UTTERANCES), workers=(workers, 1))
    if utterances > 999_999:
        raise CorpusError(f"synthetic: utterances must be at most 999999, got {utterances}")


def _plan(*, seed: int, utterances: int) -> list[Sentence]:
    return plan(lambda split, rng: (grammar.draw_sentence_of(split, rng), {}), seed=seed, utterances=utterances)
