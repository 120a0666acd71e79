"""Which limits there are and where they are counted: wiring, from the settings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

from reference_server.registry import row_counts
from reference_server.security.delays import LocalFailures, LogInDelays
from reference_server.security.quotas import StoredQuotas
from reference_server.security.rate_limits import LocalBuckets, LocalRateLimit, Rate, RateLimit
from reference_server.security.shared_limits import (
    LeasedBuckets,
    RedisLink,
    SharedBuckets,
    SharedFailures,
    SharedQuotas,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.registry.database import Database
    from reference_server.security.delays import Failures
    from reference_server.security.quotas import Quotas
    from reference_server.security.rate_limits import Buckets
    from reference_server.settings import Settings

_log = logging.getLogger(__name__)
_PREDICTIONS = "predictions with this credential"


@dataclass(frozen=True, slots=True)
class LimitCounters:
    """What counts.

    Args:
        calls: Predictions by credential, by the second.
        requests: Requests by the budgets' subjects, by the minute.
        rows: Instances by the budgets' subjects, by the day.
        stored: Those in the store.
        logins: Tries to log in, by the minute.
        delays: What slows down guesses.
        registrations: Registrations by address, by the minute.
        link: To Redis, where there is one.
        database: The store.
    """

    calls: RateLimit | LocalRateLimit
    requests: Buckets
    rows: Quotas
    stored: StoredQuotas
    logins: RateLimit
    delays: LogInDelays
    registrations: RateLimit
    link: RedisLink | None
    database: Database

    def exchange(self) -> None:
        """Tell the store what was used, and hear what others used and jobs gave back; once a second."""
        self.stored.exchange()
        if self.link is not None:
            today = self.database.clock().astimezone(UTC).date()
            for subject, rows in row_counts.take_given_back(self.database, today).items():
                self.rows.give_back([subject], rows)

    def close(self) -> None:
        """Close the connection to Redis."""
        if self.link is not None:
            self.link.close()


def open_limits(
    settings: Settings, database: Database, *, worker: int, timer: Callable[[], float]
) -> LimitCounters:
    """Make what counts, and say in the log how workers share the limits.

    Args:
        settings: Every setting.
        database: The store, whose clock the days follow.
        worker: The number of this worker, from 0, which its successor takes over.
        timer: Seconds, monotonic.
    """
    workers = settings.workers
    # Several job processes count nothing: what a job is to do is counted when it is asked for.
    buckets: Buckets = LocalBuckets(processes=workers, clock=timer)
    failures: Failures = LocalFailures(processes=workers, clock=timer)
    stored = StoredQuotas(
        partial(row_counts.claim, database, worker=worker, workers=workers),
        processes=workers,
        clock=database.clock,
    )
    rows: Quotas = stored
    calls_rate = Rate(settings.calls_per_second, max(1, round(settings.calls_per_second)))
    calls: RateLimit | LocalRateLimit = LocalRateLimit(
        calls_rate, processes=workers, what=_PREDICTIONS, clock=timer
    )
    link = None if settings.rate_limit_url is None else RedisLink(settings.rate_limit_url, clock=timer)
    if link is not None:
        shared = SharedBuckets(link, buckets)
        calls = RateLimit(
            LeasedBuckets(shared, buckets, clock=timer),
            per_minute=settings.calls_per_second * 60,
            burst=calls_rate.burst,
            what=_PREDICTIONS,
        )
        buckets, failures = shared, SharedFailures(link, failures)
        rows = SharedQuotas(link, stored, clock=database.clock)
    _log.info("%s", _told(settings))
    return LimitCounters(
        calls=calls,
        requests=buckets,
        rows=rows,
        stored=stored,
        logins=_by_minute(buckets, settings.logins_per_minute, "log-in tries"),
        delays=LogInDelays(failures, free=settings.log_in_free_tries),
        registrations=_by_minute(buckets, settings.registrations_per_minute, "registrations"),
        link=link,
        database=database,
    )


def _by_minute(buckets: Buckets, per_minute: float, what: str) -> RateLimit:
    return RateLimit(buckets, per_minute=per_minute, burst=max(1, round(per_minute)), what=what)


def _told(settings: Settings) -> str:
    if settings.rate_limit_url is not None:
        return "rate limits are shared by all workers through Redis"
    if settings.workers == 1:
        return "rate limits are counted in the memory of the only worker"
    return (
        f"rate limits are divided by the number of workers, {settings.workers}: each allows its part, and a "
        "call of more rows than are left of a day's to its worker may have to wait for what the others hold; "
        "give rate_limit_url to count together"
    )
