"""Limits that several processes, or several machines, share through Redis.

Each question is one script, which Redis runs as a whole: nothing comes between the look and the change. Times
are Redis' own, so that clocks need not agree. While Redis cannot be asked, each process counts by itself, its
share of each limit, and says so in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from reference_server.security import redis_scripts as scripts
from reference_server.security.delays import FIRST_SECONDS, FORGOTTEN_SECONDS, KNOWN_SECONDS, LONGEST_SECONDS
from reference_server.security.quotas import seconds_to_midnight
from reference_server.security.rate_limits import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from redis import Redis

    from reference_server.security.delays import Failures, Subject
    from reference_server.security.quotas import Quotas
    from reference_server.security.rate_limits import Buckets, Rate

_PREFIX = "maas:"
_ANSWER_SECONDS = 0.25
# After a failure the next question is for so long answered here, without trying again.
_PAUSE_SECONDS = 1.0
# How much of a second's calls a process fetches at once, and for how long it may spend them.
_LEASED_SECONDS = 0.02
_LEASE_SECONDS = 1.0
_MOST_LEASES = 10_000

_log = logging.getLogger(__name__)


class RedisLink:
    """The connection to Redis, and what is done while there is none.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        clock: Seconds, monotonic.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError
        from redis.retry import Retry

        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
            # A script that was carried out and whose answer was lost would count twice.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._failures: tuple[type[Exception], ...] = (RedisError, OSError)
        self._clock = clock
        self._silent_until = 0.0
        self._is_lost = False
        self._scripts: dict[str, Any] = {}

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[float | str]) -> Any:  # noqa: ANN401 - what the script returns
        """Return what a script returns, or None while Redis cannot be asked."""
        if self._clock() < self._silent_until:
            return None
        registered = self._scripts.get(script)
        if registered is None:
            registered = self._scripts[script] = self._redis.register_script(script)
        try:
            answer = registered(keys=[f"{_PREFIX}{key}" for key in keys], args=list(arguments))
        except self._failures as error:
            self._lost(error)
            return None
        if self._is_lost:
            self._is_lost = False
            _log.warning("Redis answers again: limits are shared by all workers")
        return answer

    def close(self) -> None:
        """Close its connections."""
        self._redis.close()

    def _lost(self, error: Exception) -> None:
        self._silent_until = self._clock() + _PAUSE_SECONDS
        if not self._is_lost:
            self._is_lost = True
            _log.error(
                "Redis cannot be asked (%s): until it answers, each worker counts by itself, its share of "
                "each limit",
                error,
            )


class SharedBuckets:
    """Buckets in Redis; this process's own while it cannot be asked."""

    def __init__(self, link: RedisLink, instead: Buckets) -> None:
        self._link = link
        self._instead = instead

    def take(self, wanted: Sequence[tuple[str, Rate]], *, may_wait: bool = True) -> list[Level] | None:
        """Take one from each, or from none; see `Buckets.take`."""
        if not may_wait:
            return None
        found = self.take_many(wanted, 1)
        if found is None:
            return self._instead.take(wanted)
        taken, levels = found
        return [
            Level(
                level - taken,
                0.0 if level >= 1 else (1 - level) / rate.per_second,
                (rate.burst - level + taken) / rate.per_second,
            )
            for (_, rate), level in zip(wanted, levels, strict=True)
        ]

    def take_many(self, wanted: Sequence[tuple[str, Rate]], most: int) -> tuple[int, list[float]] | None:
        """Take as many from each as all have, up to some number.

        Returns:
            How many, and the levels before; None while Redis cannot be asked.
        """
        arguments = [part for _, rate in wanted for part in (rate.per_second, rate.burst)]
        answer = self._link.run(
            scripts.TAKE, [f"bucket:{subject}" for subject, _ in wanted], [most, *arguments]
        )
        return None if answer is None else (int(answer[0]), [float(level) for level in answer[1:]])

    def forget(self, subject: str) -> None:
        """Fill a bucket."""
        self._instead.forget(subject)
        self._link.run(scripts.END, [f"bucket:{subject}"], [1])


@dataclass(slots=True)
class _Lease:
    """Calls that were fetched and not spent.

    Args:
        left: How many.
        until: When they are worth nothing any more.
    """

    left: int
    until: float


class LeasedBuckets:
    """Buckets in Redis from which a process fetches some calls at once: it asks once for many of them.

    What it does not spend within a second is lost, so that all together never come to more than the rate.
    """

    def __init__(
        self, shared: SharedBuckets, instead: Buckets, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shared = shared
        self._instead = instead
        self._clock = clock
        self._leases: dict[str, _Lease] = {}
        self._lock = threading.Lock()

    def take(self, wanted: Sequence[tuple[str, Rate]], *, may_wait: bool = True) -> list[Level] | None:
        """Take one from the only bucket that is wanted; see `Buckets.take`."""
        ((subject, rate),) = wanted
        now = self._clock()
        with self._lock:
            lease = self._leases.get(subject)
            if lease is not None and lease.left and lease.until > now:
                lease.left -= 1
                return [Level(lease.left, 0.0, 0.0)]
        if not may_wait:
            return None
        found = self._shared.take_many(wanted, max(1, int(rate.per_second * _LEASED_SECONDS)))
        if found is None:
            return self._instead.take(wanted)
        taken, (level,) = found
        if not taken:
            return [Level(level, (1 - level) / rate.per_second, 0.0)]
        with self._lock:
            self._keep(subject, taken - 1, now)
        return [Level(taken - 1, 0.0, 0.0)]

    def forget(self, subject: str) -> None:
        """Fill a bucket."""
        self._shared.forget(subject)

    def _keep(self, subject: str, left: int, now: float) -> None:
        lease = self._leases.get(subject)
        if lease is not None and lease.until > now:
            # Two threads fetched some at the same time.
            lease.left += left
            return
        if len(self._leases) > _MOST_LEASES:
            self._leases = {name: each for name, each in self._leases.items() if each.until > now}
        self._leases[subject] = _Lease(left, now + _LEASE_SECONDS)


class SharedQuotas:
    """Rows of a day in Redis; those of the store while it cannot be asked.

    Args:
        link: Where they are.
        instead: What counts them meanwhile.
        clock: The time, aware.
    """

    def __init__(self, link: RedisLink, instead: Quotas, *, clock: Callable[[], datetime]) -> None:
        self._link = link
        self._instead = instead
        self._clock = clock

    def take(
        self, wanted: Sequence[tuple[str, int]], rows: int, *, may_wait: bool = True
    ) -> list[Level] | None:
        """Take rows from each quota, or from none; see `Quotas.take`."""
        if not may_wait:
            return None
        keys = self._keys([subject for subject, _ in wanted])
        answer = self._link.run(scripts.TAKE_ROWS, keys, [rows, *(most for _, most in wanted)])
        if answer is None:
            return self._instead.take(wanted, rows)
        taken, renewed = rows if answer[0] else 0, seconds_to_midnight(self._clock().astimezone(UTC))
        return [
            Level(max(0, most - count - taken), 0.0 if count + rows <= most else renewed, renewed)
            for (_, most), count in zip(wanted, answer[1:], strict=True)
        ]

    def give_back(self, subjects: Sequence[str], rows: int) -> None:
        """Return rows that were taken for nothing."""
        if self._link.run(scripts.GIVE_BACK_ROWS, self._keys(subjects), [rows]) is None:
            self._instead.give_back(subjects, rows)

    def _keys(self, subjects: Sequence[str]) -> list[str]:
        today = self._clock().astimezone(UTC).date()
        return [f"rows:{today}:{subject}" for subject in subjects]


class SharedFailures:
    """Tries to log in, in Redis; this process's own while it cannot be asked."""

    def __init__(self, link: RedisLink, instead: Failures) -> None:
        self._link = link
        self._instead = instead

    def begin(self, subjects: Sequence[Subject]) -> float:
        """Count one more for each subject, or none where one has to wait."""
        arguments = (
            FIRST_SECONDS,
            LONGEST_SECONDS,
            round(FORGOTTEN_SECONDS),
            *(each.free for each in subjects),
        )
        answer = self._link.run(scripts.BEGIN, [f"tries:{each.name}" for each in subjects], arguments)
        return self._instead.begin(subjects) if answer is None else max(0.0, float(answer))

    def end(self, *, forget: Sequence[str], take_back: Sequence[str]) -> None:
        """Take note of a success."""
        self._instead.end(forget=forget, take_back=take_back)
        self._link.run(scripts.END, [f"tries:{name}" for name in (*forget, *take_back)], [len(forget)])

    def knows(self, name: str) -> bool:
        """Tell whether something was remembered."""
        answer = self._link.run(scripts.KNOWS, [f"known:{name}"], [])
        return self._instead.knows(name) if answer is None else bool(answer)

    def remember(self, name: str) -> None:
        """Remember something."""
        self._instead.remember(name)
        self._link.run(scripts.REMEMBER, [f"known:{name}"], [round(KNOWN_SECONDS)])


def check_installed() -> None:
    """Refuse a URL of Redis where nothing can speak with it.

    Raises:
        ValueError: Saying what to install.
    """
    if find_spec("redis") is None:
        raise ValueError(
            "rate_limit_url needs the package redis, which an extra brings: "
            "pip install 'maas-client[server,redis]'"
        )
