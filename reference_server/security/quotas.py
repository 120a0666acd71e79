"""Quotas of a day: how many rows may still be asked for until midnight, in UTC.

Counts are kept in the store, so that they outlive a restart and several processes tell each other; once a
second, because no prediction writes. Until a process has heard of the others it takes no more than its share
of what was left, so that all together never give out more than there is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

from reference_server.security.rate_limits import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

DAY_SECONDS = 86_400
# A subject and a day.
Counted: TypeAlias = "tuple[str, date]"
# Who has not called for as long is looked up again.
_IDLE_SECONDS = 60
# How soon a process has heard of the others.
_EXCHANGE_SECONDS = 1.0


class Quotas(Protocol):
    """Rows of a day by subject, wherever they are counted."""

    def take(
        self, wanted: Sequence[tuple[str, int]], rows: int, *, may_wait: bool = True
    ) -> list[Level] | None:
        """Take rows from each of some quotas, or, where one has too few left, from none of them.

        Args:
            wanted: Subjects and their rows a day.
            rows: How many.
            may_wait: Whether the store, or another process, may be asked.

        Returns:
            What is left of each; None where somebody would have to be asked and may not be.
        """

    def give_back(self, subjects: Sequence[str], rows: int) -> None:
        """Return rows that were taken for nothing."""


@dataclass(slots=True)
class _Day:
    """What is known of a subject's day.

    Args:
        stored: Rows in the store when it was last asked.
        touched: When somebody last called.
        own: Rows of this process that the store has not been told of.
    """

    stored: int
    touched: datetime
    own: int = 0


class StoredQuotas:
    """Rows of a day, which the store knows a second later.

    Args:
        read: Asks the store for the rows of a subject on a day.
        processes: How many count at the same time.
        clock: The time, aware.
    """

    def __init__(
        self, read: Callable[[str, date], int], *, processes: int, clock: Callable[[], datetime]
    ) -> None:
        self._read = read
        self._processes = processes
        self._clock = clock
        self._days: dict[Counted, _Day] = {}
        self._lock = threading.Lock()

    def take(
        self, wanted: Sequence[tuple[str, int]], rows: int, *, may_wait: bool = True
    ) -> list[Level] | None:
        """Take rows from each quota, or from none; see `Quotas.take`."""
        now = self._clock().astimezone(UTC)
        keys = [(subject, now.date()) for subject, _ in wanted]
        while self._learn(keys, now, may_wait=may_wait):
            with self._lock:
                days = [day for key in keys if (day := self._days.get(key)) is not None]
                # What is idle may have been forgotten between the two.
                if len(days) == len(keys):
                    return self._taken(days, [most for _, most in wanted], rows, now)
        return None

    def give_back(self, subjects: Sequence[str], rows: int) -> None:
        """Return rows that were taken for nothing."""
        today = self._clock().astimezone(UTC).date()
        with self._lock:
            for subject in subjects:
                if (day := self._days.get((subject, today))) is not None:
                    # What the store has been told is taken back there too: the next sum is negative.
                    day.own -= rows

    def exchange(self, store: Callable[[Mapping[Counted, int]], Mapping[Counted, int]]) -> None:
        """Tell the store what was taken here, and hear what was taken everywhere.

        Args:
            store: Adds rows to what is stored, and returns what is stored then; if it raises, nothing is
                lost and the next call tells it.
        """
        now = self._clock().astimezone(UTC)
        with self._lock:
            self._forget_idle(now)
            told = {key: day.own for key, day in self._days.items() if day.own or self._processes > 1}
        if not told:
            return
        sums = store(told)
        with self._lock:
            for key, rows in told.items():
                day = self._days[key]
                day.own -= rows
                day.stored = sums[key]

    def _learn(self, keys: Sequence[Counted], now: datetime, *, may_wait: bool) -> bool:
        """Ask the store for what is not known here; return whether all is known."""
        with self._lock:
            unknown = [key for key in keys if key not in self._days]
        if unknown and not may_wait:
            return False
        for key in unknown:
            stored = self._read(*key)
            with self._lock:
                self._days.setdefault(key, _Day(stored, now))
        return True

    def _taken(self, days: Sequence[_Day], most: Sequence[int], rows: int, now: datetime) -> list[Level]:
        renewed = seconds_to_midnight(now)
        waits = [self._wait(day, limit, rows, renewed) for day, limit in zip(days, most, strict=True)]
        taken = 0 if any(waits) else rows
        for day in days:
            day.own += taken
            day.touched = now
        return [
            Level(max(0, limit - day.stored - day.own), wait, renewed)
            for day, limit, wait in zip(days, most, waits, strict=True)
        ]

    def _wait(self, day: _Day, most: int, rows: int, renewed: float) -> float:
        left = most - day.stored
        if day.own + rows <= left // self._processes:
            return 0.0
        # After the next exchange this process has a share of what is left then.
        is_share_used = day.own > 0 and rows <= (left - day.own) // self._processes
        return _EXCHANGE_SECONDS if is_share_used else renewed

    def _forget_idle(self, now: datetime) -> None:
        idle = now - timedelta(seconds=_IDLE_SECONDS)
        for key in [key for key, day in self._days.items() if not day.own and day.touched < idle]:
            del self._days[key]


def seconds_to_midnight(now: datetime) -> float:
    """Return the seconds until the next day begins, in UTC."""
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    return (midnight - now).total_seconds()
