"""Sweeps: what a sweep file may say, what the searches draw, and that a search rebuilt from its journal is the same."""

import dataclasses
import errno
import json
import math
import os
import re
import shutil
import sys
import threading
from pathlib import Path

import pytest

from speechgru import jsonlines
from speechgru.config.load import known_keys, load_config
from speechgru.errors import BundleError, ConfigError, UserError
from speechgru.files import write_json
from speechgru.tune.combinations import count_combinations, first_round_size
from speechgru.tune.folder import SweepFolder, TrialFolder
from speechgru.tune.journal import Journal
from speechgru.tune.results import best_of, front_of
from speechgru.tune.space import Dimension
from speechgru.tune.sweep import Tuner
from speechgru.tune.sweep_file import LoadedSweep, load_sweep
from speechgru.tune.telling import Telling, last_line

pytest.importorskip("keras_tuner", reason="searching needs keras_tuner (extra train)")

pytestmark = pytest.mark.usefixtures("no_pages")

CONFIGS = Path(__file__).parents[1] / "configs"
SPACE = """
  model.units: {type: choice, values: [8, 16, 32]}
  train.learning_rate: {type: float, min: 1e-4, max: 1e-1, log: true}
  augment.gain_db: {type: float, min: 0, max: 6, step: 1.5}
  train.batch_size: {type: int, min: 4, max: 64, log: true}
  model.reset_after: {type: boolean}
  model.direction: {type: choice, values: [bidirectional, forward]}
  model.lookahead_frames: {type: int, min: 0, max: 8, step: 4, when: {model.direction: forward}}
  text.characters: {type: choice, values: [ab, abc]}
  augment.noise_kinds: {type: choice, values: [[white], [white, pink]], when: {model.reset_after: true}}
  train.patience: {type: choice, values: [null, 3]}
"""
LISTED = """
  model.units: {type: choice, values: [8, 16, 32]}
  model.direction: {type: choice, values: [bidirectional, forward]}
  model.lookahead_frames: {type: int, min: 0, max: 8, step: 4, when: {model.direction: forward}}
  augment.gain_db: {type: float, min: 0, max: 0.3, step: 0.1}
"""


@pytest.fixture
def write_sweep(tones, tmp_path, tones_config):
    """Text of a space and other lines -> a sweep file on the tones."""
    tones_config()

    def write(space=SPACE, rest="budget: {trials: 6}", base="config.yaml"):
        path = tmp_path / "sweep.yaml"
        path.write_text(f"base: {base}\nspace:{space}\n{rest}\n")
        return path

    return write


@pytest.fixture
def mistaken(write_sweep):
    """A sweep that is a mistake; gives its message."""

    def mistaken(*args, overrides=(), **options):
        with pytest.raises(ConfigError) as caught:
            load_sweep(write_sweep(*args, **options), overrides)
        return str(caught.value)

    return mistaken


# -- the file --------------------------------------------------------------------------------------------------------


def test_a_sweep_file_is_read_with_its_base_and_overrides(write_sweep):
    loaded = load_sweep(
        write_sweep(rest="set: {train.max_steps: 20}\ntuner: random\nbudget: {trials: 6}"), ["model.num_layers=2"]
    )
    config = loaded.configure({"model.units": 16, "train.learning_rate": 0.0123456789})
    assert config.train.max_steps == 20 and config.model.num_layers == 2
    assert config.model.units == 16 and config.train.learning_rate == 0.0123456789
    assert loaded.sweep.budget.trials == 6 and loaded.name == "sweep"


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("\n  model.unit: {type: int, min: 1, max: 9}", "model.unit can never be 1: override 'model.unit=1': unknown"),
        ("\n  units: {type: int, min: 1, max: 9}", "expected section.key=value"),
        ("\n  model.units: {type: int, min: 9, max: 9}", ":3: space.model.units: min (9) must be below max (9)"),
        ("\n  model.units: {type: int, min: 1.5, max: 9}", "must be whole numbers"),
        ("\n  model.units: {type: int, min: 0, max: 9}", "model.units can never be 0"),
        ("\n  model.units: {type: float, min: 8, max: 9}", "model.units can never be 8.0"),
        ("\n  model.dropout: {type: float, min: 0.1, max: 1.5}", "model.dropout can never be 1.5"),
        ("\n  model.dropout: {type: float, min: 0, max: 0.5, log: true}", "must begin above 0"),
        ("\n  model.dropout: {type: float, min: .nan, max: 0.5}", "must be finite"),
        ("\n  model.dropout: {type: float, min: 0.1, max: 0.5, step: 1}", "step (1) must be above 0 and fit"),
        ("\n  model.units: {type: int, min: 1, max: 8, step: 2, log: true}", "step and log do not go together"),
        ("\n  model.units: {type: int, min: 1}", "a range needs min and max"),
        ("\n  model.units: {type: whole, min: 1, max: 2}", "space.model.units.type"),
        ("\n  model.units: {type: int, min: 1, max: 2, stepp: 1}", "did you mean step?"),
        ("\n  model.units: {type: choice}", "a choice needs values"),
        ("\n  model.units: {type: choice, values: [8, 8]}", "holds 8 twice"),
        ("\n  model.units: {type: choice, values: [8], min: 2}", "belongs to a range"),
        ("\n  model.direction: {type: choice, values: [sideways, forward]}", 'model.direction can never be "sideways"'),
        ("\n  model.units: {type: boolean}", "model.units can never be false"),
        ("\n  data.dev: {type: choice, values: [a, b]}", "all trials are scored on one evaluation set"),
        ("\n  train.seed: {type: int, min: 0, max: 9}", "`repeats` trains each trial with several"),
        ("\n  text.lowercase: {type: boolean}", "changes the references"),
        ("\n  model.units: {type: int, min: 1, max: 9, when: {model.direction: forward}}", "which is not searched"),
        (" {}", "is empty; name at least one key"),
    ],
)
def test_what_cannot_be_searched_is_an_error_that_names_the_key(mistaken, space, message):
    reported = mistaken(space)
    assert "sweep.yaml" in reported and message in reported


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "a sweep must end"),
        ("budget: {trials: 0}", "budget.trials"),
        ("budget: {trial: 3}", "unknown key budget.trial; did you mean trials?"),
        ("budgets: {trials: 3}", "unknown key budgets; did you mean budget?"),
        ("tuner: best\nbudget: {trials: 3}", ":14: tuner.kind"),
        ("tuner: hyperband", "budget.epochs is missing"),
        ("tuner: hyperband\nbudget: {epochs: 2}", "budget.epochs 2 is below tuner.factor 3: hyperband would"),
        ("tuner: {kind: random, initial_points: 3}\nbudget: {trials: 3}", "belongs to bayesian"),
        ("tuner: grid", "train.learning_rate: a grid needs a step"),
        ("objective: {metric: wer, direction: max}\nbudget: {trials: 3}", "objective.direction"),
        ("objective: accuracy\nbudget: {trials: 3}", "objective.metric"),
        ("limits: {form: dynamic}\nbudget: {trials: 3}", "limits names none"),
        ("limits: {max_size_mb: -1}\nbudget: {trials: 3}", "limits.max_size_mb"),
        ("limits: {max_rtf: 0.1, form: int4}\nbudget: {trials: 3}", "limits.form"),
        ("front: [speed]\nbudget: {trials: 3}", "front"),
        ("set: {model.units: 8}\nbudget: {trials: 3}", "model.units is searched, and"),
        ("set: {model.unitz: 8}\nbudget: {trials: 3}", "unknown key model.unitz; did you mean model.units?"),
        ("repeats: 0\nbudget: {trials: 3}", "repeats"),
        ("budget: {trials: 3}\nbudget: {trials: 4}", "budget stands twice"),
    ],
)
def test_a_sweep_that_cannot_be_carried_out_is_an_error(mistaken, rest, message):
    assert message in mistaken(rest=rest)


def test_an_override_of_a_searched_key_is_an_error(mistaken):
    assert "override 'model.units=8' sets it" in mistaken(overrides=["model.units=8"])


def test_values_that_fit_no_others_are_an_error_and_name_the_reason(mistaken):
    reported = mistaken("\n  model.lookahead_frames: {type: choice, values: [0, 4]}")
    assert "model.lookahead_frames can never be 4" in reported and "bidirectional" in reported


def test_a_value_that_goes_with_no_others_is_refused_soon_and_alone(mistaken, monkeypatch):
    """A damaged file took nine seconds, and blamed the other keys too."""
    tried, configure = [], LoadedSweep.configure

    def counted(self, values):
        tried.append(values)
        return configure(self, values)

    monkeypatch.setattr(LoadedSweep, "configure", counted)
    for wrong in ("model.dropout: {type: float, min: 0, max: 8}", "model.dropuot: {type: boolean}"):
        tried.clear()
        reported = mistaken(f"\n  model.units: {{type: choice, values: [16, 32]}}\n  {wrong}")
        assert "model.units" not in reported and "can never be" in reported and len(tried) < 100


def test_conditions_that_cannot_hold_are_errors(mistaken):
    reported = mistaken(
        "\n  model.direction: {type: choice, values: [forward, chunked]}"
        "\n  model.units: {type: int, min: 8, max: 9, when: {model.direction: bidirectional}}"
    )
    assert "which it never is; it is one of 'forward', 'chunked'" in reported
    reported = mistaken(
        "\n  model.reset_after: {type: boolean, when: {features.center: true}}"
        "\n  features.center: {type: boolean, when: {model.reset_after: true}}"
    )
    assert "wait for each other" in reported


def test_a_missing_file_base_or_dev_set_is_an_error(mistaken, tmp_path):
    with pytest.raises(ConfigError, match=r"no such sweep file; start from configs/sweep_"):
        load_sweep(tmp_path / "none.yaml")
    assert ":1: base: no such configuration file" in mistaken(base="other.yaml")
    assert "needs one to score its trials on" in mistaken(overrides=["data.dev=null"])
    assert "data.train names no manifest" in mistaken(overrides=["data.train=[]"])


def test_every_configuration_key_can_be_named(write_sweep):
    keys = [key for key in known_keys() if key.startswith("augment.") and key.endswith("_db")]
    space = "".join(f"\n  {key}: {{type: float, min: 1, max: 2}}" for key in keys if "snr" not in key)
    assert len(load_sweep(write_sweep(space)).dimensions) == len([key for key in keys if "snr" not in key])


def test_the_paths_of_a_sweep_are_relative_to_its_file(write_sweep, tmp_path, monkeypatch):
    path = write_sweep(rest="budget: {trials: 6}\nset: {data.train: mine.jsonl}\nevaluation: held_out.jsonl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    data = load_sweep(path).configure({}).data
    assert (data.train, data.dev) == ((str(tmp_path / "mine.jsonl"),), str(tmp_path / "held_out.jsonl"))


def test_a_sweep_without_its_corpus_is_refused_before_there_is_a_folder(write_sweep, tmp_path):
    from speechgru.tune.chief import tune

    sweep = load_sweep(write_sweep(), [f"data.train={tmp_path / 'gone.jsonl'}"])
    with pytest.raises(UserError, match=r"gone\.jsonl: no such manifest"):
        tune(sweep, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_joining_tells_a_program_how_it_went_and_what_to_train(tmp_path, monkeypatch, capsys):
    from speechgru import cli

    monkeypatch.setattr("speechgru.tune.chief.join", lambda *arguments, **options: 2)
    for best in (None, str(tmp_path / "best.yaml")):
        monkeypatch.setattr("sys.argv", ["speechgru", "join", str(tmp_path), "--chief", "127.0.0.1:1", "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert not ended.value.code and err == ""
        assert json.loads(out) == {"run": str(tmp_path), "replaced": 2, "best": best}
        (tmp_path / "best.yaml").touch()


def test_a_range_with_steps_holds_both_ends_and_a_condition_on_it_its_values():
    from speechgru.tune.hyperparameters import SearchSpace

    space = SearchSpace(
        {
            "train.dropout": Dimension(type="float", min=0, max=0.5, step=0.1),
            "model.units": Dimension(type="int", min=16, max=64, step=16),
            "model.layers": Dimension(type="int", min=1, max=3, when={"model.units": [16, 64]}),
            "augment.gain_db": Dimension(type="float", min=1, max=2, when={"train.dropout": [0.3]}),
        }
    )
    drawn = {
        key: {space.read({key: hyperparameter.prob_to_value(place / 50)})[key] for place in range(50)}
        for key in ("train.dropout", "model.units")
        for hyperparameter in space.hyperparameters.space
        if hyperparameter.name == key
    }
    assert drawn == {"train.dropout": {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}, "model.units": {16, 32, 48, 64}}
    assert space.read({"train.dropout": 0.3})["train.dropout"] == 0.3, "a journal of before"
    conditions = {each.name: each.conditions for each in space.hyperparameters.space}
    (units,), (dropout,) = conditions["model.layers"], conditions["augment.gain_db"]
    assert (units.values, dropout.values) == ([16, 64], [3])


def test_combinations_are_counted_with_their_conditions(write_sweep):
    assert count_combinations(load_sweep(write_sweep(LISTED)).dimensions) == 3 * (1 + 3) * 4
    assert count_combinations(load_sweep(write_sweep()).dimensions) is None


def test_steps_are_the_numbers_that_a_person_would_write():
    assert Dimension(type="float", min=0, max=0.3, step=0.1).listed() == (0.0, 0.1, 0.2, 0.3)
    assert Dimension(type="int", min=4, max=9, step=2).listed() == (4, 6, 8)


@pytest.mark.parametrize("name", ["architecture", "augmentation", "optimizer", "device"])
def test_the_ready_sweeps_can_be_carried_out(name):
    loaded = load_sweep(CONFIGS / f"sweep_{name}.yaml")
    assert loaded.configure({}).data.dev.endswith("data/fsdd/dev_joined.jsonl")
    if name == "device":
        assert loaded.sweep.limits.given == {"max_size_mb": 0.5, "max_rtf": 0.01}
        assert loaded.sweep.measured_form == "dynamic"


def test_the_sweep_that_the_tutorial_shows_can_be_carried_out(tmp_path, tones_config):
    tones_config()
    tutorial = (CONFIGS.parent / "docs" / "tutorials" / "sweep.md").read_text(encoding="utf-8")
    shown = tutorial.split("```yaml\nbase: my.yaml")[1].split("```")[0]
    (tmp_path / "sweep.yaml").write_text("base: config.yaml" + shown, encoding="utf-8")
    assert load_sweep(tmp_path / "sweep.yaml").sweep.budget.trials == 24


# -- the searches ----------------------------------------------------------------------------------------------------


def outcome_of(values, *, fail=None):
    """A made-up result: a smooth function of the values, so that a search has something to follow."""
    if fail is not None and fail(values):
        return {"status": "failed", "score": None}
    score = abs(math.log10(values.get("train.learning_rate", 1e-2)) + 2) + 1 / values["model.units"]
    return {"status": "completed", "score": score + values.get("augment.gain_db", 0.0) / 100}


class Search:
    """An oracle with a made-up trial behind it."""

    def __init__(
        self, loaded, journal, *, tuner, seed=0, trials=6, fail=None, refuse=lambda values: None, epochs=9, late=None
    ):
        from speechgru.tune.oracles import SweepHooks, make_oracle

        self.chosen = {}
        self.is_alive = lambda worker: True
        self.oracle = make_oracle(
            tuner,
            dimensions=loaded.dimensions,
            seed=seed,
            epochs=epochs,
            journal=Journal(journal),
            hooks=SweepHooks(
                plan=lambda choice: self.chosen.update({choice["trial"]: choice}),
                reason_to_refuse=refuse,
                read_outcome=lambda number: (
                    {"status": "refused", "score": None, "reason": late}
                    if self.chosen[number]["refused"] or late
                    else outcome_of(self.chosen[number]["values"], fail=fail)
                ),
                on_change=lambda: None,
                is_alive=lambda worker: self.is_alive(worker),
            ),
            max_trials_run=trials,
            max_seconds=None,
        )

    def run(self, workers=1, *, most=None):
        """Runs trials, `workers` of them at a time; stops after `most` events of the journal. True when it is over."""
        oracle, names = self.oracle, [f"w{k}" for k in range(workers)]
        ended = set()
        while len(ended) < workers:
            asked = {name: oracle.create_trial(name) for name in names if name not in ended}
            assert oracle.failure is None
            for name, trial in asked.items():
                if trial.status == "STOPPED":
                    ended.add(name)
                elif trial.status == "RUNNING":
                    self.chosen.setdefault(trial.trial_id, None)
                    if most is not None and len(oracle._journal.events) >= most:
                        return False
                    if self.chosen[trial.trial_id] is None:  # of an earlier session
                        self.chosen[trial.trial_id] = began(oracle)[trial.trial_id] | {"refused": None}
                    oracle.end_trial(trial.trial_id)
                    assert oracle.failure is None
        return True


def began(oracle):
    return {event["trial"]: event for event in oracle._journal.events if event["event"] == "began"}


def drawn(oracle):
    return [(event["trial"], event["values"]) for event in oracle._journal.events if event["event"] == "began"]


TUNERS = {
    "random": (SPACE, Tuner(kind="random")),
    "grid": (LISTED, Tuner(kind="grid")),
    "bayesian": (SPACE, Tuner(kind="bayesian", initial_points=3)),
    "hyperband": (SPACE, Tuner(kind="hyperband")),
}


@pytest.fixture(params=TUNERS)
def search(request, write_sweep, tmp_path):
    """A new search of every kind; the same journal goes on with an earlier one."""
    space, tuner = TUNERS[request.param]
    rest = "budget: {trials: 8, epochs: 9}"
    loaded = load_sweep(write_sweep(space, rest))
    return lambda name, **options: Search(loaded, tmp_path / f"{name}.jsonl", tuner=tuner, **options)


def test_a_search_that_was_cut_off_anywhere_goes_on_as_if_it_had_not_been(search, tmp_path):
    whole = search("whole")
    assert whole.run()
    events = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    for cut in range(0, len(events), 3):
        (tmp_path / f"cut{cut}.jsonl").write_text("".join(events[:cut]) + events[cut][:20])  # a line cut short too
        again = search(f"cut{cut}")
        assert again.oracle.num_redrawn == 0
        assert again.run()
        assert drawn(again.oracle) == drawn(whole.oracle)
        scores = [[e.get("score") for e in o._journal.events] for o in (again.oracle, whole.oracle)]
        assert scores[0] == scores[1]


def test_the_same_seed_draws_the_same_and_another_one_others(search, request):
    # Three trials, of which a Gaussian process draws none: by this seed it looks for seconds.
    one, same, other = search("one"), search("same"), search("other", seed=1, trials=3)
    for each in (one, same, other):
        each.run()
    assert drawn(one.oracle) == drawn(same.oracle)
    if "grid" not in request.node.name:
        assert drawn(one.oracle)[:3] != drawn(other.oracle)[:3]


def test_values_are_of_the_space_and_inactive_keys_are_left_out(search, write_sweep):
    done = search("done")
    done.run()
    dimensions = done.oracle._space._dimensions
    for _, values in drawn(done.oracle):
        for key, dimension in dimensions.items():
            assert (key in values) == dimension.is_active(values)
            if key in values and dimension.is_listed:
                assert [v for v in dimension.listed() if type(v) is type(values[key]) and v == values[key]]
            elif key in values:
                assert dimension.min <= values[key] <= dimension.max


def test_two_workers_and_failures_end_every_search(search):
    done = search("done", fail=lambda values: values["model.units"] == 16)
    assert done.run(workers=2)
    ends = [event for event in done.oracle._journal.events if event["event"] == "ended"]
    assert len(ends) == len(began(done.oracle)) and {event["status"] for event in ends} <= {"failed", "completed"}
    again = search("done", fail=lambda values: values["model.units"] == 16)
    assert again.oracle.num_redrawn == 0 and again.run()
    assert drawn(again.oracle) == drawn(done.oracle)


def test_a_grid_covers_every_combination_once(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep(LISTED, "tuner: grid"))
    for workers in (1, 3):
        done = Search(loaded, tmp_path / f"grid{workers}.jsonl", tuner=loaded.sweep.tuner, trials=None)
        assert done.run(workers=workers)
        combinations = [json.dumps(values, sort_keys=True) for _, values in drawn(done.oracle)]
        assert len(combinations) == len(set(combinations)) == count_combinations(loaded.dimensions) == 48
        assert done.oracle.ended == "every combination was tried"


def test_hyperband_goes_on_with_the_better_trials(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep(rest="tuner: hyperband\nbudget: {epochs: 9}"))
    done = Search(loaded, tmp_path / "h.jsonl", tuner=loaded.sweep.tuner, trials=None)
    assert done.run()
    later = [choice for choice in done.chosen.values() if choice["go_on_from"] is not None]
    assert later and {choice["stop_after_epochs"] for choice in done.chosen.values()} == {1, 3, 9}
    for choice in later:
        past = done.chosen[choice["go_on_from"]]
        assert past["values"] == choice["values"] and past["stop_after_epochs"] < choice["stop_after_epochs"]


def test_hyperband_needs_a_space_that_fills_its_first_round(write_sweep, tmp_path):
    for epochs, factor in ((9, 3), (3, 3), (10.5, 3), (27, 3), (50, 4), (8, 2)):
        loaded = load_sweep(
            write_sweep(rest=f"tuner: {{kind: hyperband, factor: {factor}}}\nbudget: {{epochs: {epochs}}}")
        )
        search = Search(loaded, tmp_path / f"{epochs}.jsonl", tuner=loaded.sweep.tuner, epochs=epochs)
        assert first_round_size(epochs, factor) == search.oracle.first_round_size
    small = "\n  model.units: {type: int, min: 8, max: %d}"
    with pytest.raises(ConfigError, match=r"hyperband begins with 9 trials .* and the space has 8 combinations; use"):
        load_sweep(write_sweep(small % 15, "tuner: hyperband\nbudget: {epochs: 9}"))
    loaded = load_sweep(write_sweep(small % 24, "tuner: hyperband\nbudget: {epochs: 9}"))
    done = Search(loaded, tmp_path / "small.jsonl", tuner=loaded.sweep.tuner, trials=None)
    assert done.run() and rungs(done)[9] >= 1


def rungs(search):
    """How many trials were completed after each number of epochs."""
    ended = {event["trial"]: event["status"] for event in search.oracle._journal.events if event["event"] == "ended"}
    done = [c["stop_after_epochs"] for number, c in search.chosen.items() if ended[number] == "completed"]
    return {epochs: done.count(epochs) for epochs in sorted(set(done))}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", ["refused", "failed"])
def test_in_hyperband_others_take_the_places_of_refused_and_failed_trials(write_sweep, tmp_path, kind, workers):
    """A third of the space was enough that nothing went on."""
    loaded = load_sweep(write_sweep(rest="tuner: hyperband\nbudget: {epochs: 9}"))
    is_large = lambda values: values["train.learning_rate"] > 1e-2  # noqa: E731
    options = {"refuse": lambda values: "too large" if is_large(values) else None} if kind == "refused" else {}
    options |= {"fail": is_large} if kind == "failed" else {}
    undisturbed = Search(loaded, tmp_path / "u.jsonl", tuner=loaded.sweep.tuner, trials=None)
    whole = Search(loaded, tmp_path / "w.jsonl", tuner=loaded.sweep.tuner, trials=None, **options)
    assert undisturbed.run(workers) and whole.run(workers)
    events = whole.oracle._journal.events
    assert sum(event.get("status") == kind for event in events) >= 3
    assert rungs(whole) == rungs(undisturbed)
    assert whole.oracle.ended == "hyperband has finished all its brackets"
    lines = (tmp_path / "w.jsonl").read_text().splitlines(keepends=True)
    for cut in (7, len(lines) // 2, len(lines)):
        (tmp_path / f"cut{cut}.jsonl").write_text("".join(lines[:cut]))
        again = Search(loaded, tmp_path / f"cut{cut}.jsonl", tuner=loaded.sweep.tuner, trials=None, **options)
        assert again.oracle.num_redrawn == 0
        if workers == 1:
            assert again.run() and drawn(again.oracle) == drawn(whole.oracle)


def test_a_later_rungs_failed_trial_is_not_promoted_again(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep(rest="tuner: hyperband\nbudget: {epochs: 9}"))
    seen = []

    def fail(values):
        seen.append(repr(values))
        return seen.count(seen[-1]) == 2 and len(set(seen)) < len(seen) < 16

    done = Search(loaded, tmp_path / "l.jsonl", tuner=loaded.sweep.tuner, trials=None, fail=fail)
    assert done.run()
    failed = [e["trial"] for e in done.oracle._journal.events if e.get("status") == "failed"]
    promoted = [choice["go_on_from"] for choice in done.chosen.values() if choice["go_on_from"]]
    assert failed and len(promoted) == len(set(promoted))
    assert 9 in rungs(done)


def test_a_sweep_in_which_every_trial_fails_ends(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep(rest="tuner: hyperband\nbudget: {epochs: 9}"))
    done = Search(loaded, tmp_path / "f.jsonl", tuner=loaded.sweep.tuner, trials=None, fail=lambda values: True)
    assert done.run()
    assert len(done.chosen) < 60


def test_a_journal_from_before_trials_left_their_brackets_is_replayed_as_it_was(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep(rest="tuner: hyperband\nbudget: {epochs: 9}"))
    options = {"tuner": loaded.sweep.tuner, "trials": None, "fail": lambda values: values["model.units"] < 17}
    before = Search(loaded, tmp_path / "b.jsonl", **options)
    before.oracle.makes_room = lambda number, status: False
    assert before.run()
    again = Search(loaded, tmp_path / "b.jsonl", **options)
    assert again.oracle.num_redrawn == 0 and drawn(again.oracle) == drawn(before.oracle)


def test_refused_trials_do_not_use_up_the_budget(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep())
    refuse = lambda values: "too large" if values["model.units"] == 32 else None  # noqa: E731
    done = Search(loaded, tmp_path / "r.jsonl", tuner=loaded.sweep.tuner, refuse=refuse)
    assert done.run()
    statuses = [e["status"] for e in done.oracle._journal.events if e["event"] == "ended"]
    assert statuses.count("completed") == 6 and statuses.count("refused") > 0
    nothing = Search(loaded, tmp_path / "n.jsonl", tuner=loaded.sweep.tuner, refuse=lambda values: "too large")
    assert nothing.run()
    assert "200 trials in a row were refused, the last because too large" in nothing.oracle.ended


@pytest.mark.parametrize("kind", ["random", "bayesian", "hyperband"])
def test_a_space_of_ranges_that_a_limit_empties_while_trials_run_ends(kind, write_sweep, tmp_path):
    """The size of a file is known once somebody works on the trial, and ranges are never exhausted."""
    space = "\n  train.learning_rate: {type: float, min: 1e-4, max: 1e-1}\n  model.units: {type: int, min: 8, max: 512}"
    loaded = load_sweep(write_sweep(space, f"tuner: {kind}\nbudget: {{trials: 6, epochs: 9}}"))
    done = Search(loaded, tmp_path / "l.jsonl", tuner=loaded.sweep.tuner, late="its file is too large")
    assert done.run(workers=2)
    assert "200 trials in a row were refused, the last because its file is too large" in done.oracle.ended
    assert 200 <= len(done.chosen) <= 202
    again = Search(loaded, tmp_path / "l.jsonl", tuner=loaded.sweep.tuner, late="its file is too large")
    assert again.run() and len(again.chosen) == 0, "it does not begin anew"


def test_a_model_that_was_too_large_once_is_refused_from_then_on(write_sweep):
    from speechgru.tune.refusals import Refusals

    space = "\n  train.learning_rate: {type: float, min: 1e-4, max: 1e-1}\n  model.units: {type: int, min: 8, max: 32}"
    refusals = Refusals(load_sweep(write_sweep(space, "limits: {max_size_mb: 1}\nbudget: {trials: 6}")))
    assert refusals.reason({"train.learning_rate": 0.01, "model.units": 16}) is None
    refusals.remember({"train.learning_rate": 0.01, "model.units": 16}, "its file has 1.2 MB")
    assert refusals.reason({"train.learning_rate": 0.02, "model.units": 16}) == "its file has 1.2 MB"
    assert refusals.reason({"train.learning_rate": 0.02, "model.units": 15}) is None


def test_the_clock_ends_a_sweep(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep())
    done = Search(loaded, tmp_path / "c.jsonl", tuner=loaded.sweep.tuner)
    done.oracle._max_seconds = 0.0
    assert done.run() and done.oracle.ended == "the time was over" and not drawn(done.oracle)


def test_a_trial_whose_worker_is_gone_goes_to_another(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep())
    search = Search(loaded, tmp_path / "o.jsonl", tuner=loaded.sweep.tuner)
    lost = search.oracle.create_trial("gone")
    assert search.oracle.create_trial("gone").trial_id == lost.trial_id, "asked twice, the same trial"
    assert search.oracle.create_trial("here").trial_id != lost.trial_id
    search.is_alive = lambda worker: worker != "gone"
    assert search.oracle.create_trial("new").trial_id == lost.trial_id
    search.oracle.end_trial(lost.trial_id)
    search.oracle.end_trial(lost.trial_id)
    ends = [event for event in search.oracle._journal.events if event["event"] == "ended"]
    assert len(ends) == 1, "reported twice, it ended once"


def test_an_end_that_is_none_is_refused_and_changes_nothing(write_sweep, tmp_path):
    def missing(number):
        raise UserError("its outcome is not here")

    search = Search(load_sweep(write_sweep()), tmp_path / "e.jsonl", tuner=Tuner(kind="random"))
    running, hooks = search.oracle.create_trial("here"), search.oracle._hooks
    search.oracle._hooks = dataclasses.replace(hooks, read_outcome=missing)
    before = list(search.oracle._journal.events)
    for number, message in (("0007", "the sweep has no trial 0007"), (running.trial_id, "its outcome is not here")):
        with pytest.raises(UserError, match=message):
            search.oracle.end_trial(number)
    assert search.oracle.failure is None and search.oracle._journal.events == before
    search.oracle._hooks = hooks
    assert search.run()


def test_a_worker_that_came_back_too_late_loses_no_trial(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep())
    search = Search(loaded, tmp_path / "l.jsonl", tuner=loaded.sweep.tuner, trials=3)
    first, second = search.oracle.create_trial("gone"), search.oracle.create_trial("late")
    search.is_alive = lambda worker: False
    assert search.oracle.create_trial("late").trial_id == second.trial_id, "it is here, whatever its file says"
    search.oracle._release_dead()
    assert search.oracle.create_trial("late").trial_id == first.trial_id
    again = Search(loaded, tmp_path / "l.jsonl", tuner=loaded.sweep.tuner, trials=3)
    assert {again.oracle.create_trial(name).trial_id for name in ("late", "new")} == {first.trial_id, second.trial_id}


def test_a_journal_of_another_search_is_an_error(write_sweep, tmp_path):
    loaded = load_sweep(write_sweep("\n  model.units: {type: choice, values: [8, 16]}"))
    began = [
        {"event": "began", "trial": f"{k:04d}", "worker": "w", "seconds": 1, "values": {}, "raw": {"model.units": 0}}
        for k in range(9)
    ]
    jsonlines.write_lines(tmp_path / "j.jsonl", began)
    with pytest.raises(UserError, match=r"the journal has trial 000\d, which this search does not draw"):
        Search(loaded, tmp_path / "j.jsonl", tuner=loaded.sweep.tuner)


def write_trials(search, folder):
    """Writes what a chief and its workers leave in the folders of a search's trials."""
    for event in search.oracle._journal.events:
        trial = SweepFolder(folder).trial(event["trial"])
        if event["event"] == "began":
            choice = search.chosen[event["trial"]]
            keys = ("trial", "values", "raw", "stop_after_epochs", "go_on_from")
            write_json(trial.plan, {key: choice.get(key) for key in keys})
        elif event["event"] == "ended":
            done = {"status": event["status"], "score": event["score"], "reason": None, "wer": 0, "cer": 0}
            rest = {"parameters": 1, "training_seconds": 1, "measuring_seconds": 1, "repeats": [], "broken_limits": {}}
            write_json(trial.outcome, done | rest)


def essence(events):
    """What of events the search depends on."""
    keys = ("event", "trial", "values", "raw", "status", "score")
    return [{key: event.get(key) for key in keys} for event in events]


@pytest.mark.parametrize("search", ["random", "grid", "hyperband"], indirect=True)
def test_damaged_lines_of_a_journal_are_restored_from_the_trials_set_aside_and_said(search, tmp_path):
    whole = search("journal", fail=lambda values: values["model.units"] == 16)
    whole.run()
    write_trials(whole, tmp_path)
    path, events = tmp_path / "journal.jsonl", whole.oracle._journal.events
    lines = path.read_bytes().splitlines(keepends=True)
    for place in range(len(lines)):
        for damage in (b"\xff" + lines[place], lines[place].replace(b"trial", b"tria1", 1), b"[]\n"):
            path.write_bytes(b"".join([*lines[:place], damage, *lines[place + 1 :]]))
            journal = Journal(path)
            assert essence(journal.events) == essence(events)
            assert "1 line is damaged; 1 event was restored from the trials' folders" in journal.note
            assert (tmp_path / "journal_damaged.jsonl").read_bytes().splitlines(keepends=True)[place] == damage
    again = Journal(path)
    assert again.note == "" and essence(again.events) == essence(events), "it was restored once"
    resumed = search("journal", fail=lambda values: values["model.units"] == 16)
    assert resumed.oracle.num_redrawn == 0 and drawn(resumed.oracle) == drawn(whole.oracle)
    path.write_bytes(b"".join([lines[0], *[b"\0\n"] * (len(lines) - 1)]))
    assert essence(Journal(path).events) == essence(events), "one trial at a time, the folders say everything"
    path.unlink()
    assert "is gone; " in Journal(path).note and essence(Journal(path).events) == essence(events)
    path.write_bytes(b"".join([lines[0], *lines]) + lines[-1])
    assert essence(Journal(path).events) == essence(events), "said twice, it happened once"


def test_a_bad_name_of_a_worker_in_a_journal_costs_the_name_alone(write_sweep, tmp_path):
    search = Search(load_sweep(write_sweep()), tmp_path / "journal.jsonl", tuner=Tuner(kind="random"), trials=2)
    search.run()
    path, events = tmp_path / "journal.jsonl", search.oracle._journal.events
    path.write_text(path.read_text().replace('"worker": "w0"', '"worker": "nul\\u0000../../etc"'))
    journal = Journal(path)
    assert essence(journal.events) == essence(events) and "2 lines are damaged; 0 events" in journal.note
    assert {event["worker"] for event in journal.events if event["event"] == "began"} == {"unknown"}


def test_a_journal_whose_loss_no_folder_makes_good_is_an_error(write_sweep, tmp_path):
    search = Search(load_sweep(write_sweep()), tmp_path / "journal.jsonl", tuner=Tuner(kind="random"), trials=3)
    search.run()
    path = tmp_path / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(["garbage\n", *lines[1:]]))
    with pytest.raises(BundleError, match=r"0000/trial\.json: is missing or damaged; put it back, or give another"):
        Journal(path)
    assert path.read_text().startswith("garbage\n"), "nothing was changed"


def test_a_trials_folder_is_not_given_to_other_values(write_sweep, tmp_path):
    from speechgru.tune.beginning import require_same_values

    trial = SweepFolder(tmp_path).trial("0000")
    require_same_values(trial, {"model.units": 8})
    write_json(trial.plan, {"values": {"model.units": 16}})
    require_same_values(trial, {"model.units": 8})
    write_json(trial.outcome, {"status": "failed", "score": None, "reason": "NaN"})
    require_same_values(trial, {"model.units": 16})
    with pytest.raises(UserError, match=r"trials/0000: holds a trial of other values, of which the journal does not"):
        require_same_values(trial, {"model.units": 8})


# -- results ---------------------------------------------------------------------------------------------------------


def test_the_front_holds_what_nothing_beats():
    rows = [
        {"trial": f"{k:04d}", "size_mb": size, "wer": wer, "parameters": 1}
        for k, (size, wer) in enumerate([(1.0, 0.2), (2.0, 0.1), (2.0, 0.1), (3.0, 0.1), (0.5, 0.5), (4.0, 0.05)])
    ]
    assert [row["trial"] for row in front_of(rows, "size_mb", "wer")] == ["0004", "0000", "0001", "0005"]
    assert best_of(rows, "wer")["trial"] == "0005"
    assert best_of(rows[:5], "wer")["trial"] == "0001", "of equals the smallest, then the first"


# -- one trial, in this process --------------------------------------------------------------------------------------


def plan_trial(sweep, config, *, number="0000", **plan):
    """Plans a trial in a sweep's folder; gives the trial's."""
    folder = TrialFolder(sweep / "trials" / number)
    folder.path.mkdir(parents=True)
    defaults = {"trial": number, "metric": "wer", "repeats": 1, "limits": {}, "form": None}
    defaults |= {"stop_after_epochs": None, "go_on_from": None, "config": config.model_dump(mode="json")}
    folder.plan.write_text(json.dumps({**defaults, **plan}))
    return folder


@pytest.fixture
def make_trial(tmp_path, tones_config):
    """Overrides -> a planned trial on the tones, of a model with one direction."""

    def make(*overrides, **plan):
        return plan_trial(tmp_path, tones_config("model.direction=forward", *overrides), **plan)

    return make


def silent(*args):
    pass


@pytest.fixture(scope="module")
def plain(tones, tmp_path_factory):
    """The folder and the outcome of a trial without limits."""
    from tones import make_config

    from speechgru.tune.trial import run_trial

    sweep = tmp_path_factory.mktemp("plain")
    folder = plan_trial(sweep, make_config(tones, sweep / "config.yaml", "model.direction=forward"))
    return folder, run_trial(folder, progress=silent)


def test_a_trial_is_a_run_folder_whose_config_is_the_plans(plain):
    folder, outcome = plain
    assert outcome["status"] == "completed" and outcome["score"] == outcome["wer"] >= 0
    plan = json.loads(folder.plan.read_text())
    assert load_config(folder.path / "config.yaml").model_dump(mode="json") == plan["config"]
    assert (folder.path / "checkpoints" / "best.npz").is_file()


def test_a_sweep_that_is_taken_away_while_a_trial_runs_does_not_come_back(tones_config, tmp_path, monkeypatch, capsys):
    from speechgru.tune import trial
    from speechgru.tune.folder import DISK_FAILED

    def run_trial(folder, *, progress):
        folder.sweep.path.rename(tmp_path / "away")
        return {"status": "failed", "score": None, "reason": "its folder was taken away"}

    folder = plan_trial(tmp_path / "sweep", tones_config("model.direction=forward"))
    for name, instead in (("run_trial", run_trial), ("_leave", sys.exit), ("_end_with_parent", silent)):
        monkeypatch.setattr(trial, name, instead)
    monkeypatch.setattr(sys, "argv", ["trial", str(folder.path)])
    for message in ("sweep: is gone, moved or removed while this command worked there", "sweep: is gone"):
        with pytest.raises(SystemExit) as ended:
            trial.main()
        assert ended.value.code == DISK_FAILED and message in capsys.readouterr().out
        assert not (tmp_path / "sweep").exists() and (tmp_path / "away" / "trials" / "0000" / "trial.json").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("no room"), "the memory did not suffice"),
        (KeyError("x"), "KeyError: 'x'"),
        (UserError("the loss of 3 steps is not a finite number"), "the loss of 3 steps is not a finite number"),
    ],
)
def test_what_a_trial_raises_is_a_failure_with_its_reason(make_trial, monkeypatch, error, message):
    from speechgru.tune import trial

    def raises(*args, **options):
        raise error

    monkeypatch.setattr(trial, "train", raises)
    outcome = trial.run_trial(make_trial(), progress=silent)
    assert outcome["status"] == "failed" and message in outcome["reason"]


def test_a_disk_that_fails_is_no_failure_of_a_trial(make_trial, monkeypatch):
    from speechgru.errors import DiskError
    from speechgru.files import write_text
    from speechgru.tune import trial

    def fill(config, run, **options):
        def full(descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            write_text(run / "history.jsonl", "a record")

    monkeypatch.setattr(trial, "train", fill)
    folder = make_trial()
    with pytest.raises(DiskError, match=r"history\.jsonl: cannot be written \(No space left on device\)"):
        trial.run_trial(folder, progress=silent)
    assert folder.read_outcome() is None


def test_a_file_that_would_be_too_large_is_refused_and_limits_are_measured_on_the_exported_one(make_trial, plain):
    from tones import assert_same_weights

    from speechgru.scoring.evaluation import evaluate
    from speechgru.tune.trial import run_trial

    large = make_trial(number="0001", form="dynamic", limits={"max_size_mb": 0.01})
    outcome = run_trial(large, progress=silent)
    reported = re.fullmatch(r"its file has ([\d.]+) MB as dynamic, more than max_size_mb \(0\.01\)", outcome["reason"])
    assert outcome["status"] == "refused"
    assert sorted(path.name for path in large.path.iterdir()) == ["trial.json"], "nothing was trained, and nothing left"

    limits = {"max_size_mb": float(reported[1]) + 0.003, "max_rtf": 1e-9, "max_latency_ms": 1e6}
    limits["max_parameters"] = 10**9
    folder = make_trial(number="0002", form="dynamic", limits=limits, metric="loss", repeats=2)
    outcome = run_trial(folder, progress=silent)
    assert outcome["size_mb"] == pytest.approx(float(reported[1]), abs=0.003)
    assert_same_weights(plain[0].path, folder.path)  # having been looked at changes nothing
    assert list(outcome["broken_limits"]) == ["max_rtf"] and outcome["score"] > 1 + outcome["loss"]
    sizes = [path.stat().st_size / 1e6 for path in folder.bundle.glob("*.tflite")]
    assert sizes == [outcome["size_mb"]]
    dev = json.loads(folder.plan.read_text())["config"]["data"]["dev"]
    scores = [evaluate(run / "bundle", dev, form="dynamic") for run in (folder.path, folder.path / "repeats" / "1")]
    assert outcome["wer"] == pytest.approx(sum(score["wer"] for score in scores) / 2)
    assert len(outcome["repeats"]) == 2 and outcome["repeats"][0] != outcome["repeats"][1]
    assert outcome["loss"] == pytest.approx(sum(outcome["repeats"]) / 2)


def test_hyperbands_next_rung_ends_where_an_uninterrupted_run_ends(make_trial):
    from tones import assert_same_weights

    from speechgru.tune.trial import run_trial

    epochs = ("train.max_epochs=2.0", "train.evaluate_every_steps=4")
    whole = make_trial(*epochs, number="0009")
    run_trial(whole, progress=silent)
    first = make_trial(*epochs, number="0001", stop_after_epochs=1)
    early = run_trial(first, progress=silent)
    then = make_trial(*epochs, number="0002", stop_after_epochs=2, go_on_from="0001")
    late = run_trial(then, progress=silent)
    assert early["steps"] * 2 == late["steps"]
    assert_same_weights(whole.path, then.path)


def test_a_folder_of_another_sweep_is_refused(write_sweep, tmp_path):
    from speechgru.tune.beginning import require_same_sweep

    folder = SweepFolder(tmp_path / "sweep")
    folder.path.mkdir()
    require_same_sweep(folder, load_sweep(write_sweep()))
    require_same_sweep(folder, load_sweep(write_sweep(rest="budget: {trials: 60, minutes: 3}")))
    require_same_sweep(folder, load_sweep(write_sweep(rest="budget: {trials: 6}"), ["train.accumulate=2"]))
    write_json(folder.trial("0000").outcome, {"status": "completed"})
    with pytest.raises(ConfigError, match=r"holds another sweep: seed \(0 there, 3 now\)\. budget\.trials"):
        require_same_sweep(folder, load_sweep(write_sweep(rest="seed: 3\nbudget: {trials: 6}")))


@pytest.mark.parametrize("name", ["trials/anna/notes.txt", "trials.csv", "journal.jsonl", "workers/log", "my.yaml"])
def test_a_sweep_begins_in_no_folder_that_holds_what_it_would_write(write_sweep, tmp_path, name):
    from speechgru.tune.beginning import require_same_sweep

    own = tmp_path / "sweep" / name
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(ConfigError, match=r"something else than a sweep \(.*which would be overwritten; give anot"):
        require_same_sweep(SweepFolder(tmp_path / "sweep"), load_sweep(write_sweep()))
    assert [path for path in (tmp_path / "sweep").rglob("*") if path.is_file()] == [own]


def test_a_sweep_in_which_no_trial_came_to_a_checkpoint_is_begun_anew(write_sweep, tmp_path):
    from speechgru.tune.beginning import require_same_sweep

    folder, loaded = SweepFolder(tmp_path / "sweep"), load_sweep(write_sweep())
    require_same_sweep(folder, loaded)

    def failed():
        write_json(folder.trial("0000").outcome, {"status": "failed", "reason": "unknown characters"})
        folder.journal.write_text("")
        return loaded

    assert not require_same_sweep(folder, failed()) and folder.journal.exists(), "a sweep that was killed is resumed"
    assert require_same_sweep(folder, load_sweep(write_sweep(rest="seed: 3\nbudget: {trials: 6}")))
    assert not folder.journal.exists() and not folder.trials.exists()
    (folder.path / "trials").mkdir()
    (folder.path / "trials" / "notes.txt").write_text("mine")
    assert require_same_sweep(folder, failed()), "and back"
    assert [path.name for path in folder.trials.iterdir()] == ["notes.txt"]
    failed()
    write_json(folder.status, {"ended": "all trials are done"})
    assert require_same_sweep(folder, loaded), "what was amiss may have lain in the corpus"


def test_a_sweep_whose_corpus_has_moved_names_a_way_out_that_works(write_sweep, tones, tmp_path):
    from speechgru.tune.beginning import require_same_sweep

    corpus, moved = tmp_path / "corpus", tmp_path / "moved"
    shutil.copytree(tones, corpus)
    keys = lambda place: [f"data.train={place / 'train.jsonl'}", f"data.dev={place / 'dev.jsonl'}"]  # noqa: E731
    folder = SweepFolder(tmp_path / "sweep")
    require_same_sweep(folder, load_sweep(write_sweep(), keys(corpus)))
    write_json(folder.trial("0000").outcome, {"status": "completed"})
    corpus.rename(moved)
    with pytest.raises(ConfigError, match=r"put a link to it where it was, and name it as before$"):
        require_same_sweep(folder, load_sweep(write_sweep(), keys(moved)))
    corpus.symlink_to(moved)
    assert not require_same_sweep(folder, load_sweep(write_sweep(), keys(corpus)))


def test_a_sweep_from_before_a_key_is_resumed_by_the_same_file(write_sweep, tmp_path):
    from speechgru.tune.beginning import require_same_sweep

    folder, loaded = SweepFolder(tmp_path / "sweep"), load_sweep(write_sweep())
    require_same_sweep(folder, loaded)
    write_json(folder.trial("0000").outcome, {"status": "completed"})
    stored = json.loads(folder.definition.read_text())
    del stored["configuration"]["train"]["quiet_start_ms"]
    write_json(folder.definition, stored)
    assert not require_same_sweep(folder, loaded)
    with pytest.raises(ConfigError, match=r"holds another sweep: train\.quiet_start_ms"):
        require_same_sweep(folder, load_sweep(write_sweep(), ["train.quiet_start_ms=50.0"]))


def test_a_search_for_characters_keeps_the_weights_by_characters(write_sweep):
    values = {"model.units": 8}
    by_characters = write_sweep(rest="objective: cer\nbudget: {trials: 6}")
    assert load_sweep(by_characters).configure(values).train.monitor == "cer"
    assert load_sweep(by_characters, ["train.monitor=wer"]).configure(values).train.monitor == "wer"
    assert load_sweep(write_sweep()).configure(values).train.monitor == "auto"


def test_what_the_parameters_alone_rule_out_is_refused_before_it_is_trained(write_sweep, tmp_path):
    from speechgru.tune.refusals import Refusals

    def refusals(limits, space="\n  model.units: {type: choice, values: [8, 256]}"):
        return Refusals(load_sweep(write_sweep(space, f"{limits}\nbudget: {{trials: 2}}"))).reason

    refusal = refusals("limits: {max_parameters: 20000}")
    assert refusal({"model.units": 8}) is None
    # Bidirectional, 16 channels in: 2 (16 + 256 + 2) 768 of the GRU, 512 x 3 logits, and what is before and between.
    assert re.fullmatch(
        r"4[23]\d,\d{3} parameters are more than max_parameters \(20,000\)", refusal({"model.units": 256})
    )
    refusal = refusals("limits: {max_size_mb: 0.4, form: dynamic}")
    assert refusal({"model.units": 8}) is None
    assert "as dynamic, more than max_size_mb (0.4)" in refusal({"model.units": 256})
    assert refusals("limits: {max_rtf: 0.1}")({"model.units": 256}) is None, "only measuring tells"
    space = "\n  model.subsampling_factor: {type: choice, values: [1, 3]}"
    space += "\n  model.lookahead_frames: {type: choice, values: [0, 4]}"
    refusal = refusals("set: {model.direction: forward}", space)
    assert refusal({"model.subsampling_factor": 1, "model.lookahead_frames": 4}) is None
    assert "must be a multiple" in refusal({"model.subsampling_factor": 3, "model.lookahead_frames": 4})


def test_a_sweep_tells_each_line_of_its_running_trials_once(tmp_path):
    sweep, told, looks = SweepFolder(tmp_path / "sweep"), [], []
    log = sweep.trial("0003").log
    log.parent.mkdir(parents=True)
    log.write_bytes(b"loading\ntraining: 10 of 300, loss 2.1\n\x1b[31mhalf a li")
    enough = threading.Event()

    def running():
        looks.append(None)
        if len(looks) == 3:
            log.write_bytes(b"x" * 9000 + b"\ntraining: 20 of 300\n\n")
        if len(looks) > 5:
            enough.set()
        return ["0003", "0004"]  # the other has said nothing so far

    with Telling(sweep, running, lambda *line: told.append(line), seconds=0.01):
        assert enough.wait(10)
    assert told == [("0003", "training: 10 of 300, loss 2.1"), ("0003", "training: 20 of 300")]


def test_the_last_line_of_a_log_is_shown_harmlessly(tmp_path):
    log = tmp_path / "log.txt"
    assert last_line(log) == "" and last_line(tmp_path) == ""
    log.write_bytes("50 %\r75 % \u202e\x1b[2J\n".encode())
    assert last_line(log) == "75 % \\u202e\\x1b[2J"
    log.write_bytes(
        b"training: 2 of 2\nW0000 00:00:1795985128.108909   164 tf_tfl_flatbuffer_helpers.cc:395] Ignored\n"
    )
    assert last_line(log) == "training: 2 of 2", "TensorFlow's converter logs beside it"


def test_an_end_that_cannot_be_recorded_ends_the_search_and_is_not_asked_for_again(write_sweep, tmp_path):
    search = Search(load_sweep(write_sweep()), tmp_path / "f.jsonl", tuner=Tuner(kind="random"))
    running = search.oracle.create_trial("here")
    (tmp_path / "f.jsonl").unlink()
    (tmp_path / "f.jsonl").mkdir()  # as a folder that was taken away, or a full disk: the journal takes no line
    search.oracle.end_trial(running.trial_id)
    assert isinstance(search.oracle.failure, UserError) and "f.jsonl" in str(search.oracle.failure)
    for worker in ("here", "there"):
        assert search.oracle.create_trial(worker).status == "STOPPED", "its trial, for ever, would be work without end"
    assert search.oracle.is_over()
