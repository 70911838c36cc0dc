"""keras-tuner's search algorithms, made to survive: a journal instead of saved state, refusals, an end by the clock.

keras-tuner saves an oracle in files that a kill can cut in half, forgets the state of a grid and of the Gaussian
process, and gives a trial that was interrupted to be done anew beside the one that still runs. Here an oracle that goes
on is a new one that is told the journal: it draws the same numbers again, and stands where the old one stood.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
import threadpoolctl
from keras_tuner.engine.trial import Trial, TrialStatus
from sklearn.exceptions import ConvergenceWarning

from speechgru.errors import UserError
from speechgru.tune.journal import Journal
from speechgru.tune.space import Dimension

#: Refused trials in a row after which nothing else is expected.
_MOST_REFUSED = 200
#: The state that keras-tuner knows by how a trial ended.
_STATUSES = {"completed": TrialStatus.COMPLETED, "failed": TrialStatus.FAILED, "refused": TrialStatus.FAILED}

#: Between the seeds of one trial and of the next: more than a trial draws.
_STRIDE = 10_007
#: The number of a trial where there is none.
_NO_TRIAL = "none"

#: What a trial chose: its number, its values by key, and where hyperband goes on from and stops.
Choice = dict[str, Any]


class Space:
    """The space in keras-tuner's terms: choices by their place in the list, which take any value of YAML.

    Args:
        dimensions: the space by key, each after those of its conditions.
        listed: whether ranges become lists, as a grid wants them.
    """

    def __init__(self, dimensions: Mapping[str, Dimension], *, listed: bool = False):
        self._dimensions = dimensions
        self._by_place = {
            key for key, d in dimensions.items() if d.type in ("choice", "boolean") or (listed and d.is_listed)
        }
        self.hyperparameters = keras_tuner.HyperParameters()
        for key, dimension in dimensions.items():
            self._add(key, dimension, list((dimension.when or {}).items()))

    def _add(self, key: str, dimension: Dimension, conditions: list[tuple[str, Sequence[Any]]]) -> None:
        if conditions:
            parent, wanted = conditions[0]
            places = [place for place, value in enumerate(self._dimensions[parent].listed()) if value in wanted]
            with self.hyperparameters.conditional_scope(parent, places):
                self._add(key, dimension, conditions[1:])
        elif key in self._by_place:
            self.hyperparameters.Choice(key, list(range(len(dimension.listed()))))
        else:
            kind = self.hyperparameters.Int if dimension.type == "int" else self.hyperparameters.Float
            sampling = "log" if dimension.log else "linear"
            kind(key, dimension.min, dimension.max, step=dimension.step, sampling=sampling)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What keras-tuner chose, as values of the configuration; keys whose conditions do not hold are left out."""
        chosen: dict[str, Any] = {}
        for key, dimension in self._dimensions.items():
            if key in values and dimension.is_active(chosen):
                chosen[key] = self._value(key, dimension, values[key])
        return chosen

    def _value(self, key: str, dimension: Dimension, value: Any) -> Any:
        if key in self._by_place:
            return dimension.listed()[int(value)]
        return int(value) if dimension.type == "int" else float(f"{value:.12g}")


class Lasting:
    """What the oracles have in common; goes before keras-tuner's class.

    All that happens goes through `create_trial` and `end_trial`, in this process or, by keras-tuner's server, from
    another one. Both can be asked the same twice, as by a worker that did not hear the answer.

    Args:
        space: the space.
        journal: what happened so far; told to the search before anything else.
        plan: called with a new trial's choice before its worker hears of it.
        refusal: why a choice is not worth a training, or None.
        outcome: what came of a trial, by its number: `status`, `score` (None unless it is completed) and more.
        changed: called after each event.
        most_trials: trials that are not refused; None for no limit.
        max_seconds: of the whole sweep, or None. No trial begins later, nor one that would end later by what the
            trials before it took.
        is_alive: whether a worker shows a sign of life.
        options: keras-tuner's own.
    """

    #: Why the search begins no trial any more, where it is not for the budget.
    exhausted = "the search found nothing new to try"

    def __init__(
        self,
        *,
        space: Space,
        journal: Journal,
        plan: Callable[[Choice], None],
        refusal: Callable[[dict[str, Any]], str | None],
        outcome: Callable[[str], dict[str, Any]],
        changed: Callable[[], None],
        most_trials: int | None,
        max_seconds: float | None,
        is_alive: Callable[[str], bool],
        **options: Any,
    ):
        super().__init__(
            objective=keras_tuner.Objective("score", "min"),
            hyperparameters=space.hyperparameters,
            tune_new_entries=False,
            allow_new_entries=False,
            max_consecutive_failed_trials=None,
            **options,
        )
        self.verbose = 0
        self._space, self._journal, self._plan, self._refusal = space, journal, plan, refusal
        self._outcome, self._changed, self._is_alive = outcome, changed, is_alive
        self._most_trials, self._max_seconds = most_trials, max_seconds
        self._guard = threading.RLock()
        #: While the journal is told: what the trial that begins chose.
        self._told: dict[str, Any] | None = None
        self._refused: set[str] = set()
        self._began: dict[str, float] = {}
        self._took: list[float] = []
        self._owners: dict[str, str] = {}
        self._before, self._started = 0.0, time.monotonic()
        #: Trials that were begun and have no worker.
        self.orphans: list[str] = []
        #: What went wrong in the search itself; the sweep ends with it.
        self.failure: Exception | None = None
        #: Why no trial begins any more; None while some do.
        self.ended: str | None = None
        #: Trials whose values the journal has otherwise than the search draws them today.
        self.num_redrawn = 0
        self._replay()

    @property
    def seconds(self) -> float:
        """Seconds of the sweep so far, without those in which it did not run."""
        return self._before + time.monotonic() - self._started

    def _replay(self) -> None:
        for event in list(self._journal.events):
            number = event["trial"]
            if event["event"] == "began":
                self._restore_ongoing()
                self._told = event["raw"]
                trial = super().create_trial(event["worker"])
                drawn = self._choice(trial) if trial.status == TrialStatus.RUNNING else None
                if drawn is None or drawn["trial"] != number:
                    raise UserError(
                        f"the journal has trial {number}, which this search does not come to; go on with the versions "
                        "of keras-tuner and speechgru that began it, or give another --run"
                    )
                if trial.hyperparameters.values != event["raw"]:
                    trial.hyperparameters.values = dict(event["raw"])
                    self.num_redrawn += 1
                self._began[number], self._owners[number] = event["seconds"], event["worker"]
            elif event["event"] == "moved":
                self._owners[number] = event["worker"]
            else:
                self._take_end(number, event["status"], event["score"])
                if event["status"] != "refused":
                    self._took.append(event["seconds"] - self._began[number])
            self._before = event["seconds"]
        self._told = None
        # Workers of another machine may still be at their trials; the others are found to be dead when somebody asks.
        unfinished = [number for number in self.start_order if number not in self.end_order]
        self.ongoing_trials.clear()
        for number in unfinished:
            if self._owners[number] in self.ongoing_trials:  # it was thought dead, and got another one since
                self.orphans.append(number)
            else:
                self.ongoing_trials[self._owners[number]] = self.trials[number]
        self.tuner_ids.clear()
        self.tuner_ids.update(self.ongoing_trials)
        self._started = time.monotonic()

    def _restore_ongoing(self) -> None:
        """Every trial that has begun and not ended, by its number: who is at it does not matter to the search."""
        self.ongoing_trials.clear()
        self.ongoing_trials.update({n: self.trials[n] for n in self.start_order if n not in self.end_order})

    # -- what workers ask --------------------------------------------------------------------------------------------

    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial for a worker: the one that it has, one that lost its worker, or a new one."""
        with self._guard:
            try:
                trial = self._next_trial(tuner_id)
                return _ticket(trial.trial_id, trial.status)
            except Exception as error:
                # keras-tuner would keep its lock for ever, and the workers would wait.
                self.failure, self.ended = error, "the search failed"
                return _ticket(_NO_TRIAL, TrialStatus.STOPPED)

    def _next_trial(self, worker: str) -> Trial:
        if worker in self.ongoing_trials:
            return self.ongoing_trials[worker]
        self._release_dead()
        if self.orphans:
            trial = self.trials[self.orphans[0]]
            self._journal.append({"event": "moved", "trial": trial.trial_id, "worker": worker, "seconds": self.seconds})
            self.orphans.pop(0)
            self.ongoing_trials[worker] = trial
            self.tuner_ids.add(worker)
            self._changed()
            return trial
        self.ended = self.ended or self._reason_to_end()
        refused_in_a_row = 0
        while self.ended is None:
            trial = super().create_trial(worker)
            if trial.status == TrialStatus.STOPPED:
                self.ended = self.exhausted
            elif trial.status == TrialStatus.IDLE:
                return trial
            else:
                reason = self._begin(trial, worker)
                if reason is None:
                    self._changed()
                    return trial
                refused_in_a_row += 1
                if refused_in_a_row == _MOST_REFUSED:
                    self.ended = f"{_MOST_REFUSED} trials in a row were refused, the last because {reason}"
                self.ended = self.ended or self._reason_to_end()
        self.tuner_ids.discard(worker)
        self._changed()
        return _ticket(_NO_TRIAL, TrialStatus.STOPPED)

    def _begin(self, trial: Trial, worker: str) -> str | None:
        choice = self._choice(trial)
        number = choice["trial"]
        reason = self._refusal(choice["values"])
        self._plan({**choice, "refused": reason})
        self._began[number] = self.seconds
        raw = dict(trial.hyperparameters.values)
        self._journal.append(
            {"event": "began", "trial": number, "worker": worker, "seconds": self.seconds, "raw": raw}
            | {"values": choice["values"], "epochs": choice.get("stop_after_epochs")}
        )
        if reason is not None:
            self._end(number)
        return reason

    def update_trial(self, trial_id: str, metrics: Mapping[str, Any], step: int = 0) -> Trial:
        """Nothing: what a trial came to is read in its folder, to the last digit."""
        return self.trials[trial_id]

    def end_trial(self, trial: Trial) -> None:
        """A worker says that a trial has ended."""
        with self._guard:
            try:
                if trial.trial_id in self.trials and trial.trial_id not in self.end_order:
                    self._end(trial.trial_id)
                    self._changed()
            except Exception as error:
                self.failure, self.ended = error, "the search failed"

    def _end(self, number: str) -> None:
        outcome = self._outcome(number)
        self._journal.append(
            {"event": "ended", "trial": number, "seconds": self.seconds}
            | {key: outcome.get(key) for key in ("status", "score")}
        )
        if outcome["status"] != "refused":
            self._took.append(self.seconds - self._began[number])
        self._take_end(number, outcome["status"], outcome.get("score"))

    def _take_end(self, number: str, status: str, score: float | None) -> None:
        trial = self.trials[number]
        if status == "completed":
            super().update_trial(number, {"score": score})
        if status == "refused":
            self._refused.add(number)
        trial.status = _STATUSES[status]
        super().end_trial(trial)
        if number in self.orphans:
            self.orphans.remove(number)

    # -- how it ends -------------------------------------------------------------------------------------------------

    def _reason_to_end(self) -> str | None:
        if self._most_trials is not None and len(self.trials) - len(self._refused) >= self._most_trials:
            return "all trials are done"
        if self._max_seconds is not None:
            typical = sorted(self._took)[len(self._took) // 2] if self._took else 0.0
            if self.seconds + typical > self._max_seconds:
                return "the time was over"
        return None

    def _release_dead(self) -> None:
        for worker in [worker for worker in self.tuner_ids if not self._is_alive(worker)]:
            self.tuner_ids.discard(worker)
            trial = self.ongoing_trials.pop(worker, None)
            if trial is not None:
                self.orphans.append(trial.trial_id)
        self.orphans.sort()

    def is_over(self) -> bool:
        """Whether no trial begins any more, none goes on, and every living worker knows."""
        with self._guard:
            if self.failure is not None:
                return True
            self._release_dead()
            return self.ended is not None and not (self.ongoing_trials or self.orphans or self.tuner_ids)

    def _choice(self, trial: Trial) -> Choice:
        values = trial.hyperparameters.values
        choice = {"trial": trial.trial_id, "values": self._space.read(values)}
        if "tuner/epochs" in values:
            choice |= {"stop_after_epochs": values["tuner/epochs"], "go_on_from": values.get("tuner/trial_id")}
        return choice

    def save(self) -> None:
        """Nothing: the journal is all there is to keep."""

    def _save_trial(self, trial: Trial) -> None:
        pass


def _ticket(number: str, status: str) -> Trial:
    """What a worker gets: its values lie in the trial's folder, to the last digit; keras-tuner sends 32 bits."""
    return Trial(hyperparameters=keras_tuner.HyperParameters(), trial_id=number, status=status)


class RandomSearch(Lasting, keras_tuner.oracles.RandomSearchOracle):
    """Values drawn evenly, each combination once."""


class GridSearch(Lasting, keras_tuner.oracles.GridSearchOracle):
    """Every combination once."""

    exhausted = "every combination was tried"


class BayesianSearch(Lasting, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process over the trials so far chooses the next."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        # The process is fitted to the scores alone, so an earlier session's choices need not be made again, which takes
        # a second each; only what is drawn must not depend on how often something was drawn before.
        if self._told is not None:
            return {"status": TrialStatus.RUNNING, "values": dict(self._told)}
        number = len(self.trials)
        self._random_state = np.random.RandomState((self.seed + _STRIDE * number) % 2**32)
        self._seed_state = self.seed + _STRIDE * number
        # For matrices so small, threads only wait for each other.
        with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
            # A key that does not matter has no length scale: no news to whoever searches.
            warnings.simplefilter("ignore", ConvergenceWarning)
            populated = super().populate_space(trial_id)
        # In a space of choices the process comes back to its favourite, of which nothing is left to learn.
        if populated.get("values") and self._duplicate(populated["values"]):
            return self._random_populate_space()
        return populated


class HyperbandSearch(Lasting, keras_tuner.oracles.HyperbandOracle):
    """Many trials for a short time; the best of them go on."""

    exhausted = "hyperband has gone through all its brackets"


def make_oracle(tuner: Any, *, dimensions: Mapping[str, Dimension], seed: int, epochs: float | None, **options: Any):
    """The search that a sweep file asks for.

    Args:
        tuner: `sweep_file.Tuner`.
        dimensions: the space.
        seed: the same seed, the same trials.
        epochs: those of hyperband's last trials.
        **options: those of `Lasting`.
    """
    space = Space(dimensions, listed=tuner.kind == "grid")
    options |= {"space": space, "seed": seed + 1}  # keras-tuner takes a seed of 0 for none
    if tuner.kind == "grid":
        return GridSearch(**options)
    if tuner.kind == "bayesian":
        return BayesianSearch(num_initial_points=tuner.initial_points, max_trials=None, **options)
    if tuner.kind == "hyperband":
        iterations = {"hyperband_iterations": tuner.iterations}
        return HyperbandSearch(max_epochs=epochs, factor=tuner.factor, **iterations, **options)
    return RandomSearch(max_trials=None, **options)
