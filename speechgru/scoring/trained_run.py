"""A run's best weights, opened once for several verbs."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechgru.config.sections import RunConfig
from speechgru.grammar import Grammar
from speechgru.runs import RunFolder
from speechgru.scoring.predictions import load_run
from speechgru.scoring.probe import Probe, probe_of_run
from speechgru.text import Vocabulary

if TYPE_CHECKING:
    from speechgru.model.predictor import KerasPredictor


class TrainedRun:
    """A run whose weights are loaded, and whose model is traced, at most once: tracing takes seconds.

    `evaluate`, `export` and `report_run` take one in place of a run folder's path. Nothing is loaded before it is asked
    for, and what was loaded stays as it is, even if training goes on.

    Args:
        run: the run folder.
        newest: whether the newest checkpoint's weights will do where no dev score has chosen any yet.

    Raises:
        BundleError: it is not a run folder; or, from whatever loads the weights, it has none yet.

    Example:

        trained = TrainedRun("runs/mine")
        scores = evaluate(trained, "test.jsonl")
        export(trained, "bundle")
        report_run(trained, "report.html", evaluations=[scores])
    """

    def __init__(self, run: str | Path, *, newest: bool = False):
        self.folder, self._newest = RunFolder(Path(run)).require(), newest

    @functools.cached_property
    def note(self) -> str | None:
        """Which weights these are, where they are not the best ones.

        Raises:
            BundleError: the run has none yet.
        """
        file = self.folder.require_weights(newest=self._newest)
        if file == self.folder.best:
            return None
        return f"the weights are those of {file.name}, the newest checkpoint: no dev score has chosen any yet"

    @property
    def config(self) -> RunConfig:
        """The run's configuration."""
        return self._loaded[0]

    @property
    def vocabulary(self) -> Vocabulary:
        """What its labels stand for."""
        return self._loaded[1]

    @functools.cached_property
    def grammar(self) -> Grammar | None:
        """The grammar of its sentences; None where `data.grammar` named none."""
        return Grammar.load(self.folder.grammar) if self.folder.grammar.is_file() else None

    @property
    def model(self) -> Any:
        """The Keras model with the run's best weights."""
        return self._loaded[2]

    @functools.cached_property
    def predictor(self) -> KerasPredictor:
        """The model as a graph that has been traced and called once, so that the next call's time is the usual one."""
        from speechgru.model.predictor import KerasPredictor

        predictor = KerasPredictor(self.model)
        predictor.log_probs(np.zeros(self.config.data.sample_rate, np.float32))
        return predictor

    @property
    def probe(self) -> Probe:
        """What pictures are drawn from: by the graph where it has been traced, as tracing takes longer than drawing."""
        probe = probe_of_run(*self._loaded)
        is_traced = "predictor" in self.__dict__
        return dataclasses.replace(probe, log_probs=self.predictor.log_probs) if is_traced else probe

    @functools.cached_property
    def _loaded(self) -> tuple[RunConfig, Vocabulary, Any]:
        return load_run(self.folder.path, newest=self._newest)


def open_run(run: str | Path | TrainedRun) -> TrainedRun:
    """The run of a path, or the one that is open already.

    Raises:
        BundleError: the path is not a run folder.
    """
    return run if isinstance(run, TrainedRun) else TrainedRun(run)
