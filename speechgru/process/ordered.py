"""Threads that compute ahead, with results in the items' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def map_in_order(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int, lookahead: int = 2
) -> Generator[_Result, None, None]:
    """The function of each item, computed by threads a few items ahead.

    Args:
        function: called in any thread.
        items: any number of them; consumed one by one, as they are needed.
        workers: threads.
        lookahead: items for each thread that may wait for the one that is next; more of them, so that one slow item
            does not stop the others.

    Yields:
        The results in the items' order.

    Raises:
        Exception: what the function raised, in the place of its result. Nothing is begun afterwards.

    >>> list(map_in_order(abs, [-3, 1, -2], workers=2))
    [3, 1, 2]
    """
    pending: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= lookahead * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
