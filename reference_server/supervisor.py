"""The supervisor: keeps the workers and the job processes running, and ends them.

A process that died is replaced. So is one that is alive and does nothing: its event loop says ten times a
second that it goes on, and one that has not for `hang_seconds` is killed, for nothing else would end it. A
worker whose loop is well but which has a run that does not end is told to drain, and its successor starts at
once: what others have under way there is answered.
"""

from __future__ import annotations

import logging
import multiprocessing.connection
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reference_server.jobs.process import work_on_jobs
from reference_server.pulse import Pulse, Silence
from reference_server.worker import CANNOT_START, Post, work

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from reference_server.processes import Context
    from reference_server.settings import Settings

# How often the supervisor looks whether it is to stop, and how long it waits before it replaces a worker.
_LOOK_SECONDS = 0.1
_RESTART_SECONDS = 0.5
# What a worker has beyond its drain to end in.
_END_SECONDS = 5.0
# Within which a process says something for the first time.
START_SECONDS = 120.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Member:
    """A process in its place.

    Args:
        kind: What it is, for the log.
        start: Starts another one in the same place.
        killed_at: When one that was told to end is killed (monotonic); infinite for who was not.
    """

    kind: str
    process: BaseProcess
    pulse: Pulse
    start: Callable[[], _Member]
    silence: Silence = field(default_factory=Silence)
    killed_at: float = float("inf")


class Supervisor:
    """Keeps the processes running, and ends them: not ready first, then closed, then finished.

    Args:
        settings: Every setting.
        listener: The socket that workers accept from.
        instance: What `/healthz` shows.
        metrics_folder: Where several workers share what they count.
        context: How processes are started.

    Attributes:
        failed: Whether a worker could not start.
    """

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        instance: str,
        metrics_folder: Path | None,
        context: Context,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._instance = instance
        self._metrics_folder = metrics_folder
        self._context = context
        self._draining = context.Event()
        self._stopping = threading.Event()
        self._members: list[_Member] = []
        # Those that were told to end while their successors serve.
        self._leaving: list[_Member] = []
        self._looked = time.monotonic()
        self.failed = False

    def stop(self, *_signal: object) -> None:
        """Begin to end; for any thread and for signals."""
        self._stopping.set()

    @property
    def serves(self) -> bool:
        """Whether a worker accepts connections."""
        return any(each.kind == "worker" and each.pulse.beats for each in self._members)

    def run(self) -> None:
        """Supervise until stopped."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        for _ in range(self._settings.workers):
            self._members.append(self._start_worker())
        for slot in range(self._settings.job_processes):
            self._members.append(self._start_jobs(slot))
        try:
            self._looked = time.monotonic()
            while not self._stopping.is_set():
                sentinels = [each.process.sentinel for each in (*self._members, *self._leaving)]
                multiprocessing.connection.wait(sentinels, _LOOK_SECONDS)
                self._look()
            self._draining.set()
            if not self.failed:
                time.sleep(self._settings.grace_seconds)
        finally:
            self._end_all()

    def _start_worker(self) -> _Member:
        pulse = Pulse(self._context)
        post = Post(self._listener, self._draining, self._instance, self._metrics_folder, pulse)
        process = self._context.Process(target=work, args=(self._settings, post), name="worker")
        process.start()
        return _Member("worker", process, pulse, self._start_worker)

    def _start_jobs(self, slot: int) -> _Member:
        pulse = Pulse(self._context)
        arguments = (self._settings, self._instance, slot, pulse)
        process = self._context.Process(target=work_on_jobs, args=arguments, name="jobs")
        process.start()
        return _Member("job process", process, pulse, lambda: self._start_jobs(slot))

    def _look(self) -> None:
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        self._end_leaving(now)
        for index, member in enumerate(self._members):
            if self._stopping.is_set():
                return
            if not member.process.is_alive():
                self._replace_dead(index, member)
            elif self._is_silent(member, passed):
                _log.error(
                    "the %s %s has given no sign of life for %.0f s; it is killed and replaced",
                    member.kind,
                    member.process.pid,
                    member.silence.seconds,
                )
                member.process.kill()
                member.process.join()
                self._members[index] = member.start()
            elif member.pulse.is_stuck:
                self._relieve(index, member)

    def _is_silent(self, member: _Member, passed: float) -> bool:
        beats = member.pulse.beats
        most = self._settings.hang_seconds if beats else START_SECONDS
        return member.silence.look(beats, passed) > most

    def _replace_dead(self, index: int, member: _Member) -> None:
        if member.kind == "worker" and member.process.exitcode == CANNOT_START:
            # It would fail in the same way each time.
            self.failed = True
            self._stopping.set()
            return
        _log.error(
            "the %s %s ended with status %s and is replaced",
            member.kind,
            member.process.pid,
            member.process.exitcode,
        )
        self._stopping.wait(_RESTART_SECONDS)
        self._members[index] = member.start()

    def _relieve(self, index: int, member: _Member) -> None:
        """Put another in the place of one that has a run which does not end; it drains meanwhile."""
        _log.error(
            "the worker %s has a run that did not end within %g s after its deadline; it is replaced, and "
            "answers what else it has under way",
            member.process.pid,
            self._settings.hang_seconds,
        )
        self._members[index] = member.start()
        member.process.terminate()
        member.killed_at = time.monotonic() + self._settings.drain_seconds + _END_SECONDS
        self._leaving.append(member)

    def _end_leaving(self, now: float) -> None:
        for member in list(self._leaving):
            if member.process.is_alive() and now >= member.killed_at:
                _kill(member)
            if not member.process.is_alive():
                self._leaving.remove(member)

    def _end_all(self) -> None:
        # The port is closed when its last holder closes it.
        self._listener.close()
        everybody = [*self._members, *self._leaving]
        for member in everybody:
            member.process.terminate()
        until = time.monotonic() + self._settings.drain_seconds + _END_SECONDS
        for member in everybody:
            member.process.join(max(0.0, until - time.monotonic()))
            if member.process.is_alive():
                _kill(member)


def _kill(member: _Member) -> None:
    _log.error("the %s %s does not end and is killed", member.kind, member.process.pid)
    member.process.kill()
    member.process.join()
