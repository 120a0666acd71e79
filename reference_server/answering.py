"""What a worker does most of its life: uvicorn's server, with the front's own protocol on its connections."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import uvicorn

from reference_server.http.connection import Connection
from reference_server.tls import Certificates
from reference_server.worker import BACKLOG

if TYPE_CHECKING:
    from types import FrameType

    from reference_server.app import Services
    from reference_server.http.front import Front
    from reference_server.settings import Settings
    from reference_server.worker import Post

# Uvicorn's server ticks ten times a second; renewed certificates are looked for at one tick of so many.
_TICKS_A_LOOK = 10


class Answering(uvicorn.Server):
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
