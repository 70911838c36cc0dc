"""keras-tuner still has the undocumented names that the adapter uses; where one is gone, the test names it."""

import ast
from pathlib import Path

import pytest

keras_tuner = pytest.importorskip("keras_tuner", reason="sweeps need keras_tuner (extra train)")

from speechgru.errors import UserError  # noqa: E402
from speechgru.tune import keras_tuner_adapter as adapter  # noqa: E402

NAMES = [f"{owner}.{name}" for owner, names in adapter.UNDOCUMENTED_NAMES.items() for name in names]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def missing():
    return adapter.missing_names()


@pytest.mark.parametrize("name", NAMES)
def test_keras_tuner_has_every_name_that_the_adapter_uses(missing, name):
    assert name not in missing, (
        f"keras-tuner {keras_tuner.__version__} has no {name} any more: find what replaced it, change "
        "speechgru/tune/keras_tuner_adapter.py, and SUPPORTED_VERSIONS there and in pyproject.toml"
    )


def test_a_name_that_is_gone_is_listed_and_ends_a_sweep_before_it_begins(monkeypatch):
    name = "RandomSearchOracle._save_trial"
    monkeypatch.delattr(keras_tuner.Oracle, "_save_trial")
    assert name in adapter.missing_names()
    with pytest.raises(UserError, match=rf"has no .*{name}.*install keras-tuner>=1\.4\.7,<1\.5"):
        adapter.require_names()


def test_an_attribute_that_only_an_instance_has_is_missed_too(monkeypatch):
    oracle = keras_tuner.oracles.BayesianOptimizationOracle
    before = oracle.__init__

    def without(self, *args, **options):
        before(self, *args, **options)
        del self._random_state

    monkeypatch.setattr(oracle, "__init__", without)
    assert adapter.missing_names() == ["BayesianOptimizationOracle._random_state"]


def test_the_package_asks_for_the_versions_that_the_adapter_supports():
    assert f"keras-tuner[bayesian]{adapter.SUPPORTED_VERSIONS}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_hyperband_marks_its_values_as_the_adapter_expects():
    space = adapter.HyperParameters()
    space.Float("x", 0.0, 1.0)

    class Oracle(adapter.AdaptedOracle, adapter.HyperbandOracle):
        pass

    oracle = Oracle(hyperparameters=space, max_epochs=9, seed=1)
    values = oracle.draw_trial("worker").hyperparameters.values
    assert adapter.STOP_EPOCH_KEY in values, f"a trial of Hyperband has no value {adapter.STOP_EPOCH_KEY!r} any more"


def test_every_private_name_of_an_oracle_is_used_in_the_adapter_alone():
    private = {name.split(".")[1] for name in NAMES if "._" in name}
    for path in sorted((ROOT / "speechgru" / "tune").glob("*.py")):
        used = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        defined = {
            node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)
        }
        if path.name != "keras_tuner_adapter.py":
            assert not (used | defined) & private, path
