"""What TensorBoard shows of a run while it trains."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.decoding import Hypothesis, Predictor, greedy_decode
from speechgru.errors import DiskError
from speechgru.files import make_folder
from speechgru.report.html import is_number
from speechgru.report.speech_picture import label_areas, label_peaks, log_mel_pixels
from speechgru.report.style import COLOURS, NUM_SERIES
from speechgru.scoring.probe import probe_of_run
from speechgru.text import BLANK_ID, Vocabulary
from speechgru.utterances.examination import Examined, read_utterance

#: Fields of a history record that say where it belongs, and have no curve.
_PLACES = ("kind", "step", "epoch")
#: A picture's pixels: a second of audio, the narrowest and the widest picture, its height.
_SECOND_WIDTH, _LEAST_WIDTH, _MOST_WIDTH, _HEIGHT = 200, 800, 2400, 460
_DPI = 100
#: Both come with matplotlib. Texts have characters of one width, so that the reference stands above the hypothesis.
_TEXT_FONT, _LABEL_FONT = {"family": "DejaVu Sans Mono"}, {"family": "DejaVu Sans", "weight": "bold"}
#: Pixels a character of the texts above a picture is wide.
_CHARACTER_WIDTH = 7.6


class CurveWriter:
    """The curves that TensorBoard shows of a run.

    Every record reaches the disk before the call returns, so that TensorBoard follows and a full disk is noticed where
    it matters.

    Args:
        logs: the folder for the event file; made when it is missing.

    Raises:
        DiskError: the folder cannot be written; so do all methods.
    """

    def __init__(self, logs: Path):
        self._logs = logs
        self._writer: Any = None
        with self._writing():
            make_folder(logs)  # TensorFlow makes all that is missing, a run that was taken away too
            self._writer = tf.summary.create_file_writer(os.fsencode(logs))  # a name need not be UTF-8

    def write_record(self, record: dict[str, Any]) -> None:
        """Adds the numbers of a history record to the curves `kind/key`; text, lists, None and truth values have none.

        Args:
            record: what goes into `history.jsonl`, with `kind` and `step`.
        """
        with self._writing(), self._writer.as_default(step=record["step"]):
            for key, value in record.items():
                if key not in _PLACES and is_number(value):
                    tf.summary.scalar(f"{record['kind']}/{key}", value)
            self._writer.flush()

    def close(self) -> None:
        """Ends the event file; once is enough, twice does no harm."""
        with self._writing():
            self._writer.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            reason = (error.strerror if isinstance(error, OSError) else error.message) or str(error)
            raise DiskError(
                f"{self._logs}: TensorBoard's curves cannot be written ({' '.join(reason.split())}); "
                "make room on the disk, or choose a run folder you may write to"
            ) from error


class TensorBoardWriter(CurveWriter):
    """What TensorBoard shows of a recogniser's run: curves, and at every evaluation a few dev utterances as recognised.

    Args:
        logs: see `CurveWriter`; every show reaches the disk as the records do.
        config: the run's configuration.
        vocabulary: what the model's labels stand for.
        examples: the utterances to show at every evaluation, a few: each takes some tenths of a second and a picture
            of some 100 kB. They are read anew each time. Without any nothing but curves is shown.

    Raises:
        DiskError: the folder cannot be written; so do all methods.
    """

    def __init__(self, logs: Path, *, config: RunConfig, vocabulary: Vocabulary, examples: Sequence[Examined]):
        super().__init__(logs)
        self._config, self._vocabulary = config, vocabulary
        # Two utterances may have one name; numbers also keep the order.
        self._examples = {
            f"{number:02d} {example.utterance.utterance_id}": example
            for number, example in enumerate(examples, start=1)
        }
        self._audio_is_shown = False

    def write_examples(self, model: keras.Model, step: int, *, predictor: Predictor) -> None:
        """Shows what the model makes of the examples: a picture and the texts of each, the first time their sound too.

        Args:
            model: `model.build_model`'s, with the weights of that step.
            step: where it stands.
            predictor: the model as a graph, such as a `KerasPredictor` of it: step by step a recurrent model takes a
                second or more.

        Raises:
            AudioError: a recording can no longer be read.
        """
        probe = dataclasses.replace(probe_of_run(self._config, self._vocabulary, model), log_probs=predictor.log_probs)
        for name, example in self._examples.items():
            samples_N = read_utterance(example.utterance, sample_rate=probe.sample_rate).samples_N
            drawn = probe.draw(samples_N)
            hypothesis = greedy_decode(
                drawn["log_probs_SV"], vocabulary=self._vocabulary, step_seconds=self._config.step_seconds
            )
            texts = f"reference   {example.text}\nhypothesis  {hypothesis.text}"
            image_HWC = recognition_image(**drawn, hypothesis=hypothesis, title=texts)
            with self._writing(), self._writer.as_default(step=step):
                tf.summary.image(f"recognised/{name}", image_HWC[None])
                # Markdown takes what is indented by four for code, and shows it as it is.
                tf.summary.text(f"transcripts/{name}", textwrap.indent(texts, "    "))
                if not self._audio_is_shown:
                    tf.summary.audio(f"audio/{name}", samples_N[None, :, None], probe.sample_rate, encoding="wav")
        self._audio_is_shown = True
        with self._writing():
            self._writer.flush()


def recognition_image(
    *,
    log_mel_TM: np.ndarray,
    log_probs_SV: np.ndarray,
    vocabulary: Vocabulary,
    frame_seconds: float,
    step_seconds: float,
    hypothesis: Hypothesis,
    title: str,
) -> np.ndarray:
    """A recording as a model sees it, as pixels: the log-mel above the probability of every label over time.

    It is `report.figures.speech_picture` for those who show no SVG.

    Args:
        log_mel_TM: natural log of mel power, one row a frame.
        log_probs_SV: natural-log probabilities, one row a step, blank first.
        vocabulary: what the labels stand for.
        frame_seconds: seconds from one frame to the next.
        step_seconds: seconds from one step to the next.
        hypothesis: what was recognised; each label is written at its peak, each word has a band.
        title: the texts above, some lines.

    Returns:
        8-bit RGB of shape (height, width, 3).
    """
    # Not pyplot, which would keep every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.figure import Figure

    duration = max(len(log_mel_TM) * frame_seconds, len(log_probs_SV) * step_seconds, 1e-3)
    width = round(min(max(_SECOND_WIDTH * duration, _LEAST_WIDTH), _MOST_WIDTH))
    figure = Figure(figsize=(width / _DPI, _HEIGHT / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    mel, labels = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    figure.subplots_adjust(left=56 / width, right=1 - 16 / width, top=0.88, bottom=0.11, hspace=0.06)
    most = max(1, int((width - 72) / _CHARACTER_WIDTH))
    lines = [line if len(line) <= most else f"{line[: most - 1]}\u2026" for line in title.split("\n")]
    _write(mel, (0, 1.02), "\n".join(lines), font=_TEXT_FONT, transform=mel.transAxes, va="bottom")
    if log_mel_TM.size:
        extent = (0, len(log_mel_TM) * frame_seconds, 0, log_mel_TM.shape[1])
        mel.imshow(log_mel_pixels(log_mel_TM), extent=extent, aspect="auto", interpolation="nearest")
    mel.set_ylabel("mel bands")
    mel.tick_params(labelbottom=False)

    probs_SV, centres_S = np.exp(log_probs_SV), (np.arange(len(log_probs_SV)) + 0.5) * step_seconds
    labels.plot(centres_S, probs_SV[:, BLANK_ID], color=COLOURS["light"]["blank"], linestyle=":", linewidth=1.2)
    areas = list(label_areas(probs_SV))
    curves = [np.stack([centres_S[start:end], probs_SV[start:end, label]], axis=1) for label, start, end in areas]
    colours = [_colour(label) for label, _, _ in areas]
    # One collection for all of them is drawn several times faster than a line each.
    grounded = [np.concatenate([[[curve[0, 0], 0]], curve, [[curve[-1, 0], 0]]]) for curve in curves]
    labels.add_collection(PolyCollection(grounded, facecolors=colours, alpha=0.35, linewidths=0), autolim=False)
    labels.add_collection(LineCollection(curves, colors=colours, linewidths=1.2), autolim=False)
    for word in hypothesis.words:
        labels.axvspan(word.start_seconds, word.end_seconds, color="black", alpha=0.06, linewidth=0)
    for label, peak in label_peaks(hypothesis, log_probs_SV):
        entry = vocabulary.drawn(label)
        place = (centres_S[peak], probs_SV[peak, label] + 0.02)
        _write(labels, place, entry, font=_LABEL_FONT, color=_colour(label), ha="center", va="bottom")
    labels.set(xlim=(0, duration), ylim=(0, 1.25), yticks=(0, 0.5, 1), xlabel="seconds", ylabel="probability")
    labels.grid(axis="y", alpha=0.3)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _write(axes: Any, place: tuple[float, float], text: str, *, font: dict[str, Any], **style: Any) -> None:
    """Writes text as it is: `$` is not a formula, and what the font lacks becomes a replacement character."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    properties = FontProperties(size=9, **font)
    known = get_font(findfont(properties)).get_charmap()
    shown = "".join(character if character == "\n" or ord(character) in known else "\ufffd" for character in text)
    axes.text(*place, shown, fontproperties=properties, parse_math=False, **style)


def _colour(label: int) -> str:
    return COLOURS["light"][f"series-{label % NUM_SERIES + 1}"]
