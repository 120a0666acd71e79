"""Page-locked host memory, from which a GPU fetches data by itself and at the bus's full rate.

ONNX Runtime's Python API gives such memory only through plug-in libraries of execution providers, so CUDA's
own runtime is asked (NVIDIA, "CUDA Runtime API", `cudaHostAlloc`). Locking pages takes milliseconds:
blocks are kept and lent again.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import threading
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np

from reference_server.runtime.cuda_parts import runtime_library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_SMALLEST = 2**12
_MOST_KEPT = 2**28
# Visible to every device of the process, whichever was current when it was made.
_PORTABLE = 1


class Allocator(Protocol):
    """Where memory comes from."""

    def allocate(self, size: int) -> int:
        """Return the address of some bytes; MemoryError when there are none to be had."""

    def free(self, address: int) -> None:
        """Give them back."""


class CudaHostMemory:
    """Page-locked memory by CUDA's runtime library, which a proven provider has loaded.

    Args:
        device: The number of the GPU in whose context it is made.

    Raises:
        OSError: The library is not where ONNX Runtime's packages or the loader have it.
    """

    def __init__(self, device: int) -> None:
        self._device = device
        self._library = ctypes.CDLL(runtime_library())

    def allocate(self, size: int) -> int:
        """Return the address of some page-locked bytes."""
        address = ctypes.c_void_p()
        self._check(self._library.cudaSetDevice(self._device))
        self._check(
            self._library.cudaHostAlloc(
                ctypes.byref(address), ctypes.c_size_t(size), ctypes.c_uint(_PORTABLE)
            )
        )
        return address.value or 0

    def free(self, address: int) -> None:
        """Unlock them and give them back."""
        self._library.cudaFreeHost(ctypes.c_void_p(address))

    def _check(self, status: int) -> None:
        if status != 0:
            raise MemoryError(f"CUDA's runtime library gives no page-locked memory: error {status}")


class Staging:
    """Blocks that are lent for a run each and kept between runs.

    Args:
        allocator: Where they come from; None takes ordinary memory.
        most_kept: Bytes that are kept while nobody has them.
    """

    def __init__(self, allocator: Allocator | None, *, most_kept: int = _MOST_KEPT) -> None:
        self._allocator = allocator
        self._most_kept = most_kept
        self._lock = threading.Lock()
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._kept = 0

    @property
    def kept_bytes(self) -> int:
        """Bytes that lie ready."""
        return self._kept

    @contextmanager
    def lend(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Give a block of at least so many bytes while the block of code lasts."""
        rounded = max(_SMALLEST, 1 << (size - 1).bit_length()) if size else _SMALLEST
        address = self._take(rounded)
        if address is None:
            yield np.empty(rounded, np.uint8)
            return
        try:
            yield np.ctypeslib.as_array((ctypes.c_uint8 * rounded).from_address(address))
        finally:
            self._give_back(rounded, address)

    def _take(self, size: int) -> int | None:
        with self._lock:
            if self._free[size]:
                self._kept -= size
                return self._free[size].pop()
        if self._allocator is None:
            return None
        try:
            return self._allocator.allocate(size)
        except MemoryError as error:
            logger.warning("inputs of %d bytes go through ordinary memory: %s", size, error)
            return None

    def _give_back(self, size: int, address: int) -> None:
        with self._lock:
            if self._kept + size <= self._most_kept:
                self._kept += size
                self._free[size].append(address)
                return
        if self._allocator is not None:
            self._allocator.free(address)


@functools.cache
def staging_for(device: int) -> Staging:
    """Return this process's staging memory for a GPU, shared by all models on it."""
    try:
        return Staging(CudaHostMemory(device))
    except OSError as error:
        logger.warning("inputs for cuda:%d go through ordinary memory: %s", device, error)
        return Staging(None)
