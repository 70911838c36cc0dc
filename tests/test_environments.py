"""What is installed: the pins of constraints.txt, the interpreter that is found, the set of `make test-next`."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def holds(requirement: Requirement, python: str) -> bool:
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def requirements_of(python: str) -> list[Requirement]:
    """What speechgru[dev] asks for on a Python, TensorFlow and the test tools included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *extras["train"], *extras["dev"]]
    requirements = [Requirement(text) for text in texts if not text.startswith("speechgru")]
    return [requirement for requirement in requirements if holds(requirement, python)]


def pins_of(python: str) -> dict[str, list[str]]:
    """The versions that constraints.txt allows on a Python, by canonical name; one each where it is well formed."""
    pins: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        assert len(requirement.specifier) == 1 and requirement.url is None, line
        if holds(requirement, python):
            version = next(iter(requirement.specifier)).version
            pins.setdefault(canonicalize_name(requirement.name), []).append(version)
    return pins


@pytest.mark.parametrize("python", PYTHONS)
def test_each_requirement_has_one_pin_that_it_allows(python):
    pins = pins_of(python)
    wrong = {}
    for requirement in requirements_of(python):
        if requirement.name == "setuptools":  # an environment comes with one
            continue
        versions = pins.get(canonicalize_name(requirement.name), [])
        if len(versions) != 1 or not requirement.specifier.contains(versions[0]):
            wrong[str(requirement)] = versions
    assert not wrong


def test_librosa_stays_below_1_where_tensorflow_2_17_holds_numpy_back():
    for python in PYTHONS:
        (librosa,) = pins_of(python)["librosa"]
        assert (librosa < "1") == (python != "3.13"), f"Python {python} has librosa {librosa}"


def find_python(*versions: str) -> str:
    command = ["sh", "scripts/find_python.sh", *versions]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_found_python_is_of_the_first_version_that_runs():
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = find_python("9.9", here)
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith(f"Python {here}.")
    assert find_python("9.9") == ""


@pytest.mark.skipif(sys.platform == "win32", reason="make and a shell")
def test_a_target_without_its_python_names_it_and_the_variable_that_sets_it():
    done = subprocess.run(
        ["make", "test-next", "NEXT="], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "make test-next needs Python 3.14, and none was found; set NEXT=/path/to/python" in done.stdout


def test_tensorflows_candidate_comes_with_keras_itself(monkeypatch):
    spec = importlib.util.spec_from_file_location("install_next", ROOT / "scripts" / "install_next.py")
    install_next = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(install_next)
    # What release candidate 0 of TensorFlow 2.22 asks for, shortened.
    asked_for = [
        "absl-py>=1.0.0",
        "h5py<3.15.0,>=3.11.0",
        "keras-nightly>=3.12.0.dev",
        'nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: asked_for)
    assert install_next.wanted_by("tensorflow") == ["absl-py>=1.0.0", "h5py", "keras"]
    monkeypatch.setattr(
        importlib.metadata,
        "requires",
        lambda name: [
            "numpy>=1.26",
            'tensorflow>=2.20; python_version >= "3.0" and extra == "train"',
            'tensorflow-io==0.37.1; python_version < "3.0" and extra == "train"',
            'speechgru[train]; extra == "dev"',
            'pytest>=8.0; extra == "dev"',
            'torch>=2.4; extra == "peers"',
        ],
    )
    assert install_next.wanted_by("speechgru", extras=("train", "dev")) == ["numpy>=1.26", "pytest>=8.0"]
