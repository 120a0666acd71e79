"""A worker: uvicorn's server with the front's own protocol on its connections, from start to drain."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from reference_server.http.connection import Connection
from reference_server.tls import Certificates

if TYPE_CHECKING:
    import socket
    from multiprocessing.synchronize import Event
    from pathlib import Path
    from types import FrameType

    from reference_server.app import Services
    from reference_server.http.front import Front
    from reference_server.pulse import Pulse
    from reference_server.settings import Settings

# Requests make no cycles; looking for some after every 700 objects took 5 % of their time.
_GC_ALLOCATIONS = 50_000
BACKLOG = 2048
# The status of a worker that would fail again.
CANNOT_START = 3
# Uvicorn's server ticks ten times a second; renewed certificates are looked for at one tick of so many.
_TICKS_A_LOOK = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is given by its supervisor.

    Args:
        listener: The socket that all workers accept from.
        draining: Set when the server is about to stop.
        instance: What `/healthz` shows.
        metrics_folder: Where several workers share what they count.
        pulse: Where it says that it goes on.
    """

    listener: socket.socket
    draining: Event
    instance: str
    metrics_folder: Path | None
    pulse: Pulse


def work(settings: Settings, post: Post) -> None:
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
            draining=post.draining,
            instance=post.instance,
            metrics_folder=post.metrics_folder,
            has_job_processes=settings.job_processes > 0,
        )
    except ExecutionProviderError as error:
        _log.error("the worker cannot start: %s", error)
        log.stop()
        sys.exit(CANNOT_START)
    except Exception:  # noqa: BLE001 - logged whole before the worker exits
        _log.exception("the worker cannot start")
        log.stop()
        sys.exit(CANNOT_START)
    housekeeping = Housekeeping(services)
    housekeeping.start()
    front = Front(services, create_app(services=services))
    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS)
    try:
        _Worker(settings, post, services, front).run(sockets=[post.listener])
    finally:
        front.close()
        housekeeping.stop()
        services.close()
        log.stop()


class _Worker(uvicorn.Server):
    """Uvicorn's, but it ends when its supervisor says so, and then in peace."""

    def __init__(self, settings: Settings, post: Post, services: Services, front: Front) -> None:
        super().__init__(_config(settings, front))
        self._settings, self._post, self._services, self._front = settings, post, services, front
        self._certificates: Certificates | None = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            self._certificates = Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
            self.config.ssl = self._certificates.context

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Drain on SIGTERM; a terminal's SIGINT goes to the supervisor too, which sends that."""
        if sig == signal.SIGTERM:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Say that the loop goes on, and look what has changed around it."""
        self._post.pulse.beat(is_stuck=self._services.lanes.overdue > self._settings.hang_seconds)
        if self._post.draining.is_set():
            self._front.is_parting = True
        if self._certificates is not None and counter % _TICKS_A_LOOK == 0:
            # On the loop, so that no handshake begins between the certificate and its key.
            self._certificates.renew()
        return await super().on_tick(counter)


def _config(settings: Settings, front: Front) -> uvicorn.Config:
    config = uvicorn.Config(
        front,  # type: ignore[arg-type] # no ASGI: its connections speak with it directly
        http=Connection,  # type: ignore[arg-type] # a buffered protocol, which asyncio takes as well
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=round(settings.drain_seconds),
    )
    config.load()
    return config


def _end_with_parent() -> None:
    """Stop this worker when its supervisor is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
