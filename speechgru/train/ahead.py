"""The next step's batches, fetched and prepared beside a step, which leaves processors idle."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Calls a function in a thread of its own, one call before its result is asked for.

    Its calls follow one upon another, as if the caller made them, and a call's error is raised where its result is
    taken.

    Args:
        fetch: what is called.

    >>> ahead = Ahead(iter("abc").__next__)
    >>> ahead.take(), ahead.take(more=False)
    ('a', 'b')
    >>> ahead.close()
    """

    def __init__(self, fetch: Callable[[], T]) -> None:
        self._fetch = fetch
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="speechgru-ahead")
        self._next: Future[T] | None = None

    def take(self, *, more: bool = True) -> T:
        """The next result.

        Args:
            more: whether another will be taken, which the thread then begins with.
        """
        coming, self._next = self._next or self._thread.submit(self._fetch), None
        result = coming.result()
        if more:
            self._next = self._thread.submit(self._fetch)
        return result

    def close(self) -> None:
        """Waits for a call that runs, and forgets its result."""
        self._thread.shutdown(cancel_futures=True)
