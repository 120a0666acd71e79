"""Quotas of a day: how many rows may still be asked for until midnight, in UTC.

What was used is kept in the store, so that it outlives a restart; it is told once a second, because no
prediction writes. Several workers claim in the store what they may use before they do: each a share of what
nobody has claimed, again and again, and for a call that is larger than its share as much as that needs. So
all together never give out more than there is, and one that gets all the calls comes to all of it once the
others have given back what they do not use. A worker counts under a number that its successor takes over.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

from reference_server.security.rate_limits import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

DAY_SECONDS = 86_400
# A subject and a day.
Key: TypeAlias = "tuple[str, date]"
# After so long without a call, what was claimed and not used is left to others.
_IDLE_SECONDS = 10
# How often more than a share is asked for.
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


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker tells the store of a subject's day, and asks for.

    Args:
        subject: Whose rows.
        day: In UTC.
        used: Rows that it used since it last told; less than 0 where it gave some back.
        most: The quota.
        is_over: Whether it gives up what it claimed and did not use.
        needed: Rows that it is to get if nobody has claimed them, though they be more than its share.
    """

    subject: str
    day: date
    used: int
    most: int
    is_over: bool = False
    needed: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What the store answers.

    Args:
        used: All that the worker has used on that day.
        granted: Up to how much it may.
        left: What no worker has used, whoever has claimed it.
    """

    used: int
    granted: int
    left: int


@dataclass(slots=True)
class _Day:
    """What a worker knows of a subject's day.

    Args:
        used: Rows that were used under the worker's number.
        told: Of those, what the store knows.
        granted: Up to how much it may use.
        left: What no worker had used when the store was last asked.
        most: The quota.
        touched: When somebody last called.
        asked: When more than a share was last asked for.
    """

    used: int
    told: int
    granted: int
    left: int
    most: int
    touched: datetime
    asked: datetime | None = None


class StoredQuotas:
    """Rows of a day, which the store knows a second later.

    Args:
        claim: Tells and asks the store; returns a grant for each claim, and raises where it cannot.
        processes: How many workers count at the same time.
        clock: The time, aware.
    """

    def __init__(
        self,
        claim: Callable[[Sequence[Claim]], Sequence[Grant]],
        *,
        processes: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._claim = claim
        self._processes = processes
        self._clock = clock
        self._days: dict[Key, _Day] = {}
        self._lock = threading.Lock()
        # Held while the store is told, so that nothing is told twice.
        self._telling = threading.Lock()

    def take(
        self, wanted: Sequence[tuple[str, int]], rows: int, *, may_wait: bool = True
    ) -> list[Level] | None:
        """Take rows from each quota, or from none; see `Quotas.take`."""
        now = self._clock().astimezone(UTC)
        today = now.date()
        while self._learn(wanted, now, may_wait=may_wait):
            with self._lock:
                days = [day for subject, _ in wanted if (day := self._days.get((subject, today))) is not None]
                # What is idle may have been given up between the two.
                if len(days) == len(wanted):
                    if not any(self._is_worth_asking(day, rows, now) for day in days):
                        return self._taken(days, [most for _, most in wanted], rows, now)
                    if not may_wait:
                        return None
            self._ask_for_more([subject for subject, _ in wanted], rows, now)
        return None

    def give_back(self, subjects: Sequence[str], rows: int) -> None:
        """Return rows that were taken for nothing."""
        today = self._clock().astimezone(UTC).date()
        with self._lock:
            for subject in subjects:
                if (day := self._days.get((subject, today))) is not None:
                    day.used -= rows

    def exchange(self) -> None:
        """Tell the store what was used, and claim more; what cannot be told now is told the next time."""
        now = self._clock().astimezone(UTC)
        with self._telling:
            self._exchange(now)

    def _exchange(self, now: datetime) -> None:
        with self._lock:
            claims = [
                Claim(subject, day, known.used - known.told, known.most, is_over=self._is_idle(known, now))
                for (subject, day), known in self._days.items()
            ]
            for claim in claims:
                if claim.is_over:
                    # Before the store hears of it, so that nobody uses what is being given up.
                    del self._days[claim.subject, claim.day]
        if claims:
            self._tell(claims)

    def _ask_for_more(self, subjects: Sequence[str], rows: int, now: datetime) -> None:
        """Claim what a call needs that is larger than the worker's share; once a second for each subject."""
        today = now.date()
        with self._telling:
            with self._lock:
                short = [
                    (subject, day)
                    for subject in subjects
                    if (day := self._days.get((subject, today))) is not None
                    and self._is_worth_asking(day, rows, now)
                ]
                for _, day in short:
                    day.asked = now
                claims = [
                    Claim(subject, today, day.used - day.told, day.most, needed=rows)
                    for subject, day in short
                ]
            if claims:
                self._tell(claims)

    def _tell(self, claims: Sequence[Claim]) -> None:
        for claim, grant in zip(claims, self._claim(claims), strict=True):
            with self._lock:
                self._learnt(claim, grant)

    def _learn(self, wanted: Sequence[tuple[str, int]], now: datetime, *, may_wait: bool) -> bool:
        """Ask the store for what is not known here; return whether all is known."""
        today = now.date()
        with self._lock:
            unknown = [each for each in wanted if (each[0], today) not in self._days]
        if unknown and not may_wait:
            return False
        if unknown:
            grants = self._claim([Claim(subject, today, 0, most) for subject, most in unknown])
            with self._lock:
                for (subject, most), grant in zip(unknown, grants, strict=True):
                    made = _Day(grant.used, grant.used, grant.granted, grant.left, most, now)
                    self._days.setdefault((subject, today), made)
        return True

    def _learnt(self, claim: Claim, grant: Grant) -> None:
        known = self._days.get((claim.subject, claim.day))
        if known is None:
            return
        known.told += claim.used
        # Another server on the same store may count under the same number.
        known.used += grant.used - known.told
        known.told, known.granted, known.left = grant.used, grant.granted, grant.left

    def _taken(self, days: Sequence[_Day], quotas: Sequence[int], rows: int, now: datetime) -> list[Level]:
        renewed = seconds_to_midnight(now)
        waits = [self._wait(day, rows, renewed) for day in days]
        taken = 0 if any(waits) else rows
        for day, most in zip(days, quotas, strict=True):
            day.used += taken
            day.touched, day.most = now, most
        return [
            Level(max(0, day.granted - day.used), wait, renewed)
            for day, wait in zip(days, waits, strict=True)
        ]

    def _wait(self, day: _Day, rows: int, renewed: float) -> float:
        if day.used + rows <= day.granted:
            return 0.0
        if self._processes == 1 or day.used - day.told + rows > day.left:
            return renewed
        # What was used since the store was asked makes room for another share; else other workers hold the
        # rows, and give back what they do not use.
        return min(_EXCHANGE_SECONDS if day.used > day.told else _IDLE_SECONDS, renewed)

    def _is_worth_asking(self, day: _Day, rows: int, now: datetime) -> bool:
        """Tell whether the store may let the worker have what a call needs beyond its share."""
        if self._processes == 1 or not day.granted < day.used + rows <= day.most:
            return False
        # A caller that has spent its quota must not make every call a write.
        return day.asked is None or abs(now - day.asked) >= timedelta(seconds=_EXCHANGE_SECONDS)

    @staticmethod
    def _is_idle(day: _Day, now: datetime) -> bool:
        return day.used == day.told and abs(now - day.touched) > timedelta(seconds=_IDLE_SECONDS)


def seconds_to_midnight(now: datetime) -> float:
    """Return the seconds until the next day begins, in UTC."""
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    return (midnight - now).total_seconds()
