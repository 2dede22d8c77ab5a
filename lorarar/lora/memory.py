"""Memory: freed tensors that the process keeps for the next ones."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt, and what they are set to, in bytes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT, _LARGEST = 1 << 28, 1 << 25


def keep_freed_memory() -> None:
    """Let the C library keep up to 256 MB of freed tensors of at most 32 MB each, for the rest of the process.

    Else it returns them to the system at once, and the kernel clears the pages of each new one: half of the time of a
    merge of dense deltas. It has an effect with glibc, on Linux.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, _LARGEST)
            mallopt(_TRIM_THRESHOLD, _KEPT)
