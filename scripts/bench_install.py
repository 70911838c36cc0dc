"""What installing speechgru on another machine brings: python scripts/bench_install.py [--python 3.10 3.11 ...].

Downloads the wheels that pip would install on an aarch64 Linux (a Raspberry Pi with a 64-bit system) for each version
of Python, and prints what each takes as a download and installed. The requirements are those of the speechgru that is
installed here; `--without pydantic typer` leaves packages out, with all that only they need.
"""

import argparse
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

#: glibc versions of the systems that such wheels are built for; Raspberry Pi OS 12 has 2.36, 13 has 2.41.
GLIBC = (17, 26, 27, 28, 31, 34, 35, 36)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--python", nargs="+", default=["3.10", "3.11", "3.12", "3.13", "3.14"], metavar="VERSION")
    parser.add_argument("--machine", default="aarch64", help="such as aarch64, x86_64 or armv7l")
    parser.add_argument("--without", nargs="+", default=[], metavar="PACKAGE")
    parser.add_argument("--pin", nargs="+", default=[], metavar="REQUIREMENT", help="such as 'ai-edge-litert<2.2'")
    arguments = parser.parse_args()
    required = [r for r in importlib.metadata.requires("speechgru") or () if "extra ==" not in r]
    required = [r for r in required if name_of(r) not in arguments.without] + arguments.pin
    for version in arguments.python:
        with tempfile.TemporaryDirectory() as folder:
            reason = download(required, Path(folder), version=version, machine=arguments.machine)
            if reason:
                print(f"Python {version}, {arguments.machine}: no install ({reason})\n")
                continue
            rows = sorted((weigh(wheel) for wheel in Path(folder).glob("*.whl")), key=lambda row: -row[2])
        print(f"| Python {version}, {arguments.machine} | download, MB | installed, MB |\n|---|---|---|")
        total = ("all of it", sum(row[1] for row in rows), sum(row[2] for row in rows))
        for name, packed, installed in [*rows, total]:
            print(f"| {name} | {packed / 1e6:.1f} | {installed / 1e6:.1f} |")
        print()


def name_of(requirement: str) -> str:
    """A requirement's package, as packages are compared."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]).lower()


def download(required: Iterable[str], folder: Path, *, version: str, machine: str) -> str:
    """Fetches the wheels of requirements and of all that they need; gives pip's reason where there are none."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC] + [f"manylinux2014_{machine}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    command += ["--only-binary", ":all:", "--python-version", version, "--implementation", "cp"]
    for platform in platforms:
        command += ["--platform", platform]
    done = subprocess.run([*command, *required], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return lines[-1].removeprefix("ERROR: ") if done.returncode else ""


def weigh(wheel: Path) -> tuple[str, int, int]:
    """A wheel's package with its version, its bytes, and those of its files."""
    name, version = wheel.name.split("-")[:2]
    with zipfile.ZipFile(wheel) as archive:
        return f"{name} {version}", wheel.stat().st_size, sum(entry.file_size for entry in archive.infolist())


if __name__ == "__main__":
    main()
