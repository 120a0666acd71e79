"""How a server's processes begin: as copies of one that has loaded what they need, where that is safe.

Loading it takes two seconds of processor time. On Linux one process does so, which has no second thread, and
forks each of the others in hundredths of a second (Python's `forkserver`); what they share is in memory once.
Elsewhere the system's own libraries do not survive a fork, and each process loads everything for itself.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

Context: TypeAlias = ForkServerContext | SpawnContext
ResultT = TypeVar("ResultT")

_LOADED = "reference_server.loaded"
# Read when numpy's BLAS is loaded; its threads would compete with the lanes, and none survives a fork.
_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def context() -> Context:
    """Return how processes are started here; the first one of a supervisor waits for the loading."""
    for name in _BLAS_VARIABLES:
        os.environ[name] = "1"
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([_LOADED])
    return forking


def listen_to_signals() -> None:
    """Let SIGTERM through; a new process calls this first.

    It is held back where the process is forked (`loaded.py`), so that a supervisor which ends a process that
    has only just begun is heard.
    """
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def end_with_parent() -> None:
    """Send this process SIGTERM when its supervisor is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


def call(started: Context, function: Callable[..., ResultT], *arguments: object) -> ResultT:
    """Call a function in a process of its own, which is gone afterwards with all that it has loaded.

    Args:
        started: How.
        function: One that can be imported by its name.
        arguments: What it is given, pickled, like what it returns.

    Raises:
        ChildProcessError: It ended without an answer.
        Exception: Whatever the function raised.
    """
    answer, theirs = started.Pipe(duplex=False)
    with answer:
        process = started.Process(target=_answer, args=(theirs, function, arguments), daemon=True)
        with theirs:
            process.start()
        try:
            returned, raised = answer.recv()
        except EOFError:
            process.join()
            told = f"{function.__name__} ended with status {process.exitcode}"
            raise ChildProcessError(told) from None
        process.join()
    if raised is not None:
        raise raised
    result: ResultT = returned
    return result


def _answer(answer: Connection, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    listen_to_signals()
    end_with_parent()
    try:
        returned = function(*arguments)
    except Exception as error:  # noqa: BLE001 - raised again by whoever called
        answer.send((None, error))
    else:
        answer.send((returned, None))
