"""What is compared: servers, each started as its own users would, and ONNX Runtime without one.

While one is measured the processes of all others stand still (SIGSTOP), so that idle loops take no part of
its cores.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import requests
from load import Call, Outcome, fire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from graphs import Array

HERE = Path(__file__).parent
CHECK_SECONDS = 30
STOP_SECONDS = 20
TOLERANCE = 1e-3


class Contender:
    """Something that answers, with a name and all its processes.

    Args:
        name: What the report calls it.
        pid: The process above all of its processes.

    One that `may_fail` under load is then shown with its failures and without a ratio; others may not.
    """

    may_fail = False

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid

    def check(self) -> None:
        """Raise RuntimeError unless it answers, and rightly."""

    def fire(self, connections: int, seconds: float) -> Outcome:
        """Keep it busy for some seconds."""
        raise NotImplementedError

    def pause(self) -> None:
        """Let all its processes stand still."""
        for process in family(self.pid):
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Let them go on."""
        for process in family(self.pid):
            with suppress(psutil.NoSuchProcess):
                process.resume()


@dataclass(frozen=True)
class Right:
    """The answer that is right, and how to find it in a response.

    Args:
        expected: The model's output, any number of leading axes of one.
        read: Takes it from a response.
    """

    expected: Array
    read: Callable[[requests.Response], Array]


class Server(Contender):
    """A server with a model, and the request that it takes."""

    def __init__(self, name: str, pid: int, call: Call, right: Right) -> None:
        super().__init__(name, pid)
        self.call = call
        self.right = right

    def check(self) -> None:
        """Raise RuntimeError unless each path gives the right answer."""
        for url in self.call.urls:
            reply = requests.post(url, self.call.body, headers=self.call.headers, timeout=CHECK_SECONDS)
            if not reply.ok:
                raise RuntimeError(f"{self.name}: {url} answers {reply.status_code} {reply.text[:500]}")
            given = np.asarray(self.right.read(reply)).reshape(self.right.expected.shape)
            if not np.allclose(given, self.right.expected, rtol=TOLERANCE, atol=TOLERANCE):
                raise RuntimeError(f"{self.name}: {url} answers {given}, not {self.right.expected}")

    def fire(self, connections: int, seconds: float) -> Outcome:
        """Send the request over and over."""
        return fire(self.call, connections=connections, seconds=seconds)


class RawRuntime(Contender):
    """ONNX Runtime in a process of its own; connections mean nothing to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(RAW, process.pid)
        self._process = process
        self.arrangement: str = self._read()["arrangement"]

    def fire(self, connections: int, seconds: float) -> Outcome:  # noqa: ARG002 - as said above
        """Run the best arrangement for some seconds."""
        if self._process.stdin is None:
            raise RuntimeError("the process has no input")
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        found = self._read()
        return Outcome(found["rate"], 0, found["median_ms"])

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the process that runs bare ONNX Runtime has ended")
        found: dict[str, Any] = json.loads(line)
        return found


OURS, FASTAPI, RAW = "this server", "lean FastAPI", "raw ONNX Runtime"


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all below it, user and system together."""
    total = 0.0
    for process in family(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and all below it."""
    return sum(process.memory_info().rss for process in family(pid))


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(
    command: list[str], *, env: Mapping[str, str] | None = None, log: Path, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server while the block lasts; nothing of it is left then."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=folder,
        )
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """End a process and all below it, politely first; also those that stand still."""
    processes = family(process.pid) if process.poll() is None else []
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        os.killpg(process.pid, signal.SIGCONT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    _, left = psutil.wait_procs(processes, timeout=2)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


def wait_until(answers: str, process: subprocess.Popen[bytes], *, seconds: float = 120) -> None:
    """Wait until a URL answers with a status below 400."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}; see its log")
        with suppress(requests.ConnectionError, requests.Timeout):
            if requests.get(answers, timeout=2).ok:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{answers} did not answer in {seconds:g} s")


@contextmanager
def ours(folder: Path, **env: str) -> Iterator[tuple[int, str, str]]:
    """Serve with this project's server, everything on; yield its pid, its URL and an account's API key."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    command = [
        str(Path(sys.executable).with_name("maas-server")),
        *("serve", "--demo", "--provider", "cpu", "--workers", "1", "--port", "0"),
        *("--data-dir", str(folder / "data"), "--ready-file", str(ready)),
    ]
    # The limit is on, and above what a machine can reach.
    settings = {"MAAS_SERVER_CALLS_PER_SECOND": "1000000", **env}
    with running(command, env=settings, log=folder / "ours.log") as process:
        deadline = time.monotonic() + 120
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start; see {folder / 'ours.log'}")
            time.sleep(0.05)
        found = json.loads(ready.read_text())
        yield process.pid, found["url"], found["api_key"]


@contextmanager
def fastapi(model: Path, folder: Path, *, threads: int = 1) -> Iterator[tuple[int, str]]:
    """Serve one model with the lean FastAPI handler; yield its pid and its URL."""
    port = free_port()
    command = [sys.executable, str(HERE / "lean_fastapi.py"), str(model), str(port), str(threads)]
    with running(command, log=folder / f"fastapi-{port}.log") as process:
        wait_until(f"http://127.0.0.1:{port}/docs", process)
        yield process.pid, f"http://127.0.0.1:{port}"


@contextmanager
def raw(name: str, sizes: str) -> Iterator[RawRuntime]:
    """Have ONNX Runtime ready to run one of the benchmark's models by the best of some batch sizes."""
    command = [sys.executable, str(HERE / "raw_runtime.py"), name, sizes]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        try:
            yield RawRuntime(process)
        finally:
            end(process)
