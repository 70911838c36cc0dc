"""A run as a recogniser: the functions that an export writes, run by TensorFlow without being written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from speechgru.errors import BundleError
from speechgru.export.bundle import describe_run
from speechgru.export.graphs import Graphs
from speechgru.runtime import Recognizer
from speechgru.scoring.predictions import load_run
from speechgru.scoring.trained_run import TrainedRun


class GraphEngine:
    """A model's graphs in place of a `.tflite` file's (`runtime.engine.Engine`).

    Args:
        graphs: of the model, built to be exported.
    """

    def __init__(self, graphs: Graphs):
        self._recognize = graphs.recognize()
        self._stream = graphs.stream() if graphs.model.stream_obstacle is None else None

    @property
    def streams(self) -> bool:
        """Whether the model is one that streams."""
        return self._stream is not None

    def recognize(self, samples_N: np.ndarray) -> np.ndarray:
        """`samples_N`, one or more, to `log_probs_SV`."""
        return self._recognize(samples=samples_N[None])["log_probs"][0].numpy()

    def stream(self, inputs: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """One call of a stream (`windows.Call`)."""
        if self._stream is None:
            raise BundleError("the run's model transcribes whole recordings only")
        return {name: value.numpy() for name, value in self._stream(**inputs).items()}


def open_recognizer(run: str | Path, *, window_seconds: float | None = None) -> Recognizer:
    """A run's best weights as what its float32 export would be, its threshold and grammar with them.

    Of a run without a dev score yet the newest weights are taken.

    Args:
        run: the run folder.
        window_seconds: of a recording that are computed at once, as for `Recognizer`.

    Raises:
        BundleError: there is no run, or it has no weights yet.
    """
    trained = TrainedRun(run, newest=True)
    config, vocabulary, model = load_run(run, implementation="portable", newest=True)
    written = vocabulary.written  # letters that training learnt beside words are no part of the model
    metadata = describe_run(trained.folder, config, vocabulary=written, model=model, grammar=trained.grammar)
    size_bytes = 4 * metadata["parameters"]
    return Recognizer.over(
        Path(run),
        metadata,
        GraphEngine(Graphs(model)),
        form="none",
        size_bytes=size_bytes,
        window_seconds=window_seconds,
    )
