"""A stream that listens for keywords: samples in as they come, each keyword once when it was said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.decoding.keywords import EVEN_ODDS, Detection, KeywordSpotter
from speechgru.errors import BundleError, UserError
from speechgru.runtime.stream_input import StreamInput
from speechgru.runtime.windows import Windows
from speechgru.text import UNKNOWN_WORD, Vocabulary


class KeywordStream:
    """Listens for keywords without an end (`Recognizer.keyword_stream` makes it); for one thread.

    However the samples are cut, the reports are the same. Its memory stays the same, however long it listens: nothing
    of what was said is kept.

    Args:
        windows: the model's calls.
        spotter: what is listened for.
        sample_rate: Hz of the model's input.
        source_rate: Hz of the samples that are fed.
    """

    def __init__(self, windows: Windows, spotter: KeywordSpotter, *, sample_rate: int, source_rate: float):
        self._windows, self._spotter = windows, spotter
        self._sample_rate = sample_rate
        self._input = StreamInput(sample_rate=sample_rate, source_rate=source_rate)

    @property
    def keywords(self) -> tuple[str, ...]:
        """What is listened for, by name."""
        return self._spotter.keywords

    @property
    def seconds(self) -> float:
        """Seconds of sound that the model has been given so far."""
        return self._windows.num_samples / self._sample_rate

    def feed(self, samples_N: np.ndarray) -> list[Detection]:
        """Takes the next samples, any number of them: one channel, as in `Recognizer.transcribe`.

        Returns:
            The keywords that were said meanwhile, each once. A model needs some sound to come before it answers
            (`latency_seconds` in `bundle.json`).

        Raises:
            ValueError: the stream has been finished.
            AudioError: the samples are not one channel, not finite, or far outside [-1, 1]; none of them is taken.
        """
        return self._spot(self._windows.feed(self._input.feed(samples_N)))

    def finish(self) -> list[Detection]:
        """Says that nothing follows; gives the keywords of what is left, and nothing when it is called again."""
        if self._input.is_finished:
            return []
        return self._spot([*self._windows.feed(self._input.finish()), *self._windows.finish()])

    def _spot(self, pieces: Iterable[np.ndarray]) -> list[Detection]:
        return [found for log_probs_SV in pieces for found in self._spotter.feed(log_probs_SV)]


def thresholds_in(metadata: Mapping[str, Any], vocabulary: Vocabulary, *, name: Path) -> dict[str, float]:
    """The keywords of a bundle with their thresholds (`Recognizer.keyword_thresholds`).

    Args:
        metadata: the bundle's.
        vocabulary: what its model writes.
        name: the bundle, for messages.

    Raises:
        BundleError: what the bundle holds of them is damaged.
    """
    record = metadata.get("keywords")
    if record is not None:
        try:
            return {str(keyword): float(least) for keyword, least in record["thresholds"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{name}: its thresholds of keywords are damaged ({error!r}); export and calibrate it again"
            ) from error
    words = (word for word in vocabulary.words if word != UNKNOWN_WORD)
    return dict.fromkeys(words, EVEN_ODDS)


def names_in(metadata: Mapping[str, Any], *, name: Path) -> dict[str, str]:
    """What reports call a bundle's keywords that are written otherwise, by what is written: "com pu ter" is "computer".

    Args:
        metadata: the bundle's.
        name: the bundle, for messages.

    Raises:
        BundleError: what the bundle holds of them is damaged.
    """
    names = (metadata.get("keywords") or {}).get("names", {})
    if not isinstance(names, dict) or not all(isinstance(said, str) and said.isprintable() for said in names.values()):
        raise BundleError(f"{name}: its names of keywords are damaged ({names!a:.80}); export and calibrate it again")
    return names


def asked_thresholds(
    keywords: Mapping[str, float | None] | Iterable[str] | None,
    own: dict[str, float],
    *,
    names: Mapping[str, str],
    normalize: Callable[[str], str],
    name: Path,
) -> dict[str, float]:
    """The keywords that a caller asks for with their thresholds (`Recognizer.keyword_stream`).

    Args:
        keywords: what was asked for; None for the bundle's own.
        own: the bundle's own.
        names: as `names_in` gives them; a keyword may be asked for by either.
        normalize: the bundle's text rules.
        name: the bundle, for messages.

    Raises:
        UserError: there is none.
    """
    if keywords is None:
        if not own:
            raise UserError(
                f"{name}: writes characters and knows no keyword; name those to listen for (--keyword "
                "TEXT, in Python keywords=)"
            )
        return own
    named = keywords if isinstance(keywords, Mapping) else dict.fromkeys(keywords)
    spelled = {normalize(said): written for written, said in names.items()}
    written = {spelled.get(normalize(keyword), normalize(keyword)): least for keyword, least in named.items()}
    return {
        keyword: own.get(keyword, EVEN_ODDS) if threshold is None else threshold
        for keyword, threshold in written.items()
    }
