"""The numbers of a beam that make the fewest errors on a dev set: `speechgru tune --decoding`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru import metrics
from speechgru.decoding import DecodingOptions, DecodingSettings
from speechgru.decoding.options import MAX_BEAM_WIDTH
from speechgru.errors import ManifestError, UserError
from speechgru.progress import Progress, silent
from speechgru.scoring.decoding_search import DevSet, Search, Tried, axes_of
from speechgru.scoring.judged import Judged, open_judged
from speechgru.scoring.recordings import ScoringSet
from speechgru.scoring.trained_run import TrainedRun
from speechgru.utterances.check import is_test
from speechgru.utterances.manifest import Utterance, read_manifest
from speechgru.visible import counted

#: Widths that are compared at the end, as multiples of the one that was searched with.
_WIDTHS = (0.25, 0.5, 1, 2, 4)


@dataclass(frozen=True)
class DecodingResult:
    """What was found.

    Args:
        settings: the chosen numbers.
        tried: every candidate, in order; the first is greedy decoding, the second the numbers as they were.
        chosen: the candidate with these numbers.
        num_words: words of the references.
        num_utterances: of the dev set.
        audio_seconds: of what was read.
        description: how texts were decoded, but for the numbers.
        interval: where the chosen WER may lie at 95 %; None where no reference holds a word.
        notes: what a person should know.
    """

    settings: DecodingSettings
    tried: Sequence[Tried]
    chosen: Tried
    num_words: int
    num_utterances: int
    audio_seconds: float
    description: str
    interval: tuple[float, float] | None
    notes: Sequence[str] = ()

    def wer(self, tried: Tried) -> float:
        """A candidate's word error rate; of one that was given up, at least this."""
        return tried.errors.words / self.num_words

    def rtf(self, tried: Tried) -> float:
        """Seconds of decoding for each second of sound, without the model's own."""
        return tried.errors.seconds / self.audio_seconds


def tune_decoding(
    path: str | Path | TrainedRun,
    manifest: str | Path,
    *,
    decoding: DecodingOptions,
    form: str | None = None,
    batch_size: int = 32,
    progress: Progress = silent,
) -> DecodingResult:
    """Searches a language model's weight, bonus and penalties, the boost of hotwords and the width of the beam.

    Along each axis some values far apart are tried; then it is the search of Hooke and Jeeves 1961, "Direct Search
    Solution of Numerical and Statistical Problems": a step in each direction, a leap where several led further, half
    the steps where none does. A WER is a staircase without a gradient, over two to six numbers, some of which depend on
    each other. The leaps follow that valley; some forty to seventy candidates do, most of them given up early, where a
    grid needs hundreds, and no model of the surface is needed, as a tuner of hyperparameters has one. The same dev set
    gives the same numbers.

    Args:
        path: a run folder or a bundle.
        manifest: the dev set: neither test, nor what was trained on.
        decoding: the search as it would be without: a beam, and what of a language model and hotwords it has is tuned.
            Its own numbers are where the search begins.
        form: which of a bundle's models to run.
        batch_size: utterances that a run computes at once.
        progress: called for each recording, and then for each candidate.

    Raises:
        UserError: the manifest is a test set, or none of it can be read; or the decoding is greedy.
        BundleError, ManifestError, TextError: as `evaluate`.
    """
    if decoding.beam_width == 1:
        raise UserError("greedy decoding has no numbers; give a --beam-width of 2 or more, or what needs a beam")
    notes = _require_dev(Path(manifest))
    judged = open_judged(path, form=form, decoding=decoding, batch_size=batch_size)
    notes += _note_on_training(judged, Path(manifest))
    notes += [] if judged.note is None else [judged.note]
    for note in notes:
        progress("beginning", 1, 1, note)
    recordings = ScoringSet(manifest, sample_rate=judged.sample_rate, text=judged.text)
    dev = DevSet.compute(judged, recordings, progress)
    asked = judged.asked
    greedy = Tried(DecodingSettings(1), dev.errors(DecodingOptions()), "greedy")
    axes = axes_of(asked)
    search = Search(dev, asked, progress)
    search.begin({axis.name: axis.start for axis in axes})
    search.run(axes)
    widths = sorted({min(MAX_BEAM_WIDTH, max(2, round(asked.beam_width * times))) for times in _WIDTHS})
    chosen = search.compare_widths(widths)
    problems = recordings.problems
    if problems:
        notes.append(f"{counted(len(problems), 'recording')} could not be read, such as {problems[0]['message']}")
    if greedy.errors.words < chosen.errors.words:
        notes.append(
            f"greedy decoding makes fewer errors ({greedy.errors.words:,}) than the best beam that was found "
            f"({chosen.errors.words:,}): look at what the beam is given"
        )
    return DecodingResult(
        settings=chosen.settings,
        tried=[greedy, *search.tried],
        chosen=chosen,
        num_words=sum(len(reference.split()) for reference in dev.references),
        num_utterances=len(dev.references),
        audio_seconds=dev.audio_seconds,
        description=asked.description,
        interval=metrics.error_interval(chosen.errors.counts),
        notes=notes,
    )


def _require_dev(manifest: Path) -> list[str]:
    """Refuses a test set, by its name or by a recording that it shares with a test set beside it.

    Raises:
        UserError: it is one.
    """
    if is_test(manifest):
        raise UserError(
            f"{manifest}: is a test set by its name, and what is chosen on it is too good to be true there; choose on "
            "the dev set (--manifest dev.jsonl)"
        )
    own = {_place_of(utterance) for utterance in read_manifest(manifest)}
    for other in sorted(manifest.parent.glob("*.jsonl")):
        if not is_test(other):
            continue
        try:
            shared = [utterance for utterance in read_manifest(other) if _place_of(utterance) in own]
        except ManifestError as error:
            return [f"{other} beside it cannot be read, so nobody knows what they share: {error}"]
        if shared:
            raise UserError(
                f"{manifest}: shares {counted(len(shared), 'recording')} with the test set {other}, such as "
                f"{shared[0].utterance_id}; choose on recordings that are not tested"
            )
    return []


def _note_on_training(judged: Judged, manifest: Path) -> list[str]:
    """What is said of recordings that the run was trained on, of which it makes fewer errors than of any others."""
    if judged.trained is None:
        return []
    own = {_place_of(utterance) for utterance in read_manifest(manifest)}
    for path in map(Path, judged.trained.config.data.train):
        if not path.is_file():  # shards, or gone
            continue
        shared = sum(_place_of(utterance) in own for utterance in read_manifest(path))
        if shared:
            return [
                f"{shared:,} of its recordings are in {path}, which the run was trained on: a language model counts "
                "less there than it should"
            ]
    return []


def _place_of(utterance: Utterance) -> tuple[str, float, int | None]:
    return utterance.audio_filepath, utterance.offset, utterance.channel


def as_file(result: DecodingResult, *, recogniser: str, manifest: str) -> Mapping[str, Any]:
    """What is written: the numbers, and under `tuned` how they were chosen."""
    first = result.tried[1]
    return result.settings.as_record() | {
        "tuned": {
            "recogniser": recogniser,
            "manifest": manifest,
            "decoding": result.description,
            "utterances": result.num_utterances,
            "candidates": len(result.tried) - 1,
            "wer": result.wer(result.chosen),
            "wer_before": result.wer(first),
            "wer_greedy": result.wer(result.tried[0]),
        }
    }
