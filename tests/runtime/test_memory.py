import subprocess
import sys

import pytest

from reference_server.runtime import memory

# Threads that live at the same time get arenas of their own, which `malloc_info` counts.
COUNT = """
import ctypes, sys, tempfile, threading
from reference_server.runtime.memory import limit_arenas
if sys.argv[1] == "limited":
    assert limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
there = threading.Barrier(8)
def allocate():
    libc.malloc(100_000)
    there.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    out = libc.fopen(file.name.encode(), b"w")
    libc.malloc_info(0, ctypes.c_void_p(out))
    libc.fclose(ctypes.c_void_p(out))
    print(file.read().count(b"<heap nr"))
"""


def arenas(mode):
    command = [sys.executable, "-c", COUNT, mode]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(not memory.give_back_memory(), reason="the allocator is not glibc's")
def test_threads_share_two_arenas():
    """Without the limit they have more, each with its own share of what was freed."""
    assert arenas("limited") <= 2 < arenas("free")
