"""The C library's allocator, told to keep what tensors give back.

glibc maps every block above 32 MB anew and unmaps it when it is freed, and gives back the heap's free end. A
training step frees all that the next one needs, so the kernel clears the same pages again at each: most of the time
of a transform of 65,536 samples, and a cost that grows faster than the length (docs/performance.md).
"""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_NEVER = -1
_LARGEST = 2**31 - 1  # a C int
_STEP = 2**28  # bytes by which the heap grows: fewer calls for more


def keep_freed_memory() -> bool:
    """Have freed memory kept for this process's next tensors; return whether the allocator takes the order.

    The process keeps the most memory that it ever used until it ends. Only glibc takes it: elsewhere nothing
    changes.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is None:
        return False
    orders = {_MMAP_THRESHOLD: _LARGEST, _TRIM_THRESHOLD: _NEVER, _TOP_PAD: _STEP}
    taken = [mallopt(name, value) == 1 for name, value in orders.items()]
    return all(taken)


def _libc() -> ctypes.CDLL | None:
    """Return the functions of this process, or None where they cannot be asked for by name (Windows)."""
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
