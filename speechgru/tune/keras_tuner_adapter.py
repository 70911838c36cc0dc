"""Everything that this package uses of keras-tuner, by names of its own.

keras-tuner is unmaintained, and does not document an oracle's bookkeeping, which is needed to rebuild a search from its
journal. So no other module imports it: a new version that renames something breaks this
file alone, and `missing_names` lists what is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from speechgru.keras_backend import require_tensorflow

require_tensorflow()

import keras_tuner
from keras_tuner import HyperParameters
from keras_tuner.engine.trial import Trial, TrialStatus

from speechgru.errors import UserError

#: The versions whose undocumented names are those below; pyproject.toml asks for the same.
SUPPORTED_VERSIONS = ">=1.4.7,<1.5"

BayesianOptimizationOracle = keras_tuner.oracles.BayesianOptimizationOracle
GridSearchOracle = keras_tuner.oracles.GridSearchOracle
HyperbandOracle = keras_tuner.oracles.HyperbandOracle
RandomSearchOracle = keras_tuner.oracles.RandomSearchOracle

#: Hyperband adds these to a trial's values: the epoch after which to stop, and the trial whose weights to resume from.
STOP_EPOCH_KEY, RESUMED_TRIAL_KEY = "tuner/epochs", "tuner/trial_id"

#: How keras-tuner records the ways in which a trial of ours ends.
_STATUSES = {"completed": TrialStatus.COMPLETED, "failed": TrialStatus.FAILED, "refused": TrialStatus.FAILED}

#: What every oracle has beside the methods that keras-tuner documents.
_OF_ORACLES = (
    "_save_trial",  # writes a file for each trial; overridden, the journal replaces it
    "end_order",  # numbers of the trials that have ended
    "ongoing_trials",  # worker -> its trial
    "start_order",  # numbers of all trials
    "trials",  # number -> trial
    "tuner_ids",  # the workers that have a trial or wait for one
    "verbose",
)
#: The undocumented names that this module uses, by the class that must have them.
UNDOCUMENTED_NAMES: dict[str, tuple[str, ...]] = {
    "RandomSearchOracle": _OF_ORACLES,
    "GridSearchOracle": _OF_ORACLES,
    "HyperbandOracle": (
        *_OF_ORACLES,
        "_brackets",  # those that are not full; the trials of each of their rounds
        "_get_num_brackets",  # how many there are
        "_get_size",  # how many trials a round of a bracket has
        "_remove_completed_brackets",  # forgets those whose last round is full
    ),
    "BayesianOptimizationOracle": (
        *_OF_ORACLES,
        "_duplicate",  # whether values were tried
        "_random_populate_space",  # values drawn evenly
        "_random_state",  # where the Gaussian process's optimisation starts from
        "_seed_state",  # the next seed of values drawn evenly
    ),
}


def missing_names() -> list[str]:
    """The undocumented names that the installed keras-tuner lacks, each as `class.name`; normally none.

    >>> missing_names()
    []
    """
    space = HyperParameters()
    space.Boolean("any")
    options = {"objective": keras_tuner.Objective("score", "min"), "hyperparameters": space}
    missing = []
    for owner, names in UNDOCUMENTED_NAMES.items():
        thing = getattr(keras_tuner.oracles, owner)(**options)  # some names exist only in an instance
        missing += [f"{owner}.{name}" for name in names if not hasattr(thing, name)]
    return missing


def require_names() -> None:
    """Checks the installed keras-tuner before a sweep begins.

    Raises:
        UserError: it lacks a name that this module uses.
    """
    missing = missing_names()
    if missing:
        raise UserError(
            f"keras-tuner {keras_tuner.__version__} has no {', '.join(missing)}, which sweeps use; install "
            f"keras-tuner{SUPPORTED_VERSIONS}"
        )


# Only a checker of types sees the base class: at run time each search names its own, behind this one.
if TYPE_CHECKING:
    from keras_tuner import Oracle as _Oracle
else:
    _Oracle = object


class AdaptedOracle(_Oracle):
    """An oracle's bookkeeping by names of ours, and without its files; goes before keras-tuner's class.

    Args:
        hyperparameters: the space.
        **options: keras-tuner's own, by algorithm.
    """

    def __init__(self, *, hyperparameters: HyperParameters, **options: Any):
        super().__init__(
            objective=keras_tuner.Objective("score", "min"),
            hyperparameters=hyperparameters,
            tune_new_entries=False,
            allow_new_entries=False,
            max_consecutive_failed_trials=None,
            **options,
        )
        self.verbose = 0

    @property
    def unfinished(self) -> list[str]:
        """Numbers of the trials that have begun and not ended, in the order of their beginning."""
        return [number for number in self.start_order if number not in self.end_order]

    @property
    def known_workers(self) -> set[str]:
        """The workers that have a trial or wait for one."""
        return set(self.tuner_ids)

    @property
    def is_working(self) -> bool:
        """Whether any worker has a trial."""
        return bool(self.ongoing_trials)

    def draw_trial(self, worker: str) -> Trial:
        """What keras-tuner's algorithm draws next: a running trial, one to wait for (IDLE), or the end (STOPPED)."""
        return super().create_trial(worker)

    def finish_trial(self, number: str, *, status: str, score: float | None) -> None:
        """Hands keras-tuner's algorithm the result of a trial.

        Args:
            number: the trial's.
            status: `completed`, `failed` or `refused`.
            score: of a completed one, lower is better.
        """
        trial = self.trials[number]
        if status == "completed":
            super().update_trial(number, {"score": score})
        trial.status = _STATUSES[status]
        super().end_trial(trial)

    def leave_bracket(self, number: str) -> None:
        """Frees the place of a trial for another one; a search without brackets has no places."""

    def trial_of(self, worker: str) -> Trial | None:
        """The trial that a worker has; None where it has none."""
        return self.ongoing_trials.get(worker)

    def assign(self, number: str, worker: str) -> None:
        """Gives a trial to a worker."""
        self.ongoing_trials[worker] = self.trials[number]
        self.tuner_ids.add(worker)

    def release(self, worker: str) -> str | None:
        """Forgets a worker; returns the number of the trial that it had."""
        self.tuner_ids.discard(worker)
        trial = self.ongoing_trials.pop(worker, None)
        return None if trial is None else trial.trial_id

    def assign_only(self, numbers: Mapping[str, str]) -> None:
        """Forgets all workers, and gives each of `numbers` (worker -> number of a trial) to its worker."""
        self.ongoing_trials.clear()
        self.tuner_ids.clear()
        for worker, number in numbers.items():
            self.assign(number, worker)

    def save(self) -> None:
        """Does nothing: the journal holds all there is to keep."""

    def _save_trial(self, trial: Trial) -> None:
        """Does nothing, as `save`."""


class AdaptedBayesianOracle(AdaptedOracle):
    """The same for the Gaussian process, which also draws numbers of its own."""

    def reseed(self, seed: int) -> None:
        """Makes the next draw a function of the seed and the scores alone."""
        import numpy as np

        self._random_state = np.random.RandomState(seed % 2**32)
        self._seed_state = seed

    def was_tried(self, values: dict[str, Any]) -> bool:
        """Whether a trial had these values already."""
        return bool(self._duplicate(values))

    def draw_evenly(self) -> dict[str, Any]:
        """Untried values drawn evenly, in the form of `populate_space`."""
        return self._random_populate_space()


class AdaptedHyperbandOracle(AdaptedOracle):
    """The same for Hyperband, whose brackets a trial without a score can leave.

    keras-tuner promotes a round's best once more of its trials are completed than will be dropped, so that a round with
    enough failed ones waits for ever.
    """

    _brackets: list[dict[str, Any]]

    @property
    def first_round_size(self) -> int:
        """Trials of the largest first round."""
        return self._get_size(self._get_num_brackets() - 1, 0)

    def leave_bracket(self, number: str) -> None:
        """Takes a trial out of its round, and those that it went on from out of theirs: others fill their places."""
        leaving = {number}
        for bracket in self._brackets:
            for entries in reversed(bracket["rounds"]):
                leaving |= {entry["past_id"] for entry in entries if entry["id"] in leaving}
                entries[:] = [entry for entry in entries if entry["id"] not in leaving]

    def _remove_completed_brackets(self) -> None:
        """Forgets brackets whose last round is full, once its trials have ended: until then one may leave."""
        running = set(self.unfinished)
        kept = [bracket for bracket in self._brackets if any(each["id"] in running for each in bracket["rounds"][-1])]
        super()._remove_completed_brackets()
        self._brackets = [*kept, *(bracket for bracket in self._brackets if bracket not in kept)]


def running(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that are given, in the form of `populate_space`."""
    return {"status": TrialStatus.RUNNING, "values": dict(values)}
