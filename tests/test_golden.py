"""The golden vectors of a bundle, run again where it is used."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from speechgru.cli import console as cli
from speechgru.errors import BundleError
from speechgru.runtime.golden import check_golden

LATER = Path(__file__).parent / "data" / "bundles" / "v3"


@pytest.fixture
def bundle(tmp_path):
    """A copy of a stored bundle, to be changed."""
    return Path(shutil.copytree(LATER, tmp_path / "bundle"))


def run_inspect(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["speechgru", "inspect", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def test_a_bundle_gives_what_it_gave_whole_and_as_a_stream(bundle):
    results = check_golden(bundle)
    assert [(r.case, r.form, r.is_stream) for r in results] == [
        (case, "none", is_stream) for case in ("sound", "speech") for is_stream in (False, True)
    ]
    assert all(r.passed and r.difference < 1e-4 and r.tolerance == 0.01 for r in results)
    assert [r.text for r in results] == ["", "", "b", "b"]
    assert check_golden(bundle / "model.tflite") == results


def test_a_forms_own_tolerance_counts_before_the_one_for_all(bundle):
    path = bundle / "golden" / "golden.json"
    golden = json.loads(path.read_text())
    golden["tolerance"]["log_probs.none"] = 0.5
    path.write_text(json.dumps(golden))
    assert {r.tolerance for r in check_golden(bundle)} == {0.5}


def test_other_numbers_fail_and_end_the_command_with_1(bundle, monkeypatch, capsys):
    assert run_inspect(monkeypatch, bundle, "--golden") in (0, None)
    assert "FAILED" not in capsys.readouterr().out
    path = bundle / "golden" / "speech.samples.f32"
    path.write_bytes((0.5 * np.fromfile(path, "<f4")).astype("<f4").tobytes())
    assert [r.passed for r in check_golden(bundle)] == [True, True, False, False]
    assert run_inspect(monkeypatch, bundle, "--golden", "--json") == 1
    assert [r["passed"] for r in json.loads(capsys.readouterr().out)] == [True, True, False, False]


@pytest.mark.parametrize("damage", ["cut", "elsewhere", "not JSON", "missing"])
def test_damaged_vectors_are_named(bundle, damage):
    path = bundle / "golden" / "golden.json"
    if damage == "cut":
        samples = bundle / "golden" / "sound.samples.f32"
        samples.write_bytes(samples.read_bytes()[:-8])
    elif damage == "elsewhere":
        path.write_text(path.read_text().replace("sound.samples", "../sound.samples"))
    elif damage == "not JSON":
        path.write_text("{")
    else:
        shutil.rmtree(path.parent)
    fix = "is missing; copy the bundle with its folder golden" if damage == "missing" else "is damaged .*; export"
    with pytest.raises(BundleError, match=fix) as caught:
        check_golden(bundle)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
