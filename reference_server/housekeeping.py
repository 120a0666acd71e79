"""What a worker does beside answering: write its log, publish its metrics, give back memory, forget."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from reference_server.errors import Unavailable
from reference_server.registry import housekeeping, publishing

if TYPE_CHECKING:
    from reference_server.app import Services

_FLUSH_SECONDS = 1.0
_PURGE_EVERY = 600
_log = logging.getLogger(__name__)


class Housekeeping:
    """A background thread of one worker."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the round under way and write what is left."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rounds = 0
        while True:
            stopping = self._stop.wait(_FLUSH_SECONDS)
            self._services.request_log.flush()
            self._services.metrics.publish()
            self._services.pool.tidy()
            try:
                self._services.claims.renew()
                self._services.authenticate.flush()
                if rounds % _PURGE_EVERY == 0:
                    housekeeping.purge(self._services.database)
                    publishing.sweep(self._services.database, self._services.artifacts)
            except (SQLAlchemyError, OSError, Unavailable):
                # A store that is away now may be back in the next round; requests tell their callers.
                _log.exception("housekeeping failed")
            if stopping:
                return
            rounds += 1
