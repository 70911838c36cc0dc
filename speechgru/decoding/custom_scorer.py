"""A user's own scorer in decoding: given in Python, or named on a command line."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from speechgru.decoding.scorers import PrefixScorer, Scorer, Spelling
from speechgru.errors import UserError
from speechgru.text import BLANK_ID, Vocabulary, quoted

#: `MODULE:FUNCTION[=ARGUMENT]`; the module's part may hold a colon itself (`C:\scorers.py`).
_NAMED = re.compile(r"(?P<module>.+?):(?P<function>[A-Za-z_]\w*)(?:=(?P<argument>.*))?", re.DOTALL)


@dataclass(frozen=True)
class CustomScorer(Scorer):
    """A scorer of the user's own.

    Args:
        source: a `PrefixScorer`, which fits one vocabulary alone; or a function, or class, that makes one of a
            vocabulary, whose labels are the columns.
        name: what descriptions and records call it.
    """

    source: PrefixScorer | Callable[[Vocabulary], PrefixScorer]
    name: str

    @property
    def description(self) -> str:
        return f"scorer {self.name}"

    def prepared(self, spelling: Spelling) -> CustomScorer:
        return CustomScorer(self.compile(spelling.vocabulary), self.name)

    def compile(self, vocabulary: Vocabulary, *, blank_id: int = BLANK_ID) -> PrefixScorer:
        if isinstance(self.source, PrefixScorer):
            return self.source
        if blank_id != BLANK_ID:
            raise ValueError(f"{self.description} is made for the blank in column {BLANK_ID}, not {blank_id}")
        made = self.source(vocabulary)
        if not isinstance(made, PrefixScorer):
            raise UserError(f"{self.description}: for a vocabulary it must give a PrefixScorer, got {made!r}")
        return made


def as_scorer(given: Any) -> Scorer:
    """What stands in `DecodingOptions.scorers` as a `Scorer`.

    Raises:
        UserError: it is neither a scorer nor a function that makes one.
    """
    if isinstance(given, Scorer):
        return given
    if isinstance(given, PrefixScorer):
        return CustomScorer(given, type(given).__name__)
    if callable(given):
        return CustomScorer(given, getattr(given, "__name__", type(given).__name__))
    raise UserError(
        f"a scorer must be a Scorer, a PrefixScorer or a function that makes one of a vocabulary, got {given!r}"
    )


def load_scorer(named: str) -> CustomScorer:
    """The scorer that `MODULE:FUNCTION` or `MODULE:FUNCTION=ARGUMENT` names.

    This runs the module's code. Nothing but a user's own words names one: no bundle and no configuration does.

    Args:
        named: the module is a file whose name ends in `.py`, or the dotted name of an installed module. The function is
            called with the vocabulary and, where there is one, the argument as text, such as the path of a model; it
            gives a `PrefixScorer`.

    Raises:
        UserError: it is not of this form, or the code cannot be found or fails; names the place in it.
    """
    found = _NAMED.fullmatch(named)
    if found is None:
        raise UserError(
            f"scorer {quoted(named)}: name a function of a Python file or module, such as scorers.py:make or "
            "package.module:make, and after = the argument it takes, if any"
        )
    module_name, function_name, argument = found["module"], found["function"], found["argument"]
    shown = quoted(named)
    with _one_message(shown):
        module = _load_file(Path(module_name)) if module_name.endswith(".py") else importlib.import_module(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"scorer {shown}: {module_name} has no function {function_name}")

    def make(vocabulary: Vocabulary) -> PrefixScorer:
        with _one_message(shown):
            return function(vocabulary) if argument is None else function(vocabulary, argument)

    return CustomScorer(make, named)


@contextlib.contextmanager
def _one_message(shown: str) -> Iterator[None]:
    """Whatever a user's code raises as one message, with the place that raised it."""
    try:
        yield
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(
            f"scorer {shown}: no module is named {quoted(error.name or '')}; name a file (FILE.py), or install it"
        ) from error
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(f"scorer {shown}: {type(error).__name__}: {error} ({place.filename}:{place.lineno})") from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"{path}: no such file; name the Python file that holds the scorer")
    name = f"speechgru scorer {path.resolve()}"  # no name that an import could ask for
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # where dataclasses look a class's module up
    importlib.machinery.SourceFileLoader(name, str(path)).exec_module(module)
    return module
