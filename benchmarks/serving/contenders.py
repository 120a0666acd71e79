"""The servers that are compared, each started as its own users would and measured with all its processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all below it, user and system together."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and all below it."""
    root = psutil.Process(pid)
    return sum(process.memory_info().rss for process in (root, *root.children(recursive=True)))


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(
    command: list[str], *, env: Mapping[str, str] | None = None, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server while the block lasts."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_until(answers: str, process: subprocess.Popen[bytes], *, seconds: float = 120) -> None:
    """Wait until a URL answers anything."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}; see its log")
        try:
            requests.get(answers, timeout=2)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{answers} did not answer in {seconds:g} s")


@contextmanager
def ours(folder: Path, **env: str) -> Iterator[tuple[int, str, str]]:
    """Serve with this project's server, everything on; yield its pid, its URL and an account's API key."""
    ready = folder / "ready.json"
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
def fastapi(model: Path, folder: Path) -> Iterator[tuple[int, str]]:
    """Serve one model with the lean FastAPI handler; yield its pid and its URL."""
    port = free_port()
    command = [sys.executable, str(HERE / "lean_fastapi.py"), str(model), str(port)]
    with running(command, log=folder / f"fastapi-{port}.log") as process:
        wait_until(f"http://127.0.0.1:{port}/docs", process)
        yield process.pid, f"http://127.0.0.1:{port}"
