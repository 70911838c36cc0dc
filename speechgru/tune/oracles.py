"""keras-tuner's search algorithms, rebuilt from a journal: refusals, lost workers, an end by the clock.

keras-tuner saves an oracle in files that a kill can cut in half, forgets the state of a grid and of the Gaussian
process, and gives an interrupted trial to a second worker while the first still runs it. Here a resumed search is a new
oracle that the journal is replayed to: it draws the same numbers again, and ends in the state of the old one.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import threadpoolctl

from speechgru.errors import UserError
from speechgru.tune.hyperparameters import SearchSpace
from speechgru.tune.journal import Journal
from speechgru.tune.keras_tuner_adapter import (
    RESUMED_TRIAL_KEY,
    STOP_EPOCH_KEY,
    AdaptedBayesianOracle,
    AdaptedHyperbandOracle,
    AdaptedOracle,
    BayesianOptimizationOracle,
    GridSearchOracle,
    HyperbandOracle,
    RandomSearchOracle,
    Trial,
    TrialStatus,
    require_names,
    running,
)
from speechgru.tune.port import Ticket
from speechgru.tune.space import Dimension
from speechgru.tune.sweep import Tuner

#: Refused trials in a row after which the search gives up.
_MAX_REFUSED = 200

#: Between the seeds of one trial and of the next: more than a trial draws.
_STRIDE = 10_007
#: What a worker gets where there is no trial any more.
_NO_MORE = Ticket("", TrialStatus.STOPPED)

#: What a trial was drawn to do: its number, its values by key, and for hyperband where it resumes and stops.
Choice = dict[str, Any]


@dataclass(frozen=True)
class SweepHooks:
    """What an oracle asks of whoever leads the sweep.

    Args:
        plan: called with a new trial's choice, and with what keras-tuner drew for it (`raw`), before its worker learns
            of it.
        reason_to_refuse: why values are not worth a training; None where they are.
        read_outcome: the result of a trial, by its number: `status`, `score` (None unless it is completed) and more.
        on_change: called after each event.
        is_alive: whether a worker shows a sign of life.
    """

    plan: Callable[[Choice], None]
    reason_to_refuse: Callable[[dict[str, Any]], str | None]
    read_outcome: Callable[[str], dict[str, Any]]
    on_change: Callable[[], None]
    is_alive: Callable[[str], bool]


class JournaledOracle(AdaptedOracle):
    """What the searches have in common; goes before keras-tuner's class.

    All events go through `create_trial` and `end_trial`, in this process or, by the sweep's port, from another one.
    Both may be called twice for one event, as by a worker that did not receive the answer.

    Args:
        space: the space.
        journal: the events so far, which are replayed first.
        hooks: what the sweep's leader does.
        max_trials_run: trials at most, refused ones not counted; None for no limit.
        max_seconds: of the whole sweep, or None. No trial begins later, nor one that would end later by the median
            duration of the trials before it.
        options: keras-tuner's own.
    """

    #: Why the search begins no more trials, where the budget is not the reason.
    exhausted = "the search found nothing new to try"

    def __init__(
        self,
        *,
        space: SearchSpace,
        journal: Journal,
        hooks: SweepHooks,
        max_trials_run: int | None,
        max_seconds: float | None,
        **options: Any,
    ):
        super().__init__(hyperparameters=space.hyperparameters, **options)
        self._space, self._journal, self._hooks = space, journal, hooks
        self._max_trials_run, self._max_seconds = max_trials_run, max_seconds
        self._guard = threading.RLock()
        #: While the journal is replayed: the values of the trial that begins.
        self._replayed: dict[str, Any] | None = None
        self._refused: set[str] = set()
        self._refused_in_a_row, self._last_refusal = 0, "of its limits"
        self._num_completed, self._num_left_failed = 0, 0
        self._began: dict[str, float] = {}
        self._durations: list[float] = []
        self._owners: dict[str, str] = {}
        self._seconds_before, self._started = 0.0, time.monotonic()
        #: Trials that have begun and have no worker, by number.
        self.unassigned: list[str] = []
        #: An error in the search itself, which ends the sweep.
        self.failure: Exception | None = None
        #: Why no more trials begin; None while some do.
        self.ended: str | None = None
        #: Trials whose values in the journal differ from what the search draws today.
        self.num_redrawn = 0
        self._replay()

    @property
    def seconds(self) -> float:
        """Seconds of the sweep so far; those between its sessions are not counted."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def is_wanted(self) -> bool:
        """Whether workers have anything left to do."""
        return self.ended is None or bool(self.unassigned) or self.is_working

    @property
    def num_finished(self) -> int:
        """Trials that have ended."""
        return len(self.end_order)

    def _replay(self) -> None:
        for event in list(self._journal.events):
            number = event["trial"]
            if event["event"] == "began":
                # The algorithms only look at which trials are unfinished, not at who has them.
                self.assign_only({unfinished: unfinished for unfinished in self.unfinished})
                self._replayed = event["raw"]
                trial = self.draw_trial(event["worker"])
                drawn = self._choice(trial) if trial.status == TrialStatus.RUNNING else None
                if drawn is None or drawn["trial"] != number:
                    raise UserError(
                        f"the journal has trial {number}, which this search does not draw; resume the sweep with the "
                        "versions of keras-tuner and speechgru that began it, or give another --run"
                    )
                if event["raw"] is None:  # restored from a plan of an earlier version, which says the values alone
                    if drawn["values"] != event["values"]:
                        raise UserError(
                            f"the journal's line about trial {number} is damaged, and this search would draw the trial "
                            "otherwise; restore the file, or give another --run"
                        )
                elif trial.hyperparameters.values != event["raw"]:
                    trial.hyperparameters.values = dict(event["raw"])
                    self.num_redrawn += 1
                self._began[number], self._owners[number] = event["seconds"], event["worker"]
            elif event["event"] == "moved":
                self._owners[number] = event["worker"]
            else:
                # Journals from before trials left their brackets say of none that it did.
                has_left = event.get("left", False)
                if event.get("restored"):
                    has_left = self.makes_room(number, event["status"])
                self._apply_end(number, event["status"], event.get("score"), has_left=has_left)
                if event["status"] != "refused":
                    self._durations.append(event["seconds"] - self._began[number])
            self._seconds_before = event["seconds"]
        self._replayed = None
        # Workers of another machine may still be running their trials; dead ones are found when somebody asks.
        owned: dict[str, str] = {}
        for number in self.unfinished:
            if self._owners[number] in owned:  # the worker was thought dead, and got another trial since
                self.unassigned.append(number)
            else:
                owned[self._owners[number]] = number
        self.assign_only(owned)
        self._started = time.monotonic()

    # -- what workers ask --------------------------------------------------------------------------------------------

    def create_trial(self, tuner_id: str) -> Ticket:
        """The next trial for a worker: the one that it has, one that lost its worker, or a new one."""
        with self._guard:
            if self.failure is not None:  # the worker's own would be its for ever, where its end cannot be recorded
                return _NO_MORE
            try:
                trial = self._next_trial(tuner_id)
                return _NO_MORE if trial is None else Ticket(trial.trial_id, trial.status)
            except Exception as error:
                # It ends the sweep, which is the leader's to raise: the workers would ask again.
                self.failure, self.ended = error, "the search failed"
                return _NO_MORE

    def _next_trial(self, worker: str) -> Trial | None:
        trial = self.trial_of(worker)
        if trial is not None:
            return trial
        self._release_dead()
        if self.unassigned:
            number = self.unassigned[0]
            self._journal.append({"event": "moved", "trial": number, "worker": worker, "seconds": self.seconds})
            self.unassigned.pop(0)
            self.assign(number, worker)
            self._hooks.on_change()
            return self.trials[number]
        self.ended = self.ended or self._reason_to_end()
        while self.ended is None:
            trial = self.draw_trial(worker)
            if trial.status == TrialStatus.STOPPED:
                self.ended = self.exhausted
            elif trial.status == TrialStatus.IDLE:
                return trial
            else:
                reason = self._begin(trial, worker)
                if reason is None:
                    self._hooks.on_change()
                    return trial
                self.ended = self._reason_to_end()
        self.release(worker)
        self._hooks.on_change()
        return None

    def _begin(self, trial: Trial, worker: str) -> str | None:
        """Plans and records a new trial; returns why it was refused, None where it was not."""
        choice = self._choice(trial)
        number = choice["trial"]
        reason = self._hooks.reason_to_refuse(choice["values"])
        raw = dict(trial.hyperparameters.values)
        # The plan before the event: a trial of the journal always has its folder.
        self._hooks.plan({**choice, "refused": reason, "raw": raw})
        self._began[number] = self.seconds
        self._journal.append(
            {"event": "began", "trial": number, "worker": worker, "seconds": self.seconds, "raw": raw}
            | {"values": choice["values"], "epochs": choice.get("stop_after_epochs")}
        )
        if reason is not None:
            self._record_end(number, self._hooks.read_outcome(number))
            self._last_refusal = reason
        return reason

    def end_trial(self, trial_id: str) -> None:
        """A worker reports that a trial has ended.

        Raises:
            UserError: there is no such trial, or its outcome is not there; nothing has changed then.
        """
        with self._guard:
            if trial_id not in self.trials:
                raise UserError(f"the sweep has no trial {trial_id}")
            if trial_id in self.end_order:
                return
            outcome = self._hooks.read_outcome(trial_id)
            try:
                self._record_end(trial_id, outcome)
                self._hooks.on_change()
            except Exception as error:
                self.failure, self.ended = error, "the search failed"

    def _record_end(self, number: str, outcome: dict[str, Any]) -> None:
        if outcome["status"] == "refused":
            self._last_refusal = outcome.get("reason") or self._last_refusal
        has_left = self.makes_room(number, outcome["status"])
        self._journal.append(
            {"event": "ended", "trial": number, "seconds": self.seconds}
            | {key: outcome.get(key) for key in ("status", "score")}
            | ({"left": True} if has_left else {})
        )
        if outcome["status"] != "refused":
            self._durations.append(self.seconds - self._began[number])
        self._apply_end(number, outcome["status"], outcome.get("score"), has_left=has_left)

    def makes_room(self, number: str, status: str) -> bool:
        """Whether another trial takes the place of one that has ended so."""
        return False

    def _apply_end(self, number: str, status: str, score: float | None, *, has_left: bool) -> None:
        if status == "refused":
            self._refused.add(number)
        # Also of those that are refused once somebody works on them: a space of ranges would never be exhausted.
        self._refused_in_a_row = self._refused_in_a_row + 1 if status == "refused" else 0
        self._num_completed += status == "completed"
        self._num_left_failed += has_left and status == "failed"
        self.finish_trial(number, status=status, score=score)
        if has_left:
            self.leave_bracket(number)
        if number in self.unassigned:
            self.unassigned.remove(number)

    # -- how it ends -------------------------------------------------------------------------------------------------

    def _reason_to_end(self) -> str | None:
        if self._refused_in_a_row >= _MAX_REFUSED:
            return f"{_MAX_REFUSED} trials in a row were refused, the last because {self._last_refusal}"
        if self._max_trials_run is not None and len(self.trials) - len(self._refused) >= self._max_trials_run:
            return "all trials are done"
        if self._max_seconds is not None:
            typical = sorted(self._durations)[len(self._durations) // 2] if self._durations else 0.0
            if self.seconds + typical > self._max_seconds:
                return "the time was over"
        return None

    def _release_dead(self) -> None:
        for worker in self.known_workers:
            if not self._hooks.is_alive(worker):
                number = self.release(worker)
                if number is not None:
                    self.unassigned.append(number)
        self.unassigned.sort()

    def is_over(self) -> bool:
        """Whether no trial begins or runs any more, and every living worker knows."""
        with self._guard:
            if self.failure is not None:
                return True
            self._release_dead()
            return self.ended is not None and not (self.is_working or self.unassigned or self.known_workers)

    def _choice(self, trial: Trial) -> Choice:
        values = trial.hyperparameters.values
        choice = {"trial": trial.trial_id, "values": self._space.read(values)}
        if STOP_EPOCH_KEY in values:
            choice |= {"stop_after_epochs": values[STOP_EPOCH_KEY], "go_on_from": values.get(RESUMED_TRIAL_KEY)}
        return choice


class RandomSearch(JournaledOracle, RandomSearchOracle):
    """Values drawn evenly, each combination once."""


class GridSearch(JournaledOracle, GridSearchOracle):
    """Every combination once."""

    exhausted = "every combination was tried"


class BayesianSearch(JournaledOracle, AdaptedBayesianOracle, BayesianOptimizationOracle):
    """A Gaussian process over the trials so far chooses the next."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next values, a function of the seed, the trial's number and the scores so far."""
        # The process is fitted to the scores alone, so a replay need not choose again, which takes a second a trial;
        # but what is drawn must not depend on how often something was drawn before.
        if self._replayed is not None:
            return running(self._replayed)
        self.reseed(self.seed + _STRIDE * len(self.trials))
        # For matrices so small, threads only wait for each other.
        with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
            from sklearn.exceptions import ConvergenceWarning  # by now it is loaded; before the first line it is slow

            # A key that does not matter has no length scale; whoever searches need not know.
            warnings.simplefilter("ignore", ConvergenceWarning)
            populated = super().populate_space(trial_id)
        # In a space of choices the process returns to its favourite, of which nothing is left to learn.
        if populated.get("values") and self.was_tried(populated["values"]):
            return self.draw_evenly()
        return populated


class HyperbandSearch(JournaledOracle, AdaptedHyperbandOracle, HyperbandOracle):
    """Many trials for a short time; the best of them are trained longer.

    Of trials that were refused or failed nothing can be trained longer, and others take their places. Where most fail
    there is no end to that: once as many failed as a first round has, and more than were completed, they stay.
    """

    exhausted = "hyperband has finished all its brackets"

    def makes_room(self, number: str, status: str) -> bool:
        if status == "failed":
            return self._num_left_failed < max(self.first_round_size, self._num_completed)
        return status == "refused"


def make_oracle(
    tuner: Tuner, *, dimensions: Mapping[str, Dimension], seed: int, epochs: float | None, **options: Any
) -> JournaledOracle:
    """The search that a sweep file asks for.

    Args:
        tuner: the kind of search and its settings.
        dimensions: the space, each key after those of its conditions.
        seed: the same seed draws the same trials.
        epochs: of hyperband's last trials.
        **options: `journal`, `hooks`, `max_trials_run` and `max_seconds` of `JournaledOracle`.

    Raises:
        UserError: the installed keras-tuner lacks a name, or the journal is another search's.
    """
    require_names()
    space = SearchSpace(dimensions, listed=tuner.kind == "grid")
    options |= {"space": space, "seed": seed + 1}  # keras-tuner replaces a seed of 0 by a random one
    if tuner.kind == "grid":
        return GridSearch(**options)
    if tuner.kind == "bayesian":
        return BayesianSearch(num_initial_points=tuner.initial_points, max_trials=None, **options)
    if tuner.kind == "hyperband":
        options["hyperband_iterations"] = tuner.iterations
        return HyperbandSearch(max_epochs=epochs, factor=tuner.factor, **options)
    return RandomSearch(max_trials=None, **options)
