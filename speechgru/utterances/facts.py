"""What a manifest holds, and what two have in common: how much, how loud, who, which words. None of it is a fault."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.text import WORD_BEGINNING, Vocabulary
from speechgru.utterances.case import Case, HeldOut, decibels

_MOST_REPEATED = 10
_HISTOGRAM_BINS = 40
#: Quieter than this is drawn here: what is below is digital silence.
_LEAST_DB, _BIN_DB = -90.0, 2.0


@dataclass(frozen=True, eq=False)
class Facts:
    """What the readable lines of a manifest hold.

    Args:
        num_utterances: lines, readable or not.
        seconds_N: seconds of each readable one.
        level_db_N: root mean square of each, dB of full scale.
        peak_db_N: loudest sample of each, dB of full scale.
        character_rate_N: characters per second of each that has a text.
        recordings: utterances by file's sample rate, channels and format.
        speakers: utterances and seconds by speaker; those without one under the empty name.
        texts: utterances by normalised text, empty ones too.
        characters: how often each character is in the texts of all lines.
        unknown_characters: those of them that the vocabulary lacks; of words those that are in none.
        num_unknown_words: words of all texts that are no entry of a vocabulary of words.
        num_files: different files.
    """

    num_utterances: int
    seconds_N: np.ndarray
    level_db_N: np.ndarray
    peak_db_N: np.ndarray
    character_rate_N: np.ndarray
    recordings: Counter[tuple[int, int, str]]
    speakers: dict[str, tuple[int, float]]
    texts: Counter[str]
    characters: Counter[str]
    unknown_characters: frozenset[str]
    num_unknown_words: int
    num_files: int

    def as_record(self) -> dict[str, Any]:
        """The facts as JSON-ready fields."""
        texts = {text: count for text, count in self.texts.items() if text}
        return {
            "utterances": self.num_utterances,
            "readable": len(self.seconds_N),
            "files": self.num_files,
            "seconds": float(self.seconds_N.sum()),
            "seconds_quantiles": _quantiles(self.seconds_N),
            "level_db_quantiles": _quantiles(self.level_db_N),
            "peak_db_quantiles": _quantiles(self.peak_db_N),
            "characters_per_second_quantiles": _quantiles(self.character_rate_N),
            "recordings": [
                {"sample_rate": rate, "num_channels": channels, "format": file_format, "utterances": count}
                for (rate, channels, file_format), count in self.recordings.most_common()
            ],
            "speakers": [
                {"speaker": speaker or None, "utterances": count, "seconds": seconds}
                for speaker, (count, seconds) in sorted(self.speakers.items(), key=lambda item: -item[1][1])
            ],
            "distinct_texts": len(texts),
            "empty_texts": self.texts[""],
            "words": sum(len(text.split()) * count for text, count in texts.items()),
            "distinct_words": len({word for text in texts for word in text.split()}),
            "unknown_words": self.num_unknown_words,
            "most_repeated_texts": [
                {"text": text, "utterances": count}
                for text, count in sorted(texts.items(), key=lambda item: -item[1])[:_MOST_REPEATED]
                if count > 1
            ],
            "characters": [
                {"character": character, "count": count, "known": character not in self.unknown_characters}
                for character, count in self.characters.most_common()
            ],
        }


def _known_characters(vocabulary: Vocabulary) -> set[str]:
    """The characters that words or texts of a vocabulary are spelt with, the space between words among them."""
    if vocabulary.unit == "character":
        return set(vocabulary.entries)
    if vocabulary.unit == "subword":
        return {" ", *"".join(vocabulary.entries)} - {WORD_BEGINNING}
    return {" ", *"".join(vocabulary.words), *vocabulary.letters}


def gather_facts(cases: Sequence[Case]) -> Facts:
    """The facts of a manifest's lines."""
    speakers: dict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    texts: Counter[str] = Counter()
    recordings: Counter[tuple[int, int, str]] = Counter()
    characters: Counter[str] = Counter()
    seconds, levels, peaks, rates = [], [], [], []
    for case in cases:
        texts[case.text] += 1
        characters.update(case.text)
        count, spoken = speakers[case.utterance.speaker or ""]
        speakers[case.utterance.speaker or ""] = count + 1, spoken + case.seconds
        measurement = case.measurement
        if not measurement.num_samples:
            continue
        recordings[measurement.source_rate, measurement.num_channels, measurement.format] += 1
        seconds.append(case.seconds)
        levels.append(max(_LEAST_DB, decibels(measurement.rms)))
        peaks.append(max(_LEAST_DB, case.peak_db))
        if case.text:
            rates.append(len(case.text) / case.seconds)
    unknown: frozenset[str] = frozenset()
    num_unknown_words = 0
    if cases:
        vocabulary = cases[0].vocabulary
        unknown = frozenset(characters) - _known_characters(vocabulary)
        if vocabulary.unit == "word":
            known = frozenset(vocabulary.entries)
            num_unknown_words = sum(count * sum(w not in known for w in text.split()) for text, count in texts.items())
    return Facts(
        num_utterances=len(cases),
        seconds_N=np.array(seconds, float),
        level_db_N=np.array(levels, float),
        peak_db_N=np.array(peaks, float),
        character_rate_N=np.array(rates, float),
        recordings=recordings,
        speakers=dict(speakers),
        texts=texts,
        characters=characters,
        unknown_characters=unknown,
        num_unknown_words=num_unknown_words,
        num_files=len({case.name for case in cases}),
    )


def shared_facts(first: Facts, first_cases: Sequence[Case], second: Facts, second_cases: HeldOut) -> dict[str, Any]:
    """What a manifest that is learnt from shares with one that is held out, as JSON-ready fields.

    Args:
        first: the facts of the one that is learnt from.
        first_cases: its lines.
        second: the facts of the one that is held out.
        second_cases: its recordings.

    Returns:
        `speakers`: who speaks in both. `speakers_unknown`: utterances of both together without a speaker: whether their
        voices are in both, nobody knows. `recordings`: files of which both hold parts that do not overlap.
        `text_share`: the share of the second's utterances whose text the first holds too. `unseen_word_share`: the
        share of the second's running words that the first never holds.
    """
    words = {word for text in first.texts for word in text.split()}
    running = Counter[str]()
    for text, count in second.texts.items():
        for word in text.split():
            running[word] += count
    spoken = sum(count for text, count in second.texts.items() if text)
    seen = sum(count for text, count in second.texts.items() if text and text in first.texts)
    overlapping = {case.name for case in first_cases if second_cases.find(case) is not None}
    parts = {case.name for case in first_cases if second_cases.shares_file(case)}
    unseen = sum(count for word, count in running.items() if word not in words)
    return {
        "speakers": sorted((first.speakers.keys() & second.speakers.keys()) - {""}),
        "speakers_unknown": sum(facts.speakers.get("", (0, 0.0))[0] for facts in (first, second)),
        "recordings": sorted(parts - overlapping),
        "text_share": seen / spoken if spoken else 0.0,
        "unseen_word_share": unseen / running.total() if running else 0.0,
    }


def histograms(facts: Sequence[Facts]) -> dict[str, dict[str, Any]]:
    """How lengths, levels and speaking rates are spread, manifest by manifest over the same bins.

    The last bin of lengths and rates holds all that is longer or faster, and the first and last of levels likewise, so
    that one odd recording does not squeeze all others into a corner.

    Returns:
        By name: `edges` of the bins, and `counts`, a list a manifest.
    """
    return {
        "seconds": _histogram([entry.seconds_N for entry in facts]),
        "characters_per_second": _histogram([entry.character_rate_N for entry in facts]),
        "level_db": _histogram_db([entry.level_db_N for entry in facts]),
        "peak_db": _histogram_db([entry.peak_db_N for entry in facts]),
    }


def _histogram_db(values: Sequence[np.ndarray]) -> dict[str, Any]:
    together = np.concatenate(values)
    quiet = float(np.percentile(together, 0.5)) if len(together) else 0.0
    lowest = max(_LEAST_DB, min(-20.0, _BIN_DB * math.floor(quiet / _BIN_DB)))
    return _count(values, np.arange(lowest, _BIN_DB / 2, _BIN_DB))


def _histogram(values: Sequence[np.ndarray]) -> dict[str, Any]:
    together = np.concatenate(values)
    if not len(together):
        return _count(values, np.array([0.0, 1.0]))
    high = min(float(together.max()), 1.5 * float(np.percentile(together, 95)))
    width = _round_up(high / _HISTOGRAM_BINS)
    return _count(values, width * np.arange(math.floor(high / width) + 2))


def _count(values: Sequence[np.ndarray], edges: np.ndarray) -> dict[str, Any]:
    inside = [np.clip(entry, edges[0], np.nextafter(edges[-1], -np.inf)) for entry in values]
    return {
        "edges": [round(float(edge), 9) for edge in edges],
        "counts": [np.histogram(entry, edges)[0].tolist() for entry in inside],
    }


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5, 10 (times a power of ten): a bin that people can count in."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value * (1 - 1e-9))


def _quantiles(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    names = {"least": 0, "5 %": 5, "median": 50, "95 %": 95, "most": 100}
    return {name: round(float(np.percentile(values, percent)), 4) for name, percent in names.items()}
