"""What this machine has for `speechgru` and lacks: what a report of a fault needs, and how to get what is missing."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import mmap
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechgru import __version__
from speechgru.errors import UserError
from speechgru.processors import num_processors
from speechgru.recording import list_microphones
from speechgru.runs import git_commit
from speechgru.voices import ENGINES, missing_engines

#: Packages whose versions matter in a report, beside those that are declared.
_MORE_PACKAGES = ("tensorflow-cpu", "tensorflow-io", "keras", "numba", "librosa", "av", "torch")
#: The extras that are for users, with what each is for.
_EXTRAS = {
    "train": "training, sweeps and export",
    "microphone": "record, and transcribe --microphone",
    "serve": "serve",
    "piper": "Piper's voices",
    "kokoro": "Kokoro's voices",
}
#: Programs beside Python's packages, with what each is for. Speech engines look for theirs by themselves.
_PROGRAMS = {
    "ffmpeg": "reads M4A, WebM and other foreign recordings, where PyAV is not installed",
    "npm": "fetches LiteRT.js for `speechgru web`",
}
#: Variables that change what is computed or how fast; of others neither name nor value is shown.
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "NUMBA_CACHE_DIR",
    "NUMBA_DISABLE_JIT",
    "OMP_NUM_THREADS",
    "TF_CONFIG",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTRAOP_THREADS",
)
#: Those of them that may hold addresses or folders.
_UNSHOWN = ("NUMBA_CACHE_DIR", "TF_CONFIG")

#: The last release of tensorflow-io loads with these versions of TensorFlow only.
_TENSORFLOW_OF_IO = ("2.16", "2.17")


def examine(*, load_tensorflow: bool = False) -> dict[str, Any]:
    """Looks at the machine; a moment's work unless TensorFlow is to be loaded.

    No path of the machine is in it, and no name of a user.

    Args:
        load_tensorflow: also import TensorFlow, which takes seconds, and list what it computes on.

    Returns:
        A JSON-ready record. `problems` has a sentence for each thing that is wrong, with its remedy; what is merely not
        installed is in `extras`, `engines`, `programs` and `microphones`, each with how to get it.

    Example:
        >>> record = examine()
        >>> record["speechgru"]["version"] == __version__, "espeak" in record["engines"]
        (True, True)
    """
    packages = _packages()
    extras, problems = _extras()
    problems += _conflicts(packages)
    tensorflow = None
    if load_tensorflow:
        tensorflow = _loaded_tensorflow()
        if tensorflow["error"]:
            problems.append(f"TensorFlow cannot be loaded: {tensorflow['error']}; install the extra train again")
    gpus = _gpus()
    return {
        "speechgru": {"version": __version__, "commit": git_commit()},
        "python": {"version": platform.python_version(), "implementation": platform.python_implementation()},
        "system": _system(),
        "packages": packages,
        "extras": extras,
        "gpus": gpus,
        "gpu_note": _gpu_note(gpus, packages),
        "tensorflow": tensorflow,
        "compiled_code": _compiled_code(packages, gpus),
        "engines": _engines(),
        "microphones": _microphones(),
        "programs": {
            name: {"found": shutil.which(name) is not None, "for": purpose} for name, purpose in _PROGRAMS.items()
        },
        "environment": {
            name: "set" if name in _UNSHOWN else os.environ[name] for name in _VARIABLES if name in os.environ
        },
        "problems": problems,
    }


def _system() -> dict[str, Any]:
    here, temporary = (shutil.disk_usage(folder).free for folder in (os.curdir, tempfile.gettempdir()))
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor_name(),
        "cores": num_processors(),
        "memory_gb": _memory_gb(),
        "disk_free_gb": {"here": round(here / 1e9, 1), "temporary": round(temporary / 1e9, 1)},
    }


def _processor_name() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor()


def _memory_gb() -> float | None:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    return None


def _packages() -> dict[str, str]:
    """The versions of what is declared and of some more, as far as they are installed."""
    names = sorted({*(name for name, _, _ in _declared()), *_MORE_PACKAGES}, key=str.lower)
    versions = {name: _version_of(name) for name in names}
    return {name: version for name, version in versions.items() if version is not None}


def _version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _declared() -> list[tuple[str, str, str]]:
    """What the package declares, for everybody and for the extras that are listed here: name, extra, line each."""
    try:
        lines = importlib.metadata.requires("speechgru") or []
    except importlib.metadata.PackageNotFoundError:  # a folder on Python's path
        return []
    found = []
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if name and name[0] != "speechgru" and (extra is None or extra[1] in _EXTRAS):
            found.append((name[0], "" if extra is None else extra[1], line))
    return found


def _extras() -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Of each extra what is missing, and problems: what is there in a version that does not fit."""
    declared, problems = _declared(), []
    extras: dict[str, dict[str, Any]] = {
        name: {"missing": [], "for": purpose, "get": f"pip install 'speechgru[{name}]'"}
        for name, purpose in (_EXTRAS if declared else {}).items()
    }
    for name, extra, line in declared:
        version = _version_of(name) or (_version_of("tensorflow-cpu") if name == "tensorflow" else None)
        specifier = _specifier(line, extra)
        if specifier is None or (version is None and name in (extra and extras[extra]["missing"])):
            continue
        if version is None and extra:
            extras[extra]["missing"].append(name)
        elif version is None:
            problems.append(f"{name} is not installed; install speechgru again")
        elif not specifier.contains(version, prereleases=True):
            advice = f"pip install '{name}{specifier}'"
            problems.append(f"{name} {version} is installed, and {specifier} is wanted: {advice}")
    return extras, problems


def _specifier(line: str, extra: str) -> Any:
    """The versions that a declaration asks for; None where it is for another Python or system."""
    try:
        from packaging.requirements import Requirement
    except ImportError:  # it comes with TensorFlow; elsewhere any version will do
        return _AnyVersion()
    requirement = Requirement(line)
    applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    return requirement.specifier if applies else None


class _AnyVersion:
    """In place of a `SpecifierSet`, where none can be read."""

    def contains(self, version: str, *, prereleases: bool) -> bool:
        return True


def _conflicts(packages: dict[str, str]) -> list[str]:
    """What is known not to work together."""
    tensorflow = packages.get("tensorflow") or packages.get("tensorflow-cpu")
    if tensorflow and "tensorflow-io" in packages and not tensorflow.startswith(_TENSORFLOW_OF_IO):
        return [
            f"tensorflow-io {packages['tensorflow-io']} does not load with TensorFlow {tensorflow}: recordings are "
            "read by soundfile, which is as good; pip uninstall tensorflow-io"
        ]
    return []


def _gpus() -> list[dict[str, str]]:
    """NVIDIA's GPUs, by the driver's own program."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    keys = ("name", "memory.total", "driver_version")
    command = [program, f"--query-gpu={','.join(keys)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    return [dict(zip(("name", "memory", "driver"), row, strict=False)) for row in rows]


def _gpu_note(gpus: list[dict[str, str]], packages: dict[str, str]) -> str:
    """What training makes of the GPUs, a sentence."""
    if not gpus:
        return "no NVIDIA GPU was found: training runs on the processor"
    if "tensorflow" not in packages:
        return "TensorFlow for GPUs is not installed: pip install 'speechgru[train]' 'tensorflow[and-cuda]'"
    if not any(_version_of(f"nvidia-cudnn-cu{number}") for number in (11, 12, 13)):
        return (
            "NVIDIA's libraries are not among Python's packages, so that TensorFlow uses the GPU only where the system "
            "has them: pip install 'tensorflow[and-cuda]', and look with --tensorflow"
        )
    return "training runs on it where TensorFlow sees it: look with --tensorflow"


def _loaded_tensorflow() -> dict[str, Any]:
    try:
        import tensorflow as tf

        devices = [device.name for device in tf.config.list_logical_devices()]
    except Exception as error:  # whatever a broken installation raises is what is wanted
        return {"devices": [], "error": " ".join(str(error).split()) or type(error).__name__}
    return {"devices": devices, "error": None}


def _compiled_code(packages: dict[str, str], gpus: list[dict[str, str]]) -> dict[str, Any]:
    """Whether training's compiled code may run, and whether it is kept for the next process."""
    allowed, reason = True, ""
    if "numba" not in packages:
        allowed, reason = False, "Numba is not installed: pip install 'speechgru[train]'"
    elif os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        allowed, reason = False, "NUMBA_DISABLE_JIT is set"
    elif not _may_execute_memory():
        allowed, reason = False, "the system lets no process execute memory that it has written"
    elif gpus:
        reason = "used where TensorFlow sees no GPU"
    if os.environ.get("NUMBA_CACHE_DIR"):
        kept = "in NUMBA_CACHE_DIR"
    elif os.access(Path(__file__).parent, os.W_OK):
        kept = "beside the package"
    else:
        kept = "in the user's cache, where there is one; else it is compiled anew by each process"
    return {"allowed": allowed, "reason": reason, "kept": kept if allowed else None}


def _may_execute_memory() -> bool:
    """Whether a process may get executable memory of its own; hardened systems refuse it."""
    if not hasattr(mmap, "PROT_EXEC"):
        return True
    try:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        mmap.mmap(-1, mmap.PAGESIZE, flags=flags, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True


def _engines() -> dict[str, dict[str, Any]]:
    """Of each speech engine whether it can speak, else why not and how to get it."""
    missing = missing_engines()
    return {
        name: {"found": name not in missing, "summary": engine.summary, "reason": missing.get(name, "")}
        for name, engine in ENGINES.items()
        if name != "command"  # a program of the user's own is installed nowhere
    }


def _microphones() -> dict[str, Any]:
    with _quiet_libraries():
        try:
            devices = list_microphones()
        except UserError as error:
            return {"devices": [], "reason": str(error)}
        except Exception as error:  # PortAudioError: the library finds no sound system
            return {"devices": [], "reason": f"the sound system does not answer ({error})"}
    return {"devices": devices, "reason": "" if devices else "no microphone is connected"}


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Within it, what the system's libraries print on standard error is dropped: of sound that is a page."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
