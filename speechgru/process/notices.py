"""What compiled code prints past Python's streams, and says nothing to the person who runs a command."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

#: One at a time, and by the same thread also inside another: standard error is the process's.
_lock = threading.RLock()


@contextlib.contextmanager
def without_notices(pattern: bytes) -> Iterator[None]:
    """Keeps lines of compiled code off standard error; all else that such code writes meanwhile comes right after.

    The libraries have no switch for them. What Python writes meanwhile, such as progress or the last line before a
    signal ends the process, is shown at once. With `TF_CPP_MIN_LOG_LEVEL` at 0 everything is shown.

    Args:
        pattern: a regular expression that the beginning of such a line matches.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    notice = re.compile(pattern)
    with _lock, tempfile.TemporaryFile() as written:
        try:
            shown = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        try:
            with _shown_at_once(shown):
                os.dup2(written.fileno(), 2)
                try:
                    yield
                finally:
                    os.dup2(shown, 2)
                    written.seek(0)
                    rest = b"".join(line for line in written if not notice.match(line))
                    with contextlib.suppress(OSError):
                        os.write(shown, rest)
        finally:
            os.close(shown)


class _Shown:
    """A text stream's stand-in that writes to another descriptor.

    Args:
        stream: whose encoding and answers it has.
        descriptor: where it writes.
    """

    def __init__(self, stream: Any, descriptor: int):
        self._stream, self._descriptor = stream, descriptor

    def __getattr__(self, name: str) -> Any:
        if name == "rich_proxied_file":  # Rich would write to the stream behind a stream, which is collected now
            raise AttributeError(name)
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.write(self._descriptor, text.encode(self._stream.encoding or "utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""


@contextlib.contextmanager
def _shown_at_once(descriptor: int) -> Iterator[None]:
    """Within it, Python's standard error is a descriptor, if it was the process's."""
    stream = sys.stderr
    try:
        is_the_process = stream.fileno() == 2
    except (AttributeError, OSError, ValueError):  # a test's, or none
        is_the_process = False
    if not is_the_process:
        yield
        return
    stream.flush()
    sys.stderr = stand_in = _Shown(stream, descriptor)
    try:
        yield
    finally:
        if sys.stderr is stand_in:
            sys.stderr = stream
