"""Token buckets: a steady rate with a burst, for each of a bounded number of subjects.

The buckets are this process's own. Where several processes serve together, each has its share of every rate
and burst; or they keep the buckets in Redis (`shared_limits.py`).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from reference_server.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MOST_SUBJECTS = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may happen.

    Args:
        per_second: The steady rate.
        burst: How many may come at once after a pause.
    """

    per_second: float
    burst: int

    def shared_by(self, processes: int) -> Rate:
        """Return the share of one of several processes: at least one at a time."""
        return self if processes == 1 else Rate(self.per_second / processes, max(1, self.burst // processes))


# Making a frozen object takes a microsecond, and there are few rates.
@lru_cache(maxsize=4096)
def per_minute(count: int) -> Rate:
    """Return the rate whose burst is a minute's."""
    return Rate(count / 60, max(1, count))


@lru_cache(maxsize=4096)
def _share(rate: Rate, processes: int) -> Rate:
    return rate.shared_by(processes)


@dataclass(slots=True)
class Level:
    """What is left of a limit.

    Args:
        left: How much, after what was taken.
        wait: Seconds until as much as was wanted is there; 0 where it was.
        full: Seconds until all of it is there again.
    """

    left: float
    wait: float
    full: float


class Buckets(Protocol):
    """Buckets by subject, wherever they are kept."""

    def take(self, wanted: Sequence[tuple[str, Rate]], *, may_wait: bool = True) -> list[Level] | None:
        """Take one from each of some buckets, or, where one has none left, from none of them.

        Args:
            wanted: Subjects and their rates.
            may_wait: Whether another process may be asked.

        Returns:
            What is left in each; None where another process would have to be asked and may not be.
        """

    def forget(self, subject: str) -> None:
        """Fill a bucket."""


class LocalBuckets:
    """Buckets in this process; those longest untouched are forgotten when there are too many.

    Args:
        processes: How many share each rate.
        clock: Seconds, monotonic.
    """

    def __init__(self, *, processes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes = processes
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, wanted: Sequence[tuple[str, Rate]], *, may_wait: bool = True) -> list[Level]:  # noqa: ARG002 - nobody is asked
        """Take one from each, or from none; see `Buckets.take`."""
        shares = wanted
        if self._processes > 1:
            shares = [(subject, _share(rate, self._processes)) for subject, rate in wanted]
        now = self._clock()
        with self._lock:
            levels = [self._level(subject, rate, now) for subject, rate in shares]
            taken = 1 if all(level >= 1 for level in levels) else 0
            for (subject, _), level in zip(shares, levels, strict=True):
                self._keep(subject, level - taken, now)
        return [
            Level(
                level - taken,
                0.0 if level >= 1 else (1 - level) / rate.per_second,
                (rate.burst - level + taken) / rate.per_second,
            )
            for (_, rate), level in zip(shares, levels, strict=True)
        ]

    def take_one(self, subject: str, rate: Rate) -> float:
        """Take one from a bucket of this process alone; return the seconds until there is one, 0 if taken.

        Args:
            subject: Whose bucket.
            rate: This process's own share.
        """
        now = self._clock()
        with self._lock:
            level = self._level(subject, rate, now)
            allowed = level >= 1
            self._keep(subject, level - 1 if allowed else level, now)
        return 0.0 if allowed else (1 - level) / rate.per_second

    def forget(self, subject: str) -> None:
        """Fill a bucket."""
        with self._lock:
            self._levels.pop(subject, None)

    def _level(self, subject: str, rate: Rate, now: float) -> float:
        known = self._levels.get(subject)
        if known is None:
            return rate.burst
        return min(rate.burst, known[0] + (now - known[1]) * rate.per_second)

    def _keep(self, subject: str, level: float, now: float) -> None:
        self._levels[subject] = (level, now)
        self._levels.move_to_end(subject)
        if len(self._levels) > _MOST_SUBJECTS:
            self._levels.popitem(last=False)


class RateLimit:
    """One rate for many subjects.

    Args:
        buckets: Where they are kept; in this process, with the whole rate, if left out.
        per_minute: The steady rate.
        burst: How many may come at once after a pause.
        what: What is limited, for the message.
        clock: Seconds, monotonic, for buckets in this process.
    """

    def __init__(
        self,
        buckets: Buckets | None = None,
        *,
        per_minute: float,
        burst: int,
        what: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._buckets = buckets or LocalBuckets(clock=clock)
        self._rate = Rate(per_minute / 60, burst)
        self._what = what

    def take(self, subject: str) -> None:
        """Count one call.

        Raises:
            TooManyRequests: With the seconds until the next one is allowed.
        """
        self.take_unless_waiting(subject, may_wait=True)

    def take_unless_waiting(self, subject: str, *, may_wait: bool) -> bool:
        """Count one call; return False, and count nothing, where another process would have to be asked.

        Raises:
            TooManyRequests: As `take`.
        """
        levels = self._buckets.take([(f"{self._what} {subject}", self._rate)], may_wait=may_wait)
        if levels is None:
            return False
        if levels[0].wait:
            raise too_many(self._what, levels[0].wait)
        return True

    def forget(self, subject: str) -> None:
        """Give a subject its whole burst back, as after a log-in that succeeded."""
        self._buckets.forget(f"{self._what} {subject}")


class LocalRateLimit:
    """One rate for many subjects, in this process alone: each prediction passes through one.

    Args:
        rate: The rate of all processes together.
        processes: How many there are.
        what: What is limited, for the message.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, rate: Rate, *, processes: int, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._buckets = LocalBuckets(clock=clock)
        self._rate = rate.shared_by(processes)
        self._what = what

    def take_unless_waiting(self, subject: str, *, may_wait: bool) -> bool:  # noqa: ARG002 - nobody is asked
        """Count one call.

        Raises:
            TooManyRequests: With the seconds until the next one is allowed.
        """
        wait = self._buckets.take_one(subject, self._rate)
        if wait:
            raise too_many(self._what, wait)
        return True


def too_many(what: str, wait: float) -> TooManyRequests:
    """Make the answer for one call too many."""
    return TooManyRequests(f"too many {what}; wait before the next one", retry_after=wait)
