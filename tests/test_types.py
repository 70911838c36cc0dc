"""The package's types, checked by mypy with the project's own settings, and shipped with it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Rooms that are not clean yet. This set only shrinks; an entry is removed when its room passes.
PENDING: frozenset[str] = frozenset(
    {
        "decoding",
        "export",
        "metrics",
        "runtime",
        "scoring",
        "text",
        "tune",
    }
)


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """Mypy's errors over the whole package, a list of lines."""
    pytest.importorskip("mypy", reason="types are checked by mypy, of the dev extra")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path_factory.mktemp("mypy"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if ": error: " in line]


def room_of(line):
    return Path(line.split(":", 1)[0]).parts[1].removesuffix(".py")


def test_every_room_is_typed(errors):
    assert not [line for line in errors if room_of(line) not in PENDING]


def test_the_package_ships_its_types():
    # PEP 561: without this marker, whoever installs the package gets no types from it.
    assert (ROOT / "speechgru" / "py.typed").is_file()
