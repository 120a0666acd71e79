"""`maas-server serve`: from a free port to the announcement that the server is there.

What keeps the workers running is in `supervisor.py`, and what one of them does in `worker.py`.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import ssl
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from reference_server import open_files, processes
from reference_server.supervisor import START_SECONDS, Supervisor
from reference_server.worker import BACKLOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reference_server.settings import Settings

    # A function that can be imported by its name, for it is called in a process of its own.
    Prepare: TypeAlias = Callable[[Settings], Mapping[str, str]]

_PROBE_SECONDS = 0.05
_log = logging.getLogger(__name__)


class StartError(Exception):
    """The server cannot start; the message says why and what to do."""


def serve(settings: Settings, *, ready_file: Path | None, prepare: Prepare | None) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: Every setting.
        ready_file: Where to write JSON with `url`, `pid` and what `prepare` returned, once all is ready.
        prepare: What is to be done before the server counts as ready; runs in a process of its own while the
            workers start.

    Raises:
        StartError: The port is taken, no request is answered, or the ready file cannot be written; and
            whatever `prepare` raises.
        SystemExit: With 1 if a worker cannot start.
    """
    if ready_file is not None and not ready_file.parent.is_dir():
        raise StartError(f"the ready file cannot be written: {ready_file.parent} is no folder; make it first")
    _check_tls(settings)
    _check_open_files(settings)
    context = processes.context()
    instance = secrets.token_hex(12)

    def prepared() -> Mapping[str, str]:
        return processes.call(context, prepare, settings) if prepare is not None else {}

    with _listen(settings) as listener, metrics_folder(settings.workers) as folder:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        # Before several workers do so at once, and not here: what a store needs would stay in memory.
        processes.call(context, open_store, settings)
        supervisor = Supervisor(settings, listener, instance, folder, context)
        announcement = _Announcement(settings, instance, ready_file, prepared, supervisor)
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


def open_store(settings: Settings) -> None:
    """Make the store, or bring its schema up to date.

    Raises:
        StoreError, MasterKeyError: It cannot be opened.
    """
    from reference_server.stores import open_database

    open_database(settings).dispose()


@contextmanager
def metrics_folder(workers: int) -> Iterator[Path | None]:
    """Make the folder in which the workers of this run share their counts, and remove it after them.

    One worker alone needs none and gets None.
    """
    if workers == 1:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="maas-server-metrics-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _check_tls(settings: Settings) -> None:
    """See here, once, whether the workers will be able to use what the settings name."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    from reference_server.tls import Certificates, TlsError

    try:
        Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    except TlsError as error:
        raise StartError(str(error)) from error


def _check_open_files(settings: Settings) -> None:
    """Say so if the system lets the workers have fewer connections than they were set to take."""
    open_files.raise_limit()
    if (most := open_files.most_connections()) < settings.max_connections:
        _log.warning(
            "a worker may have %s files open, which is enough for %s connections and not for the %s of "
            "max_connections; raise the limit (ulimit -n, systemd's LimitNOFILE)",
            open_files.limit(),
            most,
            settings.max_connections,
        )


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
        listener.listen(BACKLOG)
        yield listener


class _Announcement(threading.Thread):
    """Prepares, waits for the workers, and then says that the server is there."""

    def __init__(
        self,
        settings: Settings,
        instance: str,
        ready_file: Path | None,
        prepare: Callable[[], Mapping[str, str]],
        supervisor: Supervisor,
    ) -> None:
        super().__init__(name="announcement", daemon=True)
        self._supervisor = supervisor
        self._settings = settings
        self._instance = instance
        self._ready_file = ready_file
        self._prepare = prepare
        self._prepared: Mapping[str, str] = {}
        self.failure: Exception | None = None

    def run(self) -> None:
        """Announce the server, or stop it and keep why."""
        self._attempt(self._keep_prepared)
        if not _becomes(self._answers):
            self.failure = self.failure or StartError(f"no request was answered within {START_SECONDS:g} s")
        if self.failure is None:
            self._attempt(self._announce)
        if self.failure is not None:
            self._supervisor.stop()

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - `serve` raises it again, in the main thread
            self.failure = error

    def _answers(self) -> bool:
        """Ask whether this server, and no other on the same port, answers."""
        if self._settings.tls_client_ca is not None:
            # We have no certificate that it would take, so it must do that a worker accepts.
            return self._supervisor.serves
        return _instance(self._settings) == self._instance

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


def _becomes(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if condition():
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
