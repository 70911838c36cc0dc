"""Fills a virtual environment with TensorFlow's newest pre-release: VENV/bin/python scripts/install_next.py.

`make test-next` runs it on a Python that no released TensorFlow has. Plain pip cannot: release candidate 0 of
TensorFlow 2.22 asks for keras-nightly, which overwrites Keras's own files, and for h5py below 3.15, which has no wheel
for Python 3.14. So TensorFlow and speechgru come without what they ask for, and then the newest release of everything
that they ask for; pip reports the two exceptions as conflicts. What was installed is printed, because nothing pins it.
"""

import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What TensorFlow asks for, and what comes in its place.
IN_PLACE_OF = {"keras-nightly": "keras", "h5py": "h5py"}


def pip_install(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    subprocess.run([*command, *arguments], check=True)
    importlib.invalidate_caches()


def wanted_by(distribution: str, *, extras: tuple[str, ...] = ()) -> list[str]:
    """What an installed distribution and its extras ask for on this Python, other than TensorFlow and itself."""
    from packaging.requirements import Requirement

    wanted = []
    for text in importlib.metadata.requires(distribution) or []:
        requirement = Requirement(text)
        is_wanted = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        if is_wanted and requirement.name not in ("tensorflow", distribution):
            wanted.append(IN_PLACE_OF.get(requirement.name, text.partition(";")[0].strip()))
    return wanted


def main() -> None:
    pip_install("packaging")
    pip_install("--pre", "--no-deps", "tensorflow")
    pip_install("--no-deps", "--editable", str(ROOT))
    pip_install(*wanted_by("tensorflow"), *wanted_by("speechgru", extras=("train", "serve", "dev")))
    for name in ("tensorflow", "keras", "numpy", "h5py", "librosa", "ai-edge-litert"):
        print(name, importlib.metadata.version(name))


if __name__ == "__main__":
    main()
