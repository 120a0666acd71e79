"""What the processes of a server need, loaded once: imported by the process that they are forked from.

Without ONNX Runtime, which starts a thread: a fork does not take threads along.
"""

from __future__ import annotations

import gc
import signal
from importlib import import_module

_MODULES = (
    "reference_server.cli",  # a new process runs the supervisor's own script, which imports it
    "reference_server.app",
    "reference_server.http.front",
    "reference_server.http.request_log",
    "reference_server.housekeeping",
    "reference_server.jobs.running",
    "reference_server.serving",
    "reference_server.answering",
    "sqlalchemy.dialects.sqlite",
    "uvloop",
)


def _load() -> None:
    # All of it stays: to look for garbage meanwhile would take a seventh of the time for nothing, and a
    # collector that marks it later copies every page in every process.
    gc.disable()
    for module in _MODULES:
        import_module(module)
    from sqlalchemy.orm import configure_mappers

    configure_mappers()
    gc.freeze()
    gc.enable()


_load()
# What is sent to a process that has only just been forked waits until it can be heard (`processes.py`).
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
