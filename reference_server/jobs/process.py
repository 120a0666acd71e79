"""The process that takes jobs: beside the workers, below them in priority, with one thread a model.

What it needs is imported with its first job, where no process that has it was there to be forked.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import secrets
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reference_server.processes import listen_to_signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from reference_server.jobs.context import Services
    from reference_server.pulse import Pulse
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.registry.job_runs import Claim
    from reference_server.settings import Settings

# How long a new job waits at most for a process that has nothing to do.
_LOOK_SECONDS = 0.5
_SIGN_SECONDS = 10.0
_BEAT_SECONDS = 0.5
_RECOVER_SECONDS = 2.0
# No caller waits for a job that loads a large model.
_LOAD_SECONDS = 600.0
# ONNX Runtime's libraries read it when they are loaded; numpy's BLAS has one thread anyway (`processes.py`).
_THREAD_VARIABLE = "OMP_NUM_THREADS"
_log = logging.getLogger(__name__)


def work_on_jobs(settings: Settings, instance: str, slot: int, pulse: Pulse) -> None:
    """Take jobs and run them until SIGTERM, one at a time.

    Args:
        settings: Those of the server.
        instance: The supervisor's own id.
        slot: Which of its job processes this is: what the one before it in the same slot ran is taken over
            at once, for the supervisor has seen that it is dead.
        pulse: Where it says that it goes on; a job that computes for long does not keep it from that.
    """
    listen_to_signals()
    os.environ[_THREAD_VARIABLE] = "1"
    if hasattr(os, "nice"):  # not on Windows
        os.nice(settings.job_niceness)
    from reference_server.http.request_log import start_logging
    from reference_server.runtime.probe_processes import close as end_trials

    log = start_logging(settings.log_level)
    stop = _stop_with_parent_and_signals(settings.drain_seconds, pulse)
    place = f"{instance}/{slot}/"
    try:
        _Desk(settings, stop, f"{place}{secrets.token_hex(8)}").work(dead=place)
    finally:
        end_trials()
        log.stop()


class _Desk:
    """Looks for jobs and runs what it finds."""

    def __init__(self, settings: Settings, stop: threading.Event, owner: str) -> None:
        from reference_server.registry.artifacts import ArtifactStore
        from reference_server.stores import open_database

        self._settings = settings
        self._stop = stop
        self._owner = owner
        self._database: Database = open_database(settings)
        self._artifacts: ArtifactStore = ArtifactStore(settings.artifacts)
        self._signed = self._recovered = -float("inf")

    def work(self, *, dead: str) -> None:
        """Work until told to stop."""
        from reference_server.registry import job_runs
        from reference_server.registry.faults import STORE_AWAY

        first = True
        while not self._stop.is_set():
            try:
                if first:
                    job_runs.recover(self._database, self._artifacts, dead=dead)
                    first = False
                found = self._look()
            except STORE_AWAY:
                _log.exception("jobs cannot be looked for; trying again")
                found = None
            if found is None:
                self._stop.wait(_LOOK_SECONDS)
            else:
                self._run(found)
        job_runs.sign_out(self._database, self._owner)
        self._database.dispose()

    def _look(self) -> Claim | None:
        from reference_server.jobs.lease import LEASE
        from reference_server.registry import job_runs

        now = time.monotonic()
        if now - self._signed >= _SIGN_SECONDS:
            self._signed = now
            job_runs.sign_in(self._database, self._owner)
        if now - self._recovered >= _RECOVER_SECONDS:
            self._recovered = now
            job_runs.recover(self._database, self._artifacts)
        return job_runs.claim(self._database, self._owner, lease=LEASE)

    def _run(self, claim: Claim) -> None:
        from reference_server.jobs.running import run

        try:
            with self._services() as services:
                run(claim, services, stopping=self._stop.is_set)
        except Exception:  # noqa: BLE001 - logged whole; the process goes on with the next job
            # The store is away: the lease runs out, and whoever comes next takes the job over.
            _log.exception("the end of the job %s could not be written down", claim.job_id)

    @contextmanager
    def _services(self) -> Iterator[Services]:
        from reference_server.jobs.context import Services
        from reference_server.runtime.execution_providers import Providers
        from reference_server.runtime.pool import ModelPool

        settings = self._settings
        pool = ModelPool(
            providers=Providers(
                settings.provider, devices=settings.cuda_devices, gpu_memory_bytes=settings.gpu_memory_bytes
            ),
            memory_budget_bytes=settings.memory_budget_bytes,
            wait_seconds=_LOAD_SECONDS,
        )
        try:
            yield Services(settings, self._database, self._artifacts, pool)
        finally:
            # What the job needed need not stay in memory until the next one comes.
            pool.close()


def _stop_with_parent_and_signals(seconds: float, pulse: Pulse) -> threading.Event:
    """Return what is set when this process is to end, which it has `seconds` for once its parent is dead.

    Until then it gives signs of life.
    """
    stop = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    # A terminal's SIGINT goes to the supervisor too, which then sends SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def watch() -> None:
            pulse.beat()
            while not multiprocessing.connection.wait([sentinel], _BEAT_SECONDS):
                pulse.beat()
            stop.set()
            # A job between two steps may not hear of it for long, and nobody is left to kill it.
            time.sleep(seconds)
            os._exit(1)

        threading.Thread(target=watch, name="watch-parent", daemon=True).start()
    return stop
