"""What the C library does with memory that a process frees."""

from __future__ import annotations

import ctypes
import platform

#: Parameters of `mallopt`, as glibc's malloc.h numbers them.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Bytes. Older versions of glibc refuse to raise the second one further.
_KEPT, _LARGEST = 2**30, 2**25


def keep_freed_memory() -> bool:
    """Lets the process keep memory that it frees for what it allocates next.

    A step of training frees tens of megabytes that the next one needs again. glibc gives such blocks back to the
    kernel, which clears each page that is asked for anew: a tenth of the step's time on a processor.

    Returns:
        Whether the C library can be asked for that: glibc can.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and bool(mallopt(_MMAP_THRESHOLD, _LARGEST))
