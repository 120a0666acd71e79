"""`maas-server serve`: a supervisor and its workers, from a free port to the last accepted request.

The supervisor holds the listening socket and replaces workers that die; each worker is uvicorn's server with
the front's own protocol on its connections.
"""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import multiprocessing.connection
import os
import secrets
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from reference_server.http.connection import Connection
from reference_server.jobs.process import work_on_jobs
from reference_server.metrics import shared_folder
from reference_server.stores import open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.context import SpawnProcess
    from multiprocessing.synchronize import Event
    from types import FrameType

    from reference_server.http.front import Front
    from reference_server.settings import Settings

_PROBE_SECONDS = 0.05
_START_SECONDS = 120.0
# Requests make no cycles; looking for some after every 700 objects took 5 % of their time.
_GC_ALLOCATIONS = 50_000
_BACKLOG = 2048
# How often the supervisor looks whether it is to stop, and how long it waits before it replaces a worker.
_LOOK_SECONDS = 0.1
_RESTART_SECONDS = 0.5
# What a worker has beyond its drain to end in.
_END_SECONDS = 5.0
# The status of a worker that would fail again.
_CANNOT_START = 3
_log = logging.getLogger(__name__)


class StartError(Exception):
    """The server cannot start; the message says why and what to do."""


def serve(settings: Settings, *, ready_file: Path | None, prepare: Callable[[], Mapping[str, str]]) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: Every setting.
        ready_file: Where to write JSON with `url`, `pid` and what `prepare` returned, once all is ready.
        prepare: What is to be done before the server counts as ready; runs while its workers start.

    Raises:
        StartError: The port is taken, no request is answered, or the ready file cannot be written; and
            whatever `prepare` raises.
        SystemExit: With 1 if a worker cannot start.
    """
    if ready_file is not None and not ready_file.parent.is_dir():
        raise StartError(f"the ready file cannot be written: {ready_file.parent} is no folder; make it first")
    # A forked worker would inherit threads' locks; the spawned one starts clean.
    multiprocessing.set_start_method("spawn", force=True)
    open_database(settings).dispose()
    instance = secrets.token_hex(12)
    with _listen(settings) as listener, shared_folder(settings.workers) as metrics_folder:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        supervisor = _Supervisor(settings, listener, instance, metrics_folder)
        announcement = _Announcement(settings, instance, ready_file, prepare, failed=supervisor.stop)
        announcement.start()
        try:
            supervisor.run()
        finally:
            if ready_file is not None:
                ready_file.unlink(missing_ok=True)
        if announcement.failure is not None:
            raise announcement.failure
    if supervisor.failed:
        sys.exit(1)


def work(
    settings: Settings,
    listener: socket.socket,
    draining: Event,
    instance: str,
    metrics_folder: Path | None,
) -> None:
    """Answer requests in this process until SIGTERM: what a worker does.

    Raises:
        SystemExit: With `CANNOT_START` if what the settings ask for is not there.
    """
    from reference_server.app import create_app, open_services
    from reference_server.housekeeping import Housekeeping
    from reference_server.http.front import Front
    from reference_server.http.request_log import start_logging
    from reference_server.runtime.execution_providers import ExecutionProviderError
    from reference_server.runtime.memory import limit_arenas

    limit_arenas()
    log = start_logging(settings.log_level)
    _end_with_parent()
    try:
        services = open_services(
            settings,
            draining=draining,
            instance=instance,
            metrics_folder=metrics_folder,
            has_job_processes=settings.job_processes > 0,
        )
    except ExecutionProviderError as error:
        _log.error("the worker cannot start: %s", error)
        log.stop()
        sys.exit(_CANNOT_START)
    except Exception:  # noqa: BLE001 - logged whole before the worker exits
        _log.exception("the worker cannot start")
        log.stop()
        sys.exit(_CANNOT_START)
    housekeeping = Housekeeping(services)
    housekeeping.start()
    front = Front(services, create_app(services=services))
    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS)
    try:
        _Worker(_worker_config(settings, front)).run(sockets=[listener])
    finally:
        front.close()
        housekeeping.stop()
        services.close()
        log.stop()


def _worker_config(settings: Settings, front: Front) -> uvicorn.Config:
    return uvicorn.Config(
        front,  # type: ignore[arg-type] # no ASGI: its connections speak with it directly
        http=Connection,  # type: ignore[arg-type] # a buffered protocol, which asyncio takes as well
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=None if settings.tls_key is None else str(settings.tls_key),
        timeout_graceful_shutdown=round(settings.drain_seconds),
    )


class _Worker(uvicorn.Server):
    """Uvicorn's, but it ends when its supervisor says so, and then in peace."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Drain on SIGTERM; a terminal's SIGINT goes to the supervisor too, which sends that."""
        if sig == signal.SIGTERM:
            self.should_exit = True


class _Supervisor:
    """Keeps the workers running, and ends them: not ready first, then closed, then finished."""

    def __init__(
        self, settings: Settings, listener: socket.socket, instance: str, metrics_folder: Path | None
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._instance = instance
        self._metrics_folder = metrics_folder
        self._context = multiprocessing.get_context("spawn")
        self._draining = self._context.Event()
        self._stopping = threading.Event()
        self._workers: list[SpawnProcess] = []
        self._job_processes: list[SpawnProcess] = []
        self.failed = False

    def stop(self, *_signal: object) -> None:
        """Begin to end; for any thread and for signals."""
        self._stopping.set()

    def run(self) -> None:
        """Supervise until stopped."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        self._workers = [self._start() for _ in range(self._settings.workers)]
        self._job_processes = [self._start_jobs(slot) for slot in range(self._settings.job_processes)]
        try:
            while not self._stopping.is_set():
                multiprocessing.connection.wait([each.sentinel for each in self._all], _LOOK_SECONDS)
                self._replace_dead()
            self._draining.set()
            if not self.failed:
                time.sleep(self._settings.grace_seconds)
        finally:
            self._end_workers()

    def _start(self) -> SpawnProcess:
        arguments = (
            self._settings,
            self._listener,
            self._draining,
            self._instance,
            self._metrics_folder,
        )
        process = self._context.Process(target=work, args=arguments, name="worker")
        process.start()
        return process

    def _start_jobs(self, slot: int) -> SpawnProcess:
        arguments = (self._settings, self._instance, slot)
        process = self._context.Process(target=work_on_jobs, args=arguments, name="jobs")
        process.start()
        return process

    @property
    def _all(self) -> list[SpawnProcess]:
        return [*self._workers, *self._job_processes]

    def _replace_dead(self) -> None:
        self._replace_dead_workers()
        for slot, process in enumerate(self._job_processes):
            if process.is_alive() or self._stopping.is_set():
                continue
            _log.error(
                "the job process %s ended with status %s and is replaced", process.pid, process.exitcode
            )
            self._stopping.wait(_RESTART_SECONDS)
            self._job_processes[slot] = self._start_jobs(slot)

    def _replace_dead_workers(self) -> None:
        for index, process in enumerate(self._workers):
            if process.is_alive() or self._stopping.is_set():
                continue
            if process.exitcode == _CANNOT_START:
                # It would fail in the same way each time.
                self.failed = True
                self._stopping.set()
                return
            _log.error("the worker %s ended with status %s and is replaced", process.pid, process.exitcode)
            self._stopping.wait(_RESTART_SECONDS)
            self._workers[index] = self._start()

    def _end_workers(self) -> None:
        # The port is closed when its last holder closes it.
        self._listener.close()
        for process in self._all:
            process.terminate()
        until = time.monotonic() + self._settings.drain_seconds + _END_SECONDS
        for process in self._all:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                _log.error("the process %s does not end and is killed", process.pid)
                process.kill()
                process.join()


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise StartError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another --port, "
                "or 0 for a free one"
            ) from error
        listener.listen(_BACKLOG)
        yield listener


class _Announcement(threading.Thread):
    """Prepares, waits for the workers, and then says that the server is there."""

    def __init__(
        self,
        settings: Settings,
        instance: str,
        ready_file: Path | None,
        prepare: Callable[[], Mapping[str, str]],
        *,
        failed: Callable[[], None],
    ) -> None:
        super().__init__(name="announcement", daemon=True)
        self._failed = failed
        self._settings = settings
        self._instance = instance
        self._ready_file = ready_file
        self._prepare = prepare
        self._prepared: Mapping[str, str] = {}
        self.failure: Exception | None = None

    def run(self) -> None:
        """Announce the server, or stop it and keep why."""
        self._attempt(self._keep_prepared)
        if not _answers(self._settings, self._instance):
            self.failure = self.failure or StartError(f"no request was answered within {_START_SECONDS:g} s")
        if self.failure is None:
            self._attempt(self._announce)
        if self.failure is not None:
            self._failed()

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - `serve` raises it again, in the main thread
            self.failure = error

    def _keep_prepared(self) -> None:
        self._prepared = self._prepare()

    def _announce(self) -> None:
        settings, pid = self._settings, os.getpid()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"{'https' if settings.tls_cert else 'http'}://{host}:{settings.port}"
        if self._ready_file is not None:
            try:
                _write_atomically(self._ready_file, {"url": url, "pid": pid, **self._prepared})
            except OSError as error:
                raise StartError(f"the ready file cannot be written: {error}") from error
        print(f"Serving on {url} (pid {pid})", flush=True)  # noqa: T201 - for who started it


def _answers(settings: Settings, instance: str) -> bool:
    """Ask until this server, and no other on the same port, answers."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if _instance(settings) == instance:
            return True
        time.sleep(_PROBE_SECONDS)
    return False


def _instance(settings: Settings) -> str | None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    connection: HTTPConnection
    if settings.tls_cert is None:
        connection = HTTPConnection(host, settings.port, timeout=1)
    else:
        # The certificate need not name the address that we bind; that it is us, the instance proves.
        connection = HTTPSConnection(host, settings.port, timeout=1, context=_unverified())
    try:
        connection.request("GET", "/healthz")
        reply: dict[str, str] = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return reply.get("instance")


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _write_atomically(path: Path, content: Mapping[str, object]) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:  # 0600, as `mkstemp` makes it: there may be keys in it
        json.dump(content, file)
    Path(name).replace(path)


def _end_with_parent() -> None:
    """Stop this worker when its supervisor is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
