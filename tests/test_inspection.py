"""Looking into a bundle: the record, what is printed, and what damage ends in."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from speechgru.cli import console as cli
from speechgru.errors import BundleError
from speechgru.export.flatbuffer import with_metadata
from speechgru.runtime import METADATA_ENTRY
from speechgru.runtime.inspection import inspect
from speechgru.runtime.tflite import describe

BUNDLES = Path(__file__).parent / "data" / "bundles"
V2 = BUNDLES / "v2"


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command on a terminal that is wide; gives the exit code, and what was printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechgru", "inspect", *map(str, arguments)])
        monkeypatch.setattr(cli.terminal, "_width", 200)
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def single_file(tmp_path):
    """A model that carries its bundle's metadata, and nothing beside it."""
    metadata = json.loads((V2 / "bundle.json").read_text())
    content = with_metadata((V2 / "model.tflite").read_bytes(), {METADATA_ENTRY: json.dumps(metadata).encode()})
    path = tmp_path / "alone.tflite"
    path.write_bytes(content)
    return path


def test_a_record_tells_what_the_bundle_is():
    record = inspect(V2)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    expected = {
        "bundle": str(V2), "bundle_version": 2, "sample_rate": 8000, "step_seconds": 0.016, "subsampling_factor": 2,
        "unit": "character", "vocabulary_size": 2, "direction": "forward", "streams": False, "latency_seconds": None,
        "parameters": 819, "parity": None, "default_form": "none", "saved_model": [],
    }  # fmt: skip
    assert {name: record[name] for name in expected} == expected
    assert record["dev"].keys() == {"step", "wer", "cer"}
    assert record["features"]["n_mels"] == 8 and "mean" not in record["features"]
    assert record["provenance"]["versions"]["tensorflow"].startswith("2.")
    (model,) = record["models"]
    assert model["form"] == "none" and model["is_default"] and model["foreign_operators"] == []
    facts = describe(V2 / "model.tflite").as_record()
    assert {name: model[name] for name in facts} == facts


def test_weights_are_the_models_and_the_front_ends():
    """The GRU's own weights are among the file's, which also hold filters and windows, and leave out small vectors."""
    record = inspect(V2)
    assert 0.5 * record["parameters"] < record["models"][0]["num_weights"] < 3 * record["parameters"]


@pytest.mark.parametrize("bundle", sorted(BUNDLES.iterdir()), ids=lambda path: path.name)
def test_every_stored_bundle_can_be_looked_into(bundle, run):
    assert inspect(bundle)["models"]
    code, out, _ = run(bundle)
    assert code == 0
    assert f"format {bundle.name.removeprefix('v')}" in out


def test_a_single_file_is_enough(single_file):
    record, folder = inspect(single_file), inspect(V2)
    assert record["bundle"] == str(single_file)
    assert [model["file"] for model in record["models"]] == ["alone.tflite"]
    assert record["models"][0]["metadata"].keys() >= {METADATA_ENTRY}
    same = set(folder) - {"bundle", "models"}
    assert {name: record[name] for name in same} == {name: folder[name] for name in same}


def test_a_file_without_a_bundles_metadata_is_named():
    with pytest.raises(BundleError, match="holds no metadata of a bundle") as caught:
        inspect(V2 / "model.tflite")
    assert str(caught.value).startswith(str(V2 / "model.tflite"))


def test_tables_show_facts_forms_and_signatures(run):
    code, out, err = run(V2)
    assert code == 0 and err == f"reading {V2}\nnext: speechgru transcribe {V2} HELLO.wav\n"
    for pattern in (
        r"written by +│ speechgru \S+, format 2 ",
        r"input +│ 8,000 Hz, a step every 16 ms ",
        r"front end +│ 8 mel filters, 16 ms every 8 ms ",
        r"writes +│ 2 characters ",
        r"model +│ 1 x 8 units, forward ",
        r"latency +│ the whole recording: it does not stream ",
        r"parameters +│ 819 ",
        r"none \(default\) +│ model\.tflite +│ 70 +│ 296 +│ 459 +│ 1,336 ",
        r"none +│ – +│ takes +│ samples +│ \[1, any\] +│ float32",
        r"none +│ – +│ gives +│ \S+ +│ \[1, any, 3\] +│ float32",
    ):
        assert re.search(pattern, out), pattern


def test_json_is_the_record_and_nothing_else(run):
    code, out, err = run(V2, "--json")
    assert code == 0 and err == ""
    assert json.loads(out) == inspect(V2)


def test_the_comparison_of_forms_is_shown_where_there_is_one(tmp_path, run):
    bundle = Path(shutil.copytree(V2, tmp_path / "bundle"))
    path = bundle / "bundle.json"
    reported = {
        "parity": [{"form": "Keras", "wer": 0.1}, {"form": "TFLite none", "wer": 0.125}],
        "latency_seconds": {"least": 0.25, "greatest": 0.5},
        "saved_model": ["recognize"],
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | reported))
    record = inspect(bundle)
    assert {name: record[name] for name in reported} == reported
    _, out, _ = run(bundle)
    assert "12.50%" in out and "0.25 to 0.50 s" in out and "recognize" in out


@pytest.mark.parametrize("damage", ["missing", "cut", "noise"])
def test_a_damaged_model_ends_in_one_message(tmp_path, run, damage):
    bundle = Path(shutil.copytree(V2, tmp_path / "bundle"))
    path = bundle / "model.tflite"
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:9999] if damage == "cut" else b"noise" * 999)
    code, out, err = run(bundle)
    assert code == 2 and out == ""
    _, message = err.splitlines()  # the first names the bundle
    assert message.startswith((f"error: {path}: is ", f"error: {path}: not a ")) and "copy the" in message


def test_it_loads_no_tensorflow():
    code = (
        "import sys; from speechgru.runtime.inspection import inspect; inspect(sys.argv[1]); "
        "print([name for name in ('tensorflow', 'keras', 'ai_edge_litert.interpreter') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(V2)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
