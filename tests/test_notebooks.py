"""The notebooks of examples/ run from their first cell to their last, at a small size."""

import importlib
import importlib.util
import runpy
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the notebooks train")
pytest.importorskip("espeakng_loader", reason="their corpora are spoken by eSpeak NG")

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"


@pytest.mark.parametrize(
    "name",
    [
        "the_cell_in_your_own_model",
        "decode_with_knowledge",
        pytest.param("train_and_look_inside", marks=pytest.mark.slow),  # half a minute; pipelines train in the suite
        pytest.param("a_sweep", marks=pytest.mark.slow),  # half a minute; sweeps have tests of their own
    ],
)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    import matplotlib

    if name == "decode_with_knowledge" and importlib.util.find_spec("hassil") is None:
        pytest.skip("hassil parses grammars, and is not installed")
    matplotlib.use("Agg")
    monkeypatch.setenv("SPEECHGRU_SMALL", "1")
    monkeypatch.chdir(tmp_path)
    try:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    finally:
        importlib.import_module("matplotlib.pyplot").close("all")


def test_all_notebooks_are_run_by_a_test():
    (parametrized,) = (mark for mark in test_a_notebook_runs.pytestmark if mark.name == "parametrize")
    names = {getattr(each, "values", [each])[0] for each in parametrized.args[1]}
    assert names == {path.stem for path in FOLDER.glob("*.py")}
