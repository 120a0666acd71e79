"""The processes in which packages are tried: one at a time, none left behind.

On Linux a process that has loaded the runtime waits for the next package for a while, so that a publisher of
many waits for its start once.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from reference_server.runtime.probe_child import KEY_VARIABLE, MESSAGE_BYTES, READY
from reference_server.runtime.probe_limits import MAX_ANSWER_BYTES, MAX_LOG_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_server.runtime.probe_limits import Limits
    from reference_server.security.encryption import DataKey

_CHILD = "reference_server.runtime.probe_child"
_START_SECONDS = 60.0
# What it holds is some 60 MB, for as long as a publisher may take for the next package.
_KEPT_SECONDS = 30.0
_CAN_FORK = sys.platform == "linux"

# The child gets no other variable, and so no secret. One thread each, as every thread reserves address space.
_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMPDIR")


class Busy(Exception):  # noqa: N818 - a state, not a failure
    """Another package was being tried for all of the time."""


class AnswerTooLong(Exception):  # noqa: N818 - likewise
    """A trial says more than any package has to tell."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a trial ended: its exit status, or the negative number of a signal, and what it had to say."""

    status: int
    output: bytes


def run(source: IO[bytes], key: DataKey, log: IO[bytes], limits: Limits) -> Ended:
    """Try the package in a file, at its start.

    Args:
        source: The package's zip, sealed; an operating system's file.
        key: What opens it (`security/streams.py`, `SealedTemporary.open`).
        log: Where the child's error output goes; likewise.
        limits: What the trial may take.

    Raises:
        Busy: Another trial did not end in time.
        TimeoutError: The trial took too long and was ended, with whatever it had started.
        AnswerTooLong: Its answer was; it was ended likewise.
    """
    # One at a time: two would take twice the memory that the operator was told of.
    if not _one_at_a_time.acquire(timeout=limits.seconds):
        raise Busy
    try:
        run_one = _waiting.run if _CAN_FORK else _run_alone
        return run_one(source, key, log, limits)
    finally:
        _one_at_a_time.release()


def _run_alone(source: IO[bytes], key: DataKey, log: IO[bytes], limits: Limits) -> Ended:
    arguments = [str(limits.whole_seconds), str(limits.memory_bytes)]
    # Not an argument, which every user of the machine can see.
    process = _start(arguments, secret=key.secret.hex(), stdin=source, stdout=subprocess.PIPE, stderr=log)
    with _ended(process):
        try:
            output, _ = process.communicate(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
    if len(output) > MAX_ANSWER_BYTES:
        raise AnswerTooLong
    return Ended(process.returncode, output)


class _Forking:
    """A process that has loaded the runtime and forks a child for each trial."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._control, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._process = _start(
                [str(number)], pass_fds=[number], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
            )
        self._has_started = False

    def run(self, source: IO[bytes], key: DataKey, log: IO[bytes], limits: Limits) -> Ended:
        if not (self._has_started or self._starts()):
            return self._own_end(log)
        ends_at = time.monotonic() + limits.seconds
        answer, theirs = socket.socketpair()
        with answer:
            with theirs, contextlib.suppress(BrokenPipeError):
                message = f"{limits.whole_seconds} {limits.memory_bytes} {key.secret.hex()}".encode()
                socket.send_fds(self._control, [message], [source.fileno(), theirs.fileno(), log.fileno()])
            output = _received(answer, ends_at)
        status = self._told(within=max(1.0, ends_at - time.monotonic()))
        return Ended(int(status), output) if status else self._own_end(log)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        """End it and whatever it has started."""
        with self._process:
            _kill_group(self._process)
        self._control.close()
        self._log.close()

    def _starts(self) -> bool:
        try:
            self._has_started = self._told(within=_START_SECONDS) == READY
        except TimeoutError:
            raise RuntimeError(f"the probe did not start within {_START_SECONDS:g} s") from None
        return self._has_started

    def _told(self, *, within: float) -> bytes:
        """Return what it says next, or nothing when it has ended."""
        self._control.settimeout(within)
        with contextlib.suppress(ConnectionResetError):
            return self._control.recv(MESSAGE_BYTES)
        return b""

    def _own_end(self, log: IO[bytes]) -> Ended:
        """Return how the process itself ended; it is of no more use."""
        self._log.seek(0)
        log.write(self._log.read(MAX_LOG_BYTES))
        return Ended(self._process.wait(_START_SECONDS), b"")


class _Waiting:
    """The process that waits for the next package; there is one while there is something to do."""

    def __init__(self) -> None:
        self._forking: _Forking | None = None
        self._end: threading.Timer | None = None

    def run(self, source: IO[bytes], key: DataKey, log: IO[bytes], limits: Limits) -> Ended:
        if self._end is not None:
            self._end.cancel()
        if self._forking is not None and self._forking.has_ended():
            self.close()
        forking = self._forking = self._forking or _Forking()
        ended = None
        try:
            ended = forking.run(source, key, log, limits)
        finally:
            if ended is None or ended.status != 0:
                self.close()
            else:
                self._end = threading.Timer(_KEPT_SECONDS, self._close_if_idle)
                self._end.daemon = True
                self._end.start()
        return ended

    def close(self) -> None:
        if self._forking is not None:
            self._forking.close()
            self._forking = None

    def _close_if_idle(self) -> None:
        with _one_at_a_time:
            self.close()


_one_at_a_time = threading.Lock()
_waiting = _Waiting()
atexit.register(_waiting.close)


def close() -> None:
    """End the process that waits for packages, if there is one."""
    with _one_at_a_time:
        _waiting.close()


def _received(answer: socket.socket, ends_at: float) -> bytes:
    """Read to the end, which comes when the last process that could write is gone.

    Raises:
        TimeoutError: It did not come in time.
        AnswerTooLong: There is no end in sight.
    """
    received = bytearray()
    while len(received) <= MAX_ANSWER_BYTES:
        answer.settimeout(max(0.001, ends_at - time.monotonic()))
        chunk = answer.recv(2**16)
        if not chunk:
            return bytes(received)
        received += chunk
    raise AnswerTooLong


def _start(arguments: list[str], *, secret: str = "", **files: object) -> subprocess.Popen[bytes]:
    environment = {**_environment(), **({KEY_VARIABLE: secret} if secret else {})}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return] # noqa: S603 - a module of ours, and numbers
        [sys.executable, "-P", "-m", _CHILD, *arguments], env=environment, start_new_session=True, **files
    )


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave no process behind: not the child, not what it may have started, no zombie, no open pipe."""
    with process:
        try:
            yield
        finally:
            if process.returncode is None:
                _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if os.name != "posix":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
