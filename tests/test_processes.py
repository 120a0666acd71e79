"""How a server's processes begin."""

from __future__ import annotations

import multiprocessing
import operator
import os
import signal
import subprocess
import sys

import pytest

from reference_server import processes

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked here")


def told(code):
    """Run code in a new interpreter; return how it ended and what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@ON_LINUX
def test_what_is_forked_has_one_thread_and_all_that_workers_need():
    """A second thread would not be there in its copies, and what it held would stay held."""
    code = """
import os, sys
from reference_server import processes
processes.context()
import reference_server.loaded
needed = {"reference_server.app", "reference_server.answering", "reference_server.jobs.running", "uvloop"}
print(len(os.listdir("/proc/self/task")), "onnxruntime" in sys.modules, needed <= sys.modules.keys())
"""
    assert told(code) == (0, "1 False True\n")


def test_a_supervisor_has_loaded_nothing_of_it():
    """Neither the store nor numbers: it stays as small as it began."""
    code = """
import sys
import reference_server.cli, reference_server.serving
print({"sqlalchemy", "numpy", "onnxruntime", "flask", "uvicorn"} & sys.modules.keys())
"""
    assert told(code) == (0, "set()\n")


@ON_LINUX
def test_what_is_told_to_end_while_it_begins_is_heard():
    """SIGTERM waits until the new process listens, and ends it then."""
    code = """
import os, signal
from reference_server.processes import listen_to_signals
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.kill(os.getpid(), signal.SIGTERM)
print("waits", flush=True)
listen_to_signals()
print("never")
"""
    assert told(code) == (-signal.SIGTERM, "waits\n")


def test_a_call_in_a_process_of_its_own_returns_or_raises():
    """What it returns, what it raises, and that it ended without either."""
    spawn = multiprocessing.get_context("spawn")
    assert processes.call(spawn, os.getpid) != os.getpid()
    with pytest.raises(ZeroDivisionError):
        processes.call(spawn, operator.truediv, 1, 0)
    with pytest.raises(ChildProcessError, match="_exit ended with status 7"):
        processes.call(spawn, os._exit, 7)
