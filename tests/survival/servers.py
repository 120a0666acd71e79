"""A real server on a data directory, that is killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import requests

if TYPE_CHECKING:
    from collections.abc import Sequence

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.01
_FOREIGN = ("MAAS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
CHUNK_BYTES = 1024


class Server:
    """`maas-server serve` on one data directory.

    Args:
        folder: Where the data directory, the output and the ready file are.
        workers: Worker processes.
    """

    def __init__(self, folder: Path, *, workers: int) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._workers = workers
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it and wait until it answers."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        with (self.folder / "out.txt").open("ab") as output:
            self._process = subprocess.Popen(
                [*self._command(), "--ready-file", str(ready)],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server does not start; its output is in {self.folder / 'out.txt'}")
            time.sleep(_LOOK_SECONDS)
        self.url = json.loads(ready.read_text(encoding="utf-8"))["url"]

    def kill(self) -> None:
        """Kill -9 the supervisor and every worker at once."""
        process, family = self._running, self._family()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # Trials of packages are in a group of their own, and end by themselves.
        psutil.wait_procs(family, timeout=10)

    def kill_worker(self, choose: float) -> None:
        """Kill -9 one worker and wait until the server answers again.

        Args:
            choose: Which, from 0 to 1.
        """
        workers = [each for each in self._family() if _is_worker(each, self._running.pid)]
        victim = workers[int(choose * len(workers))]
        victim.kill()
        victim.wait()
        until = time.monotonic() + _START_SECONDS
        while not self._is_whole():
            if time.monotonic() > until:
                raise RuntimeError("the killed worker is not replaced")
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """End it as an operator does."""
        self._running.terminate()
        self._running.wait(30)

    def end(self) -> None:
        """Leave nothing of it behind."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process

    def _command(self) -> Sequence[str]:
        script = Path(sys.executable).with_name("maas-server")
        return [
            *(str(script), "serve", "--port", "0", "--data-dir", str(self.data)),
            *("--workers", str(self._workers)),
        ]

    def _family(self) -> list[psutil.Process]:
        return psutil.Process(self._running.pid).children(recursive=True)

    def _is_whole(self) -> bool:
        """Tell whether as many workers as there should be are there, and one of them answers."""
        workers = [each for each in self._family() if _is_worker(each, self._running.pid)]
        if len(workers) < self._workers:
            return False
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except requests.RequestException:
            return False


def _is_worker(process: psutil.Process, supervisor: int) -> bool:
    """Tell whether a process is a worker, and not what forks them."""
    try:
        command = " ".join(process.cmdline())
        return "spawn_main" in command or ("forkserver" in command and process.ppid() != supervisor)
    except psutil.Error:
        return False


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {
        **kept,
        "MAAS_SERVER_GRACE_SECONDS": "0",
        "MAAS_SERVER_LANES": "2",
        "MAAS_SERVER_LOGINS_PER_MINUTE": "1000",
        "MAAS_SERVER_REGISTRATIONS_PER_MINUTE": "1000",
        # Far fewer than are published, so that versions are loaded from the store again and again.
        "MAAS_SERVER_MEMORY_BUDGET_BYTES": str(2**26),
        "MAAS_SERVER_UPLOAD_CHUNK_BYTES": str(CHUNK_BYTES),
    }
