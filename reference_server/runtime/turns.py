"""Turns at something that one at a time may do: whoever had theirs longest ago is next."""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cachetools import LRUCache

from reference_server.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_REMEMBERED = 4096


class Turns:
    """One after the other, and in fair order: many calls of one account wait for each of another's.

    Args:
        what: What is being done, for the message.
        wait_seconds: How long a call waits for its turn.
    """

    def __init__(self, what: str, *, wait_seconds: float) -> None:
        self._what = what
        self._wait_seconds = wait_seconds
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, str] = {}
        self._under_way: int | None = None
        self._last: LRUCache[str, int] = LRUCache(_MOST_REMEMBERED)

    @contextmanager
    def turn(self, who: str) -> Iterator[None]:
        """Wait for a turn and hold it.

        Args:
            who: In whose name; accounts take turns, whatever each has waiting.

        Raises:
            Unavailable: With code `busy`, when it did not come in time.
        """
        with self._changed:
            ticket = next(self._numbers)
            self._waiting[ticket] = who
            try:
                came = self._changed.wait_for(lambda: self._next() == ticket, self._wait_seconds)
            finally:
                del self._waiting[ticket]
            if not came:
                self._changed.notify_all()
                raise Unavailable(f"{self._what}; repeat the request", code="busy", retry_after=5)
            self._last[who] = next(self._numbers)
            self._under_way = ticket
        try:
            yield
        finally:
            with self._changed:
                self._under_way = None
                self._changed.notify_all()

    def _next(self) -> int | None:
        if self._under_way is not None or not self._waiting:
            return None
        return min(self._waiting, key=lambda ticket: (self._last.get(self._waiting[ticket], 0), ticket))
