"""Staging memory: the lending, on this machine's own allocator; page-locked memory is in tests/gpu."""

import ctypes
import logging
import threading

import numpy as np
import pytest

from reference_server.runtime.pinned_memory import Staging


class Heap:
    """The C library's heap, which remembers what it gave."""

    def __init__(self):
        self._library = ctypes.CDLL(None)
        self._library.malloc.restype = ctypes.c_void_p
        self.given = []
        self.taken_back = []

    def allocate(self, size):
        address = self._library.malloc(ctypes.c_size_t(size))
        self.given.append(address)
        return address

    def free(self, address):
        self.taken_back.append(address)
        self._library.free(ctypes.c_void_p(address))


class Empty:
    def allocate(self, size):
        raise MemoryError("none left")

    def free(self, address):
        raise AssertionError("nothing was given")


def test_a_block_is_lent_again():
    """Memory of about the size of before costs no new allocation."""
    heap = Heap()
    staging = Staging(heap)
    for size in (5000, 8192, 4097):
        with staging.lend(size) as block:
            block[:] = 7
            assert block.nbytes == 8192
    assert len(heap.given) == 1
    assert staging.kept_bytes == 8192


def test_blocks_lent_at_once_are_apart():
    """Two runs never share memory, and a third finds both blocks ready."""
    heap = Heap()
    staging = Staging(heap)
    with staging.lend(100) as one, staging.lend(100) as other:
        one[:], other[:] = 1, 2
        assert (one == 1).all()
        assert not np.may_share_memory(one, other)
    assert staging.kept_bytes == 2 * 4096


def test_no_more_is_kept_than_allowed():
    """What exceeds the limit goes back to where it came from."""
    heap = Heap()
    staging = Staging(heap, most_kept=4096)
    with staging.lend(1), staging.lend(1):
        pass
    assert staging.kept_bytes == 4096
    assert len(heap.taken_back) == 1


def test_a_failing_run_gives_its_block_back():
    """An exception loses no memory."""
    staging = Staging(Heap())
    with pytest.raises(ZeroDivisionError), staging.lend(0):
        raise ZeroDivisionError
    assert staging.kept_bytes == 4096


def test_without_page_locked_memory_ordinary_memory_is_taken(caplog):
    """A run goes on, slower, and the log says why."""
    caplog.set_level(logging.WARNING)
    staging = Staging(Empty())
    with staging.lend(10) as block:
        block[:] = 1
    assert "none left" in caplog.text
    assert staging.kept_bytes == 0


def test_many_threads_lend_without_mixing():
    """What a run laid into its block is there until it gives it back."""
    staging, spoilt = Staging(Heap()), []

    def work(value):
        for _ in range(300):
            with staging.lend(64) as block:
                block[:] = value
                if not (block == value).all():
                    spoilt.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not spoilt
    assert staging.kept_bytes <= 4 * 4096
