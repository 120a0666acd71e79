"""`maas-server serve`: granian's supervisor and workers, from a free port to the last accepted request."""

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
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from reference_server.metrics import shared_folder
from reference_server.registry.database import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.synchronize import Event

    from reference_server.http.front import Front
    from reference_server.settings import Settings

_PROBE_SECONDS = 0.05
_START_SECONDS = 120.0
# Requests make no cycles; looking for some after every 700 objects took 5 % of their time.
_GC_ALLOCATIONS = 50_000
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
    upgrade(settings.database)
    instance = secrets.token_hex(12)
    with _reserved(settings) as port, shared_folder(settings.workers) as metrics_folder:
        settings = settings.model_copy(update={"port": port})
        draining = multiprocessing.get_context("spawn").Event()
        server = _Supervisor(settings, draining)
        announcement = _Announcement(settings, instance, ready_file, prepare)
        announcement.start()
        try:
            loader: Any = partial(load_front, settings, draining, instance, metrics_folder)
            server.serve(target_loader=loader, wrap_loader=False)
        finally:
            if ready_file is not None:
                ready_file.unlink(missing_ok=True)
        if announcement.failure is not None:
            raise announcement.failure


def load_front(settings: Settings, draining: Event, instance: str, metrics_folder: Path | None) -> Front:
    """Make a worker's application; granian calls this in the worker."""
    from reference_server.app import create_app, open_services
    from reference_server.housekeeping import Housekeeping
    from reference_server.http.front import Front
    from reference_server.http.request_log import start_logging
    from reference_server.runtime.execution_providers import ExecutionProviderError

    listener = start_logging(settings.log_level)
    _end_with_parent()
    try:
        services = open_services(
            settings, draining=draining, instance=instance, metrics_folder=metrics_folder
        )
    except ExecutionProviderError as error:
        _log.error("the worker cannot start: %s", error)
        listener.stop()
        sys.exit(1)
    except Exception:  # noqa: BLE001 - logged whole before the worker exits
        # Whatever it was, the worker's end must say it: granian would only report that a worker exited.
        _log.exception("the worker cannot start")
        listener.stop()
        sys.exit(1)
    housekeeping = Housekeeping(services)
    housekeeping.start()

    def close() -> None:
        housekeeping.stop()
        services.close()
        listener.stop()

    front = Front(services, create_app(services=services), on_close=close)
    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS)
    return front


class _Supervisor(MPServer):
    """Granian's, but its readiness turns false before its port closes."""

    def __init__(self, settings: Settings, draining: Event) -> None:
        super().__init__(
            "reference_server",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=10_000),
            websockets=False,
            workers=settings.workers,
            loop=Loops.auto,
            log_level=LogLevels.warning,
            log_access=False,
            ssl_cert=settings.tls_cert,
            ssl_key=settings.tls_key,
            respawn_failed_workers=True,
            workers_kill_timeout=round(settings.drain_seconds),
        )
        self._grace_seconds = settings.grace_seconds
        self._draining = draining

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - granian's signature
        """Say that we are about to stop, and stop after the grace period."""
        if self._draining.is_set():
            return
        self._draining.set()
        stop = partial(super().signal_handler_interrupt, *args, **kwargs)
        threading.Timer(self._grace_seconds, stop).start()


@contextmanager
def _reserved(settings: Settings) -> Iterator[int]:
    """Choose the port and hold it until granian's workers listen on it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as check:
        try:
            check.bind((settings.host, settings.port))
        except OSError as error:
            raise StartError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another --port, "
                "or 0 for a free one"
            ) from error
        port: int = check.getsockname()[1]
    with socket.socket(family, socket.SOCK_STREAM) as held:
        if sys.platform == "linux":
            # Bound but not listening, it keeps the number from other programs; granian binds beside it.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind((settings.host, port))
        yield port


class _Announcement(threading.Thread):
    """Prepares, waits for the workers, and then says that the server is there."""

    def __init__(
        self,
        settings: Settings,
        instance: str,
        ready_file: Path | None,
        prepare: Callable[[], Mapping[str, str]],
    ) -> None:
        super().__init__(name="announcement", daemon=True)
        self._settings = settings
        self._instance = instance
        self._ready_file = ready_file
        self._prepare = prepare
        self._prepared: Mapping[str, str] = {}
        self.failure: Exception | None = None

    def run(self) -> None:
        """Announce the server, or stop it and keep why."""
        self._attempt(self._keep_prepared)
        # Not before granian has its signal handlers, which it has when a worker answers.
        if not _answers(self._settings, self._instance):
            self.failure = self.failure or StartError(f"no request was answered within {_START_SECONDS:g} s")
        if self.failure is None:
            self._attempt(self._announce)
        if self.failure is not None:
            os.kill(os.getpid(), signal.SIGTERM)

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
