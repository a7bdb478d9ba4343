"""Keep a worker as small as its work."""

from __future__ import annotations

import ctypes

# From glibc's malloc.h.
M_MMAP_THRESHOLD = -3
M_TRIM_THRESHOLD = -1
LARGE_BYTES = 1024 * 1024


def give_back_freed() -> None:
    """Have large buffers given back to the system when they are freed. Does nothing without glibc.

    glibc raises its threshold for such buffers to the largest one freed so far, up to 32 MiB; chunks then
    live in a heap that stays as large as its worst moment. Measured on one part after another: 20 MB less
    at rest and 17 MB less at the peak.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    mallopt(M_TRIM_THRESHOLD, LARGE_BYTES)
