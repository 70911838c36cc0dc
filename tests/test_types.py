"""The package's types, checked by mypy with the project's own settings, and shipped with it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="checked with the NumPy of Python 3.10 to 3.12; newer types differ"
)
def test_the_package_is_typed(tmp_path):
    pytest.importorskip("mypy", reason="types are checked by mypy, of the dev extra")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert not done.stderr, done.stderr
    assert [line for line in done.stdout.splitlines() if ": error: " in line] == []


def test_the_package_ships_its_types():
    # PEP 561: without this marker, whoever installs the package gets no types from it.
    assert (ROOT / "speechgru" / "py.typed").is_file()
