"""What a worker does beside answering: write logs, publish and store what it counted, unload, forget."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from reference_server.registry import (
    comparisons,
    erasures,
    housekeeping,
    job_runs,
    measurements,
    publishing,
    sealing_up,
    usage,
    versions,
)
from reference_server.registry.faults import STORE_AWAY

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from reference_server.app import Services

_FLUSH_SECONDS = 1.0
_PURGE_EVERY = 600
# Should nothing else take jobs of this store, those of a dead process must not look as if they ran.
_RECOVER_EVERY = 15
# Time services set a clock back by less than this, and more often, without anybody noticing.
_CLOCK_SECONDS = 5.0
_log = logging.getLogger(__name__)


class ClockWatch:
    """Tells the operator when the system's clock is set back.

    Nothing breaks by it: order comes from numbers, durations from another clock. But what has a time to end
    (sessions, leases of dead processes) then ends later by as much.

    Args:
        clock: Seconds, as the system tells the time.
        timer: Seconds, monotonic.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._timer = clock, timer
        self._difference = clock() - timer()

    def look(self) -> None:
        """Hold the two clocks against each other."""
        difference = self._clock() - self._timer()
        if (back := self._difference - difference) > _CLOCK_SECONDS:
            _log.warning(
                "the system's clock went back by %.0f s: sessions, and the leases of processes that died "
                "before, hold for that much longer; see to its time service (NTP)",
                back,
            )
        self._difference = difference


class Housekeeping:
    """A background thread of one worker."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stop = threading.Event()
        self._rolled: date | None = None
        self._clock = ClockWatch()
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
            self._clock.look()
            self._services.request_log.flush()
            self._services.metrics.publish()
            self._services.pool.tidy()
            self._services.traffic.keep(self._services.targets.routes())
            try:
                self._services.claims.renew()
                self._services.authenticate.flush()
                self._services.trail.flush(everything=stopping)
                self._unload_gone()
                erasures.finish_pending(self._services.database, self._services.artifacts)
                if rounds % _RECOVER_EVERY == 0:
                    job_runs.recover(self._services.database, self._services.artifacts)
                comparisons.flush(self._services.database, self._services.traffic.sums)
                self._store_counts()
                self._count_explanations()
                self._services.captures.flush()
                self._services.limits.exchange()
                if rounds % _PURGE_EVERY == 0:
                    sealing_up.seal_up(self._services.database, self._services.artifacts)
                    housekeeping.purge(self._services.database)
                    publishing.sweep(self._services.database, self._services.artifacts)
            except STORE_AWAY:
                # A store that is away now may be back in the next round; requests tell their callers.
                _log.exception("housekeeping failed")
            if stopping:
                return
            rounds += 1

    def _unload_gone(self) -> None:
        """Take out of memory what was deleted or retired, in this worker or another."""
        pool = self._services.pool
        if loaded := pool.digests:
            gone = loaded - versions.digests_in_use(self._services.database, loaded)
            if gone:
                # Else a call could still be led to what cannot be loaded again.
                self._services.targets.expire()
            for digest in gone:
                pool.drop(digest)

    def _count_explanations(self) -> None:
        """Count what jobs explained as if this worker had: they have no metrics of their own."""
        for each in job_runs.take_explanations(self._services.database):
            self._services.metrics.model(each.key).explained.extend(each.made)

    def _store_counts(self) -> None:
        """Store what was counted; what cannot be stored now is kept for the next round."""
        measured = self._services.metrics.take()
        try:
            measurements.store(self._services.database, measured)
        except BaseException:
            self._services.metrics.give_back(measured)
            raise
        today = self._services.database.clock().date()
        if today != self._rolled:
            usage.roll(self._services.database)
            self._rolled = today
