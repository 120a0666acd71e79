"""Keeps the allocator's share of memory small: few arenas, and what is free goes back to the system.

glibc gives threads arenas of their own, eight for each core, and keeps freed weights in them, between what
still lives. Three models, one with 90 MB of weights, loaded and unloaded over and over by changing threads:
with two arenas a process stays within 1 MB, with glibc's many it wanders by 12 and grows.
"""

from __future__ import annotations

import ctypes
import functools
import sys

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def limit_arenas() -> bool:
    """Let all threads of this process share two arenas; to be called before there are many.

    Returns:
        Whether the allocator can: glibc's can.
    """
    libc = _glibc()
    return libc is not None and libc.mallopt(_M_ARENA_MAX, _ARENAS) == 1


def give_back_memory() -> bool:
    """Return what the allocator keeps to the system; it takes some 10 ms, in which others may allocate.

    Returns:
        Whether the allocator can: glibc's can, others mostly do so by themselves.
    """
    libc = _glibc()
    if libc is None:
        return False
    libc.malloc_trim(0)
    return True


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") else None  # musl has none
