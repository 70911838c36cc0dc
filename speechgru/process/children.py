"""Command lines of processes that run this package: its own code and what is installed, nothing of the current folder.

Python looks for modules in the current folder first, for `-c` and for `-m`: a user's `statistics.py`, or a `queue.py`
that came with a corpus, would be run in place of the library's.
"""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
# An empty entry is the current folder. Where this package is found by that alone, its own folder stands for it.
_PRELUDE = f"""import sys
sys.path[:] = [place for place in sys.path if place]
import os
if {_ROOT!r} not in map(os.path.realpath, sys.path):
    sys.path.insert(0, {_ROOT!r})
"""


def run_code(code: str, *arguments: str) -> list[str]:
    """The command line of a Python that runs some lines.

    Args:
        code: the lines.
        arguments: what follows in its `sys.argv`.

    >>> run_code("print(1)", "a")[1], run_code("print(1)", "a")[-1]
    ('-c', 'a')
    """
    return [sys.executable, "-c", _PRELUDE + code, *arguments]


def run_module(name: str, *arguments: str) -> list[str]:
    """The command line of a Python that runs a module as its main one, as `python -m` would.

    Args:
        name: of a module of this package; a word of the command line, so that whoever lists processes sees it.
        arguments: what follows in its `sys.argv`.
    """
    code = "import runpy\nrunpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    return run_code(code, name, *arguments)
