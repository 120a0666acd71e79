"""Servers that begin as copies of a process that has loaded everything: the command but for its loading.

Supervisor, workers and what forks them are those of `maas-server serve`. Only where a new interpreter would
begin and load the same once more, a copy of this one goes on. `test_processes.py` and the demo start the
command itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import util
from pathlib import Path

LOADED = "reference_server.loaded"
CAN_FORK = sys.platform == "linux"


class Copy:
    """A process, with the methods of `subprocess.Popen` that tests call."""

    def __init__(self, process):
        self._process = process
        self.pid = process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("maas-server", timeout)
        return self._process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def start(arguments, environment, output):
    """Start `maas-server` with some arguments, its output in a file."""
    # As `processes.py` has it for every server.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([LOADED])
    process = forking.Process(target=run, args=([*map(str, arguments)], environment, str(output)))
    process.start()
    return Copy(process)


def run(arguments, environment, output):
    """Be the command, in a process that is a copy."""
    from reference_server.cli import main
    from reference_server.processes import listen_to_signals

    listen_to_signals()
    os.environ.clear()
    os.environ.update(environment)
    with Path(output).open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    util.spawnv_passfds = spawn
    main(arguments, prog_name="maas-server")


def spawn(_path, arguments, files):
    """Do in a copy of this process what Python's multiprocessing wants done in a new one."""
    child = os.fork()
    if child:
        return child
    try:
        for number in [int(each.name) for each in Path("/proc/self/fd").iterdir()]:
            if number > 2 and number not in files:
                with suppress(OSError):  # of the listing itself
                    os.close(number)
        # What an import of it does for the process that has it.
        sys.modules.pop(LOADED)
        exec(arguments[-1], {"__name__": "__main__"})  # noqa: S102 - what `python -c` would be given
    finally:
        os._exit(0)
