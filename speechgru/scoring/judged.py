"""A recogniser that is to be scored, whatever form it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speechgru.decoding import DecodingOptions, Predictor
from speechgru.errors import BundleError, UserError
from speechgru.progress import Progress
from speechgru.runtime import Recognizer, is_bundle
from speechgru.scoring.predictions import Decoded, decode_recordings
from speechgru.scoring.recordings import ScoringSet
from speechgru.scoring.run_windows import in_windows
from speechgru.scoring.trained_run import TrainedRun
from speechgru.text import TextRules, Vocabulary


@dataclass(frozen=True)
class Judged:
    """What is scored: how to decode recordings with it, and what it needs of them.

    Args:
        path: the run folder or bundle.
        form: what to call it: `Keras`, or a form of TFLite.
        size_bytes: of its file; None of a run.
        sample_rate: Hz.
        text: the rules that references go through.
        vocabulary: the labels.
        asked: the decoding, with the recogniser's own grammar and language model where they are asked for.
        options: the same, prepared for the recogniser.
        predictor: samples to log-probabilities.
        step_seconds: seconds from one step to the next.
        batch_size: recordings that it computes at once.
        trained: the run; None of a bundle.
    """

    path: Path
    form: str
    size_bytes: int | None
    sample_rate: int
    text: TextRules
    vocabulary: Vocabulary
    asked: DecodingOptions
    options: DecodingOptions
    predictor: Predictor
    step_seconds: float
    batch_size: int
    trained: TrainedRun | None = None

    @property
    def note(self) -> str | None:
        """Which of a run's weights these are, where they are not the best ones."""
        return None if self.trained is None else self.trained.note

    def decode(self, recordings: ScoringSet, progress: Progress) -> Decoded:
        """Runs it over recordings."""
        return decode_recordings(
            self.predictor,
            recordings,
            vocabulary=self.vocabulary,
            step_seconds=self.step_seconds,
            options=self.options,
            batch_size=self.batch_size,
            progress=progress,
        )


def open_judged(
    path: str | Path | TrainedRun,
    *,
    form: str | None,
    decoding: DecodingOptions,
    batch_size: int,
    window_seconds: float | None = None,
) -> Judged:
    """Opens a run or a bundle to be scored.

    Args:
        path: a run folder or an open run (its best weights, by Keras), or a bundle or one `.tflite` file of it (by
            LiteRT).
        form: which of a bundle's models to run; its default when None.
        decoding: how to decode; its texts go through the recogniser's text rules.
        batch_size: utterances that a run computes at once.
        window_seconds: of a recording that are computed at once, as for `Recognizer`; of a run as of its bundle.

    Raises:
        BundleError: `path` is neither.
        UserError: a form is named, and it is a run.
        TextError: the recogniser cannot write a hotword or phrase.
    """
    trained = path if isinstance(path, TrainedRun) else None
    path = path.folder.path if isinstance(path, TrainedRun) else Path(path)
    if trained is None and is_bundle(path):
        return _open_bundle(path, Recognizer(path, form=form, window_seconds=window_seconds), decoding)
    if form is not None:
        raise UserError(
            f"{path}: form {form!r} names a bundle's model, and this is not a bundle (bundle.json is missing)"
        )
    if (path / "config.yaml").is_file():
        return _open_run(path, trained or TrainedRun(path, newest=True), decoding, batch_size, window_seconds)
    raise BundleError(
        f"{path}: is neither a run folder (config.yaml) nor a bundle (bundle.json); `speechgru train` makes the "
        "one, `speechgru export` the other"
    )


def _open_run(
    path: Path, trained: TrainedRun, decoding: DecodingOptions, batch_size: int, window_seconds: float | None
) -> Judged:
    config, vocabulary = trained.config, trained.vocabulary
    asked = decoding.with_grammar_of(trained.grammar)
    prepared = asked.prepared(normalize=config.text.normalize, vocabulary=vocabulary)
    rejection = trained.folder.read_rejection()
    return Judged(
        path,
        form="Keras",
        size_bytes=None,
        sample_rate=config.data.sample_rate,
        text=config.text.rules,
        vocabulary=vocabulary,
        asked=asked,
        options=prepared.with_threshold(rejection["threshold"] if rejection else None),
        predictor=in_windows(trained, window_seconds=window_seconds),
        step_seconds=config.step_seconds,
        batch_size=batch_size,
        trained=trained,
    )


def _open_bundle(path: Path, recognizer: Recognizer, decoding: DecodingOptions) -> Judged:
    asked = decoding.with_grammar_of(recognizer.grammar).with_language_of(lambda: recognizer.language_model)
    return Judged(
        path,
        form=f"TFLite {recognizer.form}",
        size_bytes=recognizer.size_bytes,
        sample_rate=recognizer.sample_rate,
        text=recognizer.text_rules,
        vocabulary=recognizer.vocabulary,
        asked=asked,
        options=recognizer.prepare(asked),
        predictor=recognizer,
        step_seconds=recognizer.metadata["step_seconds"],
        batch_size=1,  # one recording at a time, as on a device: the real-time factor is that of a device
    )
