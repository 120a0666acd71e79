"""Token buckets: a steady rate with a burst, for each of a bounded number of callers."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from reference_server.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_SUBJECTS = 100_000


class RateLimit:
    """One limit over many subjects; the one longest unseen is forgotten when there are too many.

    Args:
        per_minute: The steady rate.
        burst: How many calls may come at once after a pause.
        what: What is limited, for the message.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, *, per_minute: float, burst: int, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = per_minute / 60
        self._burst = burst
        self._what = what
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, subject: str) -> None:
        """Count one call.

        Raises:
            TooManyRequests: With the seconds until the next one is allowed.
        """
        now = self._clock()
        with self._lock:
            known = self._levels.get(subject)
            level = float(self._burst)
            if known is not None:
                level = min(level, known[0] + (now - known[1]) * self._rate)
            allowed = level >= 1
            self._levels[subject] = (level - 1 if allowed else level, now)
            self._levels.move_to_end(subject)
            if len(self._levels) > _MOST_SUBJECTS:
                self._levels.popitem(last=False)
        if not allowed:
            raise TooManyRequests(
                f"too many {self._what}; wait before the next one", retry_after=(1 - level) / self._rate
            )

    def forget(self, subject: str) -> None:
        """Give a subject its whole burst back, as after a log-in that succeeded."""
        with self._lock:
            self._levels.pop(subject, None)
