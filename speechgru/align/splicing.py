"""Sentences that nobody said, made of words that people said: a grammar's, out of recordings of something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.align.aligning import align_utterances
from speechgru.audio.reading import read_recording
from speechgru.corpora.connected import concatenate, faded, make_empty, without_soft_ends, write_samples
from speechgru.errors import CorpusError, UserError
from speechgru.progress import Progress, silent
from speechgru.runtime import Recognizer
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest

#: The manifest, in its folder.
NAME = "spliced.jsonl"
#: A word that the model is less sure of may be another one, or stand elsewhere.
LEAST_CONFIDENCE = 0.3
#: Seconds of a word; outside of them it was placed wrongly.
_SECONDS = (0.12, 1.2)
#: Sound that stays before and behind a word, as far as its neighbours leave some.
_MARGIN_SECONDS = 0.05
_INT16 = 32767
#: Sentences that are drawn for one whose words are there.
_MOST_TRIES = 1000


@dataclass(frozen=True)
class Piece:
    """A word of a recording.

    Args:
        word: as transcripts have it.
        utterance: where it was said.
        start, end: seconds of the recording, with what stays around the word.
    """

    word: str
    utterance: Utterance
    start: float
    end: float

    @property
    def speaker(self) -> str:
        return self.utterance.speaker or self.utterance.audio_filepath


def find_pieces(
    recognizer: Recognizer,
    manifests: Iterable[str | Path],
    words: Iterable[str],
    *,
    least_confidence: float = LEAST_CONFIDENCE,
    progress: Progress = silent,
) -> tuple[list[Piece], list[UserError]]:
    """Finds words in recordings of anything, by alignment.

    Args:
        recognizer: the model that aligns; one that writes letters, such as the base.
        manifests: recordings with what is said in them.
        words: those to find, as they are written.
        least_confidence: what is found with less is left out, 0 to 1.
        progress: called after each recording.

    Returns:
        The words in the manifests' order, and what was wrong with recordings that could not be aligned.

    Raises:
        ManifestError: a manifest cannot be read.
    """
    rules = recognizer.text_rules
    wanted = {spoken for word in words for spoken in rules.normalize(word).split()}
    pieces, failed = [], []
    for manifest in manifests:
        chosen = [
            utterance
            for utterance in read_manifest(manifest)
            if not wanted.isdisjoint(rules.normalize(utterance.text).split())
        ]
        done, errors = align_utterances(recognizer, chosen, manifest, progress=progress)
        failed += errors
        for utterance, timed in done:
            begin = utterance.offset
            ends = [begin, *(word.end_seconds for word in timed.words)]
            starts = [*(word.start_seconds for word in timed.words[1:]), begin + utterance.duration]
            for word, before, behind in zip(timed.words, ends, starts, strict=False):
                spoken = rules.normalize(word.text)
                seconds = word.end_seconds - word.start_seconds
                if spoken in wanted and word.confidence >= least_confidence and _SECONDS[0] <= seconds <= _SECONDS[1]:
                    start = max(before, word.start_seconds - _MARGIN_SECONDS)
                    pieces.append(Piece(spoken, utterance, start, min(behind, word.end_seconds + _MARGIN_SECONDS)))
    return pieces, failed


def splice(
    pieces: Sequence[Piece],
    draw: Callable[[np.random.Generator], str],
    out: str | Path,
    *,
    num_utterances: int,
    sample_rate: int,
    tight_share: float = 0.0,
    seed: int = 0,
    progress: Progress = silent,
) -> Path:
    """Joins words to sentences, with pauses, and writes them: `spliced/000000.flac` and so on, and `spliced.jsonl`.

    A sentence has one speaker, as far as that speaker said its words; the others are somebody else's, at the first
    word's level. Speakers take turns by the root of the number of their words, so that nobody who said much is heard in
    all of it.

    Args:
        pieces: of `find_pieces`.
        draw: gives a sentence, such as a grammar's; one with a word that is no piece is drawn anew.
        out: the folder to write.
        num_utterances: how many sentences.
        sample_rate: Hz of what is written.
        tight_share: share of the words that are cut tight, as a recorder's voice switch cuts them
            (`without_soft_ends`).
        seed: 0 or more. The same seed and arguments give the same samples.
        progress: called every 50 sentences.

    Returns:
        The manifest. Each line has `joins`, [start, end] of every word in seconds, and `speakers` of the words.

    Raises:
        CorpusError: too few sentences can be made of the words, or `out` cannot be written.
        UserError: a recording that is read would be removed.
        AudioError: a recording cannot be read.
    """
    said: dict[str, dict[str, list[Piece]]] = {}
    counts: Counter[str] = Counter()
    for piece in pieces:
        said.setdefault(piece.word, {}).setdefault(piece.speaker, []).append(piece)
        counts[piece.speaker] += 1
    speakers = sorted(counts)
    shares = np.sqrt([counts[speaker] for speaker in speakers])
    out = Path(out)
    read = (piece.utterance.audio_filepath for piece in pieces)
    make_empty(out / "spliced", reads=read, manifest=out / NAME)
    utterances = []
    for index in range(num_utterances):
        if index % 50 == 0:
            progress("splicing", index, num_utterances, "")
        rng = np.random.default_rng([seed, index])
        text = _draw_sayable(draw, rng, said)
        speaker = str(rng.choice(speakers, p=shares / shares.sum()))
        chosen = [_choose(said[word], speaker, rng) for word in text.split()]
        tellers = [piece.speaker for piece in chosen]
        cutter = np.random.default_rng([seed, index, 1])
        cuts = [_cut(piece, sample_rate, tighter=cutter if cutter.random() < tight_share else None) for piece in chosen]
        words = _to_level(cuts, tellers)
        samples, joins = concatenate(words, sample_rate, rng)
        path = out / "spliced" / f"{index:06d}.flac"
        write_samples(path, samples, sample_rate)
        told = {"joins": joins, "speakers": tellers}
        utterances.append(Utterance(str(path), len(samples) / sample_rate, text, tellers[0], extra=told))
    progress("splicing", num_utterances, num_utterances, "")
    return write_manifest(out / NAME, utterances)


def _draw_sayable(draw: Callable[[np.random.Generator], str], rng: np.random.Generator, said: Mapping) -> str:
    """A sentence of words that somebody said."""
    missing: set[str] = set()
    for _ in range(_MOST_TRIES):
        words = draw(rng).split()
        lacking = [word for word in words if word not in said]
        if words and not lacking:
            return " ".join(words)
        missing.update(lacking)
    raise CorpusError(
        f"of {_MOST_TRIES} sentences none can be joined: nobody is known to say {', '.join(sorted(missing)[:8])}; "
        "give recordings with these words too, or a smaller grammar"
    )


def _choose(by_speaker: Mapping[str, Sequence[Piece]], speaker: str, rng: np.random.Generator) -> Piece:
    """A word of that speaker's, or of anybody's who said it."""
    if speaker not in by_speaker:
        speaker = str(rng.choice(sorted(by_speaker)))
    own = by_speaker[speaker]
    return own[int(rng.integers(len(own)))]


def _cut(piece: Piece, sample_rate: int, *, tighter: np.random.Generator | None = None) -> np.ndarray:
    """float32 samples of a word, faded at both ends, where it was cut; tight by what `tighter` draws, where given."""
    utterance = piece.utterance
    samples_N = read_recording(
        utterance.audio_filepath,
        sample_rate=sample_rate,
        offset=piece.start,
        duration=piece.end - piece.start,
        channel=utterance.channel,
    ).samples_N
    if tighter is not None:
        samples_N = without_soft_ends(samples_N, tighter, sample_rate)
    return faded(samples_N, sample_rate)


def _to_level(words: Sequence[np.ndarray], speakers: Sequence[str]) -> list[np.ndarray]:
    """Words in int16; those of other speakers than the first word's at that word's level."""
    levels = [float(np.sqrt(np.mean(np.square(samples_N)))) for samples_N in words]
    gains = [
        levels[0] / level if speaker != speakers[0] and level and levels[0] else 1.0
        for speaker, level in zip(speakers, levels, strict=True)
    ]
    return [
        np.round(_INT16 * np.clip(gain * samples_N, -1, 1)).astype(np.int16)
        for samples_N, gain in zip(words, gains, strict=True)
    ]
