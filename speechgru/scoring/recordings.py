"""The recordings that a recogniser is scored on, each decoded once a scoring."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from speechgru.audio.reading import read_header
from speechgru.errors import AudioError, ManifestError, UserError
from speechgru.process.ordered import map_in_order
from speechgru.text import TextRules
from speechgru.utterances.examination import Examined, Problem, read_usable
from speechgru.utterances.manifest import Utterance, read_manifest

#: Bytes of samples that a set keeps for the next scoring: 70 minutes at 16 kHz.
KEPT_BYTES = 256 << 20
#: Threads that decode files, and the recordings by which each of them may be ahead of the model.
_READERS, _AHEAD = min(4, os.cpu_count() or 1), 8


class Batch(NamedTuple):
    """Recordings for one call of a model.

    Args:
        lines: of each the place in the manifest, from 0.
        references: what was said, by the text rules.
        samples_BN: float32, zeros behind the end of a recording.
        num_samples_B: int32.
    """

    lines: list[int]
    references: list[str]
    samples_BN: np.ndarray
    num_samples_B: np.ndarray


class ScoringSet(Sequence[Examined]):
    """The usable utterances of a manifest, with normalised references; a recording is decoded once a scoring.

    Which recordings can be read is known once all have been: whoever scores at once iterates `batches`, and only then
    asks for the utterances and the problems, so that nothing is decoded beforehand. Asking first reads all.

    Nothing is left out but what cannot be read: a reference with unknown characters, or one too long for its recording,
    is an error that the recogniser must answer for.

    Args:
        manifest: the utterances.
        sample_rate: Hz that the recogniser works at.
        text: the recogniser's text rules.
        kept_bytes: bytes of samples that stay in memory for the next scoring; recordings beyond are decoded again.
        needs_words: whether some reference must hold a word, as a word error rate needs.
        utterances: what is scored in place of the manifest's lines, such as parts of its recordings.

    Raises:
        ManifestError: the manifest cannot be read, or the slots of an intent are none.
        UserError: no reference holds a word; or, from whatever reads, no recording can be read.
    """

    def __init__(
        self,
        manifest: str | Path,
        *,
        sample_rate: int,
        text: TextRules,
        kept_bytes: int = 0,
        needs_words: bool = True,
        utterances: Sequence[Utterance] | None = None,
    ):
        self.manifest, self.sample_rate, self._needs_words = manifest, sample_rate, needs_words
        self._utterances = read_manifest(manifest) if utterances is None else list(utterances)
        for utterance in self._utterances:
            slots = utterance.extra.get("slots")
            if isinstance(utterance.extra.get("intent"), str) and not isinstance(slots, dict | None):
                raise ManifestError(
                    f"{manifest}:{utterance.line}: slots of an intent are names with values, such as "
                    f'{{"room": "kitchen"}}, got {slots!a:.60}'
                )
        self._references = [text.normalize(utterance.text) for utterance in self._utterances]
        self._left_bytes = kept_bytes
        self._samples: dict[int, np.ndarray] = {}
        self._results: dict[int, Examined | Problem] = {}
        self._cancelled: set[int] = set()
        if needs_words and not any(self._references):
            raise UserError(f"{manifest}: no reference holds a word, so there is no word error rate; add transcripts")

    @property
    def num_expected(self) -> int:
        """How many utterances are usable as far as is known by now: all lines less those that could not be read."""
        return len(self._utterances) - sum(isinstance(result, Problem) for result in list(self._results.values()))

    @property
    def references(self) -> list[str]:
        """The normalised transcripts of all lines, be their recordings usable or not; nothing is read for them."""
        return list(self._references)

    @property
    def problems(self) -> list[dict[str, Any]]:
        """A record of each utterance that cannot be read, in the manifest's order."""
        return [result.as_record(self.manifest) for result in self._all_results() if isinstance(result, Problem)]

    @property
    def usable_lines(self) -> list[int]:
        """Where in the manifest the usable utterances stand, from 0: in the order of the set."""
        return [line for line, result in enumerate(self._all_results()) if isinstance(result, Examined)]

    @property
    def cancelled(self) -> list[Utterance]:
        """The utterances whose channels cancel each other, as far as they were read by now."""
        return [self._utterances[line] for line in sorted(self._cancelled)]

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __iter__(self) -> Iterator[Examined]:
        return (result for result in self._all_results() if isinstance(result, Examined))

    @overload
    def __getitem__(self, place: int) -> Examined: ...

    @overload
    def __getitem__(self, place: slice) -> list[Examined]: ...

    def __getitem__(self, place: int | slice) -> Examined | list[Examined]:
        return list(iter(self))[place]

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """The usable recordings, the longest first, so that memory trouble shows at once and padding is little.

        Raises:
            AudioError: a recording that could be read before cannot be read now.
        """
        waiting: list[tuple[int, np.ndarray]] = []
        for recording in self._recordings():
            waiting.append(recording)
            if len(waiting) == batch_size:
                yield self._batch_of(waiting)
                waiting = []
        if waiting:
            yield self._batch_of(waiting)

    def _batch_of(self, recordings: Sequence[tuple[int, np.ndarray]]) -> Batch:
        lines = [line for line, _ in recordings]
        num_samples_B = np.array([len(samples_N) for _, samples_N in recordings], np.int32)
        samples_BN = np.zeros([len(lines), num_samples_B.max()], np.float32)
        for row, (_, samples_N) in enumerate(recordings):
            samples_BN[row, : len(samples_N)] = samples_N
        return Batch(lines, [self._references[line] for line in lines], samples_BN, num_samples_B)

    def _recordings(self) -> Iterator[tuple[int, np.ndarray]]:
        order = sorted(range(len(self._utterances)), key=lambda line: -self._length(line))
        lines = [line for line in order if not isinstance(self._results.get(line), Problem)]
        for line, samples_N in zip(lines, self._read_all(lines), strict=True):
            if samples_N is not None:
                yield line, samples_N

    def _read_all(self, lines: Sequence[int]) -> Iterator[np.ndarray | None]:
        """What `_read` gives for each line, read by threads and kept here, in order, so that the same ones are kept."""
        for line, samples_N in zip(
            lines, map_in_order(self._read, lines, workers=_READERS, lookahead=_AHEAD), strict=True
        ):
            if samples_N is not None and line not in self._samples and samples_N.nbytes <= self._left_bytes:
                self._left_bytes -= samples_N.nbytes
                self._samples[line] = samples_N
            yield samples_N

    def _all_results(self) -> list[Examined | Problem]:
        """What became of each line; reads those that nobody has read yet."""
        unread = [line for line in range(len(self._utterances)) if line not in self._results]
        for _ in self._read_all(unread):
            pass
        results = [self._results[line] for line in range(len(self._utterances))]
        problems = [result for result in results if isinstance(result, Problem)]
        if len(problems) == len(results):
            raise UserError(
                f"{self.manifest}: none of its {len(problems)} recordings can be read: {problems[0].message}"
            )
        if self._needs_words and not any(result.text for result in results if isinstance(result, Examined)):
            raise UserError(
                f"{self.manifest}: no reference of a recording that can be read holds a word, so there is no word "
                f"error rate: {problems[0].message}"
            )
        return results

    def _length(self, line: int) -> int:
        """A recording's samples, as far as they are known without decoding it."""
        known = self._results.get(line)
        if isinstance(known, Examined):
            return known.num_samples
        return round(stated_seconds(self._utterances[line]) * self.sample_rate)

    def _read(self, line: int) -> np.ndarray | None:
        """A recording's samples, kept or decoded; None where that shows that it cannot be used. Runs in threads."""
        if line in self._samples:
            return self._samples[line]
        utterance, known = self._utterances[line], self._results.get(line)
        read = read_usable(utterance, sample_rate=self.sample_rate)
        if isinstance(read, Problem):
            if known is not None:
                raise AudioError(f"{read.message} (it could be read before)")
            self._results[line] = read
            return None
        if read.mixing.cancels:
            self._cancelled.add(line)
        if known is None:
            self._results[line] = Examined(utterance, self._references[line], (), len(read.samples_N))
        return read.samples_N


def stated_seconds(utterance: Utterance) -> float:
    """How long a recording is by its manifest or, where that does not know, by its header."""
    if utterance.duration:
        return utterance.duration
    try:
        header = read_header(utterance.audio_filepath)
        return header.segment(utterance.offset, None)[1] / header.sample_rate
    except AudioError:
        return 0.0  # reading it will report why
