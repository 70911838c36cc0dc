"""Names of a package that load their modules when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__` for names that live in modules which not everybody needs.

    Args:
        package: the package's `__name__`.
        homes: the module that holds each name.

    Example:
        >>> get = lazy_names("speechgru", {"Vocabulary": "speechgru.text"})
        >>> get("Vocabulary")("ab").encode("abba")
        [1, 2, 2, 1]
        >>> get("vocabulary")
        Traceback (most recent call last):
        AttributeError: module 'speechgru' has no attribute 'vocabulary'
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return get
