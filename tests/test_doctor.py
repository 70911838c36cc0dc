"""What `speechgru doctor` finds: versions, what is missing and how to get it, what is wrong; no path of the machine."""

import importlib.metadata
import json
import mmap
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from speechgru import doctor
from speechgru.errors import UserError


@pytest.fixture
def installed(monkeypatch):
    """Lets packages have other versions than they have; None is not installed."""
    real = importlib.metadata.version

    def install(**versions):
        versions = {name.replace("_", "-"): version for name, version in versions.items()}

        def version(name):
            if versions.get(name, "") is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return versions.get(name) or real(name)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return install


@pytest.fixture
def declared(monkeypatch):
    """What the package declares, as its metadata have it; those of an editable installation may be old."""
    lines = [
        "numpy>=1.26",
        "tensorflow==2.17.*; python_version < '4' and extra == 'train'",
        "tensorflow==99.*; python_version >= '4' and extra == 'train'",
        "starlette>=0.40; extra == 'serve'",
        "ruff; extra == 'dev'",
        "speechgru[microphone]; extra == 'record'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)


def test_the_record_has_versions_and_no_path_of_the_machine():
    record = doctor.examine()
    text = json.dumps(record)
    assert record["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert record["system"]["cores"] >= 1 and record["system"]["disk_free_gb"]["here"] >= 0
    for folder in (Path.home(), Path.cwd(), Path(sys.prefix), Path(doctor.__file__).parent, tempfile.gettempdir()):
        assert str(folder) not in text


def test_a_look_at_the_machine_loads_no_tensorflow():
    code = "import sys; from speechgru.doctor import examine; examine(); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"


def test_what_an_extra_lacks_is_named_with_how_to_get_it(declared, installed):
    installed(starlette=None, tensorflow="2.17.1", numpy="1.26.4")
    record = doctor.examine()
    assert record["extras"]["serve"]["missing"] == ["starlette"]
    assert record["extras"]["serve"]["get"] == "pip install 'speechgru[serve]'"
    assert record["extras"]["train"]["missing"] == [] and record["problems"] == []
    assert "starlette" not in record["packages"] and "ruff" not in record["packages"]


def test_without_packaging_what_is_missing_is_named_all_the_same(declared, installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    installed(starlette=None, tensorflow=None, tensorflow_cpu=None)
    extras = doctor.examine()["extras"]
    assert extras["serve"]["missing"] == ["starlette"] and extras["train"]["missing"] == ["tensorflow"]


@pytest.mark.parametrize(
    ("versions", "problem"),
    [
        ({"numpy": "1.20.0"}, "numpy 1.20.0 is installed, and >=1.26 is wanted: pip install 'numpy>=1.26'"),
        ({"numpy": None}, "numpy is not installed; install speechgru again"),
        (
            {"tensorflow": "2.19.0", "tensorflow_io": "0.37.1"},
            "tensorflow-io 0.37.1 does not load with",
        ),
    ],
)
def test_what_is_wrong_is_a_problem(declared, installed, versions, problem):
    installed(**versions)
    assert any(each.startswith(problem) for each in doctor.examine()["problems"])


def test_engines_that_are_missing_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda program: None)
    record = doctor.examine()
    assert not record["engines"]["flite"]["found"] and "apt install flite" in record["engines"]["flite"]["reason"]
    assert "command" not in record["engines"]
    assert not record["programs"]["ffmpeg"]["found"]
    assert record["gpus"] == [] and "runs on the processor" in record["gpu_note"]


def test_gpus_are_those_of_the_driver(monkeypatch, tmp_path, installed):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB, 570.86.15'\n")
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(program) if name == "nvidia-smi" else None)
    installed(tensorflow=None)
    record = doctor.examine()
    assert record["gpus"] == [{"name": "NVIDIA H200", "memory": "143771 MiB", "driver": "570.86.15"}]
    assert "TensorFlow for GPUs is not installed" in record["gpu_note"]


def test_compiled_code_is_refused_where_memory_may_not_be_executed(monkeypatch, installed):
    installed(numba="0.60.0")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    assert doctor.examine()["compiled_code"]["allowed"]
    monkeypatch.setattr(mmap, "mmap", refuse)
    assert doctor.examine()["compiled_code"]["reason"].startswith("the system lets no process execute")
    installed(numba=None)
    assert "Numba is not installed" in doctor.examine()["compiled_code"]["reason"]


@pytest.mark.parametrize("error", [UserError("sounddevice is missing"), RuntimeError("no sound system")])
def test_microphones_that_cannot_be_listed_give_the_reason(monkeypatch, capfd, error):
    def fail():
        print("a page of the library's", file=sys.__stderr__, flush=True)
        raise error

    monkeypatch.setattr(doctor, "list_microphones", fail)
    found = doctor.examine()["microphones"]
    assert found["devices"] == [] and str(error) in found["reason"]
    assert "library" not in capfd.readouterr().err
