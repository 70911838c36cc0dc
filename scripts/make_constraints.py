"""Writes constraints.txt from tested environments: python scripts/make_constraints.py PYTHON [PYTHON ...].

Each PYTHON is the interpreter of a virtual environment that holds speechgru[dev] (or [dev,peers]) and passed the tests.
One for each Python that speechgru supports, made in a few minutes by

    python3.11 -m venv build/new311
    build/new311/bin/python -m pip install --upgrade --upgrade-strategy eager --editable '.[dev,peers]'

A package that has the same version in all of them stands once; else once for each Python that has it, with a marker:
what is missing in one environment may have no such version for its Python. Names and versions only: no registry's
address.
"""

import collections
import subprocess
import sys
from pathlib import Path

LIST = """
import importlib.metadata, sys
print("%d.%d" % sys.version_info[:2])
for distribution in importlib.metadata.distributions():
    print(distribution.metadata["Name"].lower().replace("_", "-"), distribution.version)
"""
#: tflite-micro has nightly builds only.
LEFT_OUT = {"speechgru", "pip", "setuptools", "tflite-micro", "wheel"}
#: What PyTorch's build for GPUs brings along, and its build for CPUs does not.
LEFT_OUT_PREFIXES = ("nvidia-", "cuda-", "triton")


def main() -> None:
    versions: dict[str, dict[str, str]] = collections.defaultdict(dict)
    pythons = []
    for interpreter in sys.argv[1:]:
        done = subprocess.run([interpreter, "-c", LIST], capture_output=True, text=True, check=True)
        python, *lines = done.stdout.split("\n")
        pythons.append(python)
        for line in filter(None, lines):
            name, version = line.split()
            if name not in LEFT_OUT and not name.startswith(LEFT_OUT_PREFIXES):
                versions[name][python] = version.partition("+")[0]  # "2.13.0+cpu" is a build of 2.13.0
    pythons.sort(key=lambda python: tuple(map(int, python.split("."))))
    lines = [f"# The set that passed the tests on Python {', '.join(pythons)}; scripts/make_constraints.py writes it."]
    for name, by_python in sorted(versions.items()):
        distinct = sorted(set(by_python.values()))
        if len(distinct) == 1 and len(by_python) == len(pythons):
            lines.append(f"{name}=={distinct[0]}")
            continue
        for python in pythons:
            if python in by_python:
                lines.append(f"{name}=={by_python[python]}; python_version == '{python}'")
    Path(__file__).parents[1].joinpath("constraints.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
