"""Keywords in a stream that does not end: false accepts an hour and misses, at every threshold.

A device that always listens gets no utterances. So the recordings are joined, one after the other, and go through the
model as one stream, whose state nobody resets; a keyword counts as found where its score reaches the threshold while it
is said, or shortly after.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.decoding.keywords import EVEN_ODDS, REFRACTORY_SECONDS, WINDOW_SECONDS, KeywordScorer, peaks_above
from speechgru.errors import UserError
from speechgru.metrics import DetectionCurve
from speechgru.progress import Progress, silent
from speechgru.runtime import Recognizer
from speechgru.scoring.recordings import ScoringSet
from speechgru.utterances.manifest import read_manifest

#: Seconds by which a recording's scores count later than its samples: a model writes a label when it has heard it.
_DELAY_SECONDS = 0.25
#: Scores below count as none: a threshold there would accept a keyword many times a minute.
LEAST_SCORE = -7.0
#: The highest false scores that the rate of higher ones is estimated from.
_TAIL = 20


@dataclass(frozen=True)
class Passage:
    """One recording in a stream.

    Args:
        text: what is said in it, by the text rules.
        start: its first step.
        end: the step after its last.
    """

    text: str
    start: int
    end: int

    def has(self, keyword: str) -> bool:
        """Whether a keyword is said in it."""
        return f" {keyword} " in f" {self.text} "


@dataclass(frozen=True)
class Listened:
    """What a recogniser made of a stream.

    Args:
        keywords: the columns of the scores.
        scores_SK: log-odds of each keyword after each step (`decoding.KeywordScorer`).
        passages: the recordings, in order.
        step_seconds: seconds from one step to the next.
        audio_seconds: how long the stream is.
        seconds: processor seconds that model and scorer took.
    """

    keywords: tuple[str, ...]
    scores_SK: np.ndarray
    passages: tuple[Passage, ...]
    step_seconds: float
    audio_seconds: float
    seconds: float


def listen_for_keywords(
    recognizer: Recognizer,
    recordings: Iterable[tuple[str, np.ndarray]],
    keywords: Sequence[str],
    *,
    window_seconds: float = WINDOW_SECONDS,
    total: int = 0,
    progress: Progress = silent,
) -> Listened:
    """Scores keywords in recordings that are joined to one stream.

    Args:
        recognizer: one that streams.
        recordings: of each what is said in it, by the text rules, and its samples at the recogniser's rate.
        keywords: as the recogniser writes them.
        window_seconds: as for `KeywordScorer`.
        total: how many recordings there are, for whoever watches the progress; 0 where nobody knows.
        progress: called after each recording.

    Raises:
        UserError: the recogniser does not stream.
        TextError: it cannot write a keyword.
    """
    step_seconds: float = recognizer.metadata["step_seconds"]
    windows = recognizer.open_windows()
    scorer = KeywordScorer(
        keywords, vocabulary=recognizer.vocabulary, step_seconds=step_seconds, window_seconds=window_seconds
    )
    scores: list[np.ndarray] = []
    edges, texts, seconds = [0], [], 0.0
    for text, samples_N in recordings:
        started = time.thread_time()
        scores += map(scorer.feed, windows.feed(samples_N))
        seconds += time.thread_time() - started
        texts.append(text)
        edges.append(windows.num_samples)
        progress("listening", len(texts), max(total, len(texts)), "")
    started = time.thread_time()
    scores += map(scorer.feed, windows.finish())
    seconds += time.thread_time() - started
    samples_per_step = step_seconds * recognizer.sample_rate
    steps = [round(edge / samples_per_step) for edge in edges]
    return Listened(
        keywords=scorer.keywords,
        scores_SK=np.concatenate([np.zeros((0, len(keywords))), *scores]),
        passages=tuple(Passage(text, *span) for text, *span in zip(texts, steps[:-1], steps[1:], strict=True)),
        step_seconds=step_seconds,
        audio_seconds=windows.num_samples / recognizer.sample_rate,
        seconds=seconds,
    )


def recordings_of(recognizer: Recognizer, manifests: Iterable[str | Path]) -> Iterator[tuple[str, np.ndarray]]:
    """The recordings of manifests, each with what is said in it; those that cannot be read are left out.

    Raises:
        ManifestError: a manifest cannot be read.
        UserError: none of its recordings can be.
    """
    for manifest in manifests:
        recordings = ScoringSet(
            manifest, sample_rate=recognizer.sample_rate, text=recognizer.text_rules, needs_words=False
        )
        for batch in recordings.batches(batch_size=1):
            yield batch.references[0], batch.samples_BN[0]


def keyword_curves(
    streams: Sequence[Listened], *, refractory_seconds: float = REFRACTORY_SECONDS
) -> dict[str, DetectionCurve]:
    """False accepts against misses of each keyword that is said.

    A recording in which it is said is a miss where the score does not reach the threshold there. Elsewhere, but for the
    `refractory_seconds` behind it, peaks that are as far apart are false accepts, each at the thresholds that it
    reaches.

    Args:
        streams: of the same keywords.
        refractory_seconds: as for `KeywordSpotter`.

    Raises:
        UserError: a keyword is said in none of the recordings, or in all of them.
    """
    curves = {}
    for place, keyword in enumerate(streams[0].keywords):
        margins: list[float] = []
        false_margins: list[float] = []
        negative_seconds = 0.0
        for stream in streams:
            delay = math.ceil(_DELAY_SECONDS / stream.step_seconds)
            pause_steps = math.ceil(refractory_seconds / stream.step_seconds)
            false_S = stream.scores_SK[:, place].copy()
            for passage in stream.passages:
                if passage.has(keyword):
                    said_S = stream.scores_SK[passage.start + delay : passage.end + delay, place]
                    margins.append(float(said_S.max(initial=-np.inf)))
                    # Earlier it may be the keyword's beginning, later its echo: the score stays for as long as a
                    # keyword takes, and a spotter does not report the keyword again.
                    false_S[passage.start : passage.end + delay + pause_steps] = -np.inf
            negative_seconds += np.count_nonzero(false_S > -np.inf) * stream.step_seconds
            peaks = peaks_above(false_S, pause_steps=pause_steps, least=LEAST_SCORE)
            false_margins += false_S[peaks].tolist()
        if not margins or not negative_seconds:
            raise UserError(
                f"the keyword {keyword!r} is said in {len(margins)} of "
                f"{sum(len(stream.passages) for stream in streams)} recordings; to measure it some must hold it, and "
                "some must not"
            )
        margins = [margin if margin >= LEAST_SCORE else -math.inf for margin in margins]
        curves[keyword] = DetectionCurve(
            margins,
            [margin > -math.inf for margin in margins],
            false_margins=false_margins,
            hours=negative_seconds / 3600,
        )
    return curves


def extrapolated_threshold(curve: DetectionCurve, per_hour: float) -> float:
    """The threshold for a rate of false accepts that the negatives are too short to count.

    The excess of the highest false scores over a lower one falls about exponentially, as log-odds do; its mean gives
    how much higher the threshold must be for how much fewer. Where the negatives last long enough, it is the counted
    threshold. Source: the exponential case of the peaks over a threshold (Pickands 1975, "Statistical inference using
    extreme order statistics").

    Args:
        curve: of one keyword.
        per_hour: false accepts an hour that are wanted.

    >>> curve = DetectionCurve([9.0], [True], false_margins=[0.0, 0.7, 1.4, 2.1, 2.8, 3.5], hours=1.0)
    >>> counted = curve.at_false_accepts(0.1).threshold
    >>> counted, round(extrapolated_threshold(curve, 0.1), 2)
    (6.25, 8.22)
    """
    counted = curve.at_false_accepts(per_hour).threshold
    false = curve.false_margins[-_TAIL:]
    if per_hour * curve.hours >= 1 or len(false) < 3:
        return counted
    base, excess = float(false[0]), float(np.mean(false[1:] - false[0]))
    return base + excess * math.log((len(false) - 1) / (per_hour * curve.hours))


def evaluate_keywords(
    bundle: str | Path,
    manifests: Sequence[str | Path],
    keywords: Sequence[str] | None = None,
    *,
    form: str | None = None,
    name: str | None = None,
    false_accepts_per_hour: float = 0.1,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Counts misses and false accepts of a bundle's keywords in recordings, those of each manifest as one stream.

    Args:
        bundle: one whose model streams.
        manifests: recordings with what is said in them; empty texts hold no keyword.
        keywords: those that are counted; all that the bundle was calibrated for when None.
        form: which of the bundle's models to run; its default when None.
        name: how to call the evaluation; by the first manifest when None.
        false_accepts_per_hour: of each keyword, that the `chosen` threshold allows.
        progress: called after each recording.

    Returns:
        A JSON-ready record: `name`, `path`, `form`, `size_bytes`, `manifests`, `audio_seconds`, `rtf`, and `keywords`,
        of each `keyword`, `num_commands` (recordings in which it is said), `negative_seconds`, and as in
        `score_rejection` `asked`, `chosen`, `in_use` (at the bundle's threshold) and `curve`; also `extrapolated`, the
        point at `extrapolated_threshold`.

    Raises:
        BundleError: it is no bundle.
        ManifestError: a manifest cannot be read.
        UserError: the bundle does not stream, or a keyword is said in no recording or in all.
        TextError: it cannot write a keyword.
    """
    recognizer = Recognizer(bundle, form=form)
    known = recognizer.keyword_thresholds
    written = list(known) if keywords is None else [recognizer.text_rules.normalize(keyword) for keyword in keywords]
    streams = [
        listen_for_keywords(
            recognizer,
            recordings_of(recognizer, [manifest]),
            written,
            total=len(read_manifest(manifest, needs_text=False)),
            progress=progress,
        )
        for manifest in manifests
    ]
    audio_seconds = sum(stream.audio_seconds for stream in streams)
    return {
        "name": name or Path(manifests[0]).stem,
        "path": str(Path(bundle).absolute()),
        "form": recognizer.form,
        "size_bytes": recognizer.size_bytes,
        "manifests": [str(Path(manifest).absolute()) for manifest in manifests],
        "audio_seconds": audio_seconds,
        "rtf": sum(stream.seconds for stream in streams) / audio_seconds,
        "keywords": [
            describe_keyword(
                keyword, curve, threshold=known.get(keyword, EVEN_ODDS), false_accepts_per_hour=false_accepts_per_hour
            )
            for keyword, curve in keyword_curves(streams).items()
        ],
    }


def describe_keyword(
    keyword: str, curve: DetectionCurve, *, threshold: float, false_accepts_per_hour: float
) -> dict[str, Any]:
    """What `evaluate_keywords` gives of one keyword.

    Args:
        keyword: its text.
        curve: its false accepts against its misses.
        threshold: the one in use.
        false_accepts_per_hour: that are allowed.
    """
    extrapolated = curve.at(extrapolated_threshold(curve, false_accepts_per_hour))
    return {
        "keyword": keyword,
        "num_commands": curve.num_commands,
        "negative_seconds": curve.hours * 3600,
        "asked": {"false_accepts_per_hour": false_accepts_per_hour, "misses": None},
        "chosen": curve.describe(curve.at_false_accepts(false_accepts_per_hour)),
        "extrapolated": curve.describe(extrapolated),
        "in_use": curve.describe(curve.at(threshold)),
        "curve": [
            {
                "threshold": point.threshold,
                "false_accepts_per_hour": point.num_false_accepts / curve.hours,
                "miss_rate": point.num_misses / curve.num_commands,
            }
            for point in curve.corners()
        ],
    }
