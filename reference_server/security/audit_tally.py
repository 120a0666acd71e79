"""Acts that are counted and not written one by one: denials, failed log-ins, downloads.

Whoever asks a thousand times a second must neither fill the log nor hold up the store. So like acts of one
minute are one number in memory; the first of a minute is written within a second, the others when it is over.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of one minute and one worker; what goes beyond is counted without saying who.
_MOST = 256
_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Counted:
    """What like acts have in common.

    Args:
        act: What was done or tried.
        outcome: `succeeded` or `denied`.
        status: The HTTP status.
        account: Whose affair it is, if that is known.
        actor: The account that did it, if it is known.
        credential: What spoke for it.
        subject: The id of what it was done to.
        version: The version it was done to.
        address: From where; of IPv6 the network of 64 bits, which one customer has.
        asked: What was asked for and not there, as `parameter=text`: written only if it is there, but hidden.
    """

    act: str
    outcome: str
    status: int | None = None
    account: str | None = None
    actor: str | None = None
    credential: str | None = None
    subject: str | None = None
    version: int | None = None
    address: str | None = None
    asked: str | None = None

    def anonymous(self) -> Counted:
        """Return the same act without saying whose, from where and on what."""
        return Counted(self.act, self.outcome, self.status, asked=self.asked and "")


class Tally:
    """Counts by minute, bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._known: set[Counted] = set()
        self._waiting: Counter[tuple[int, Counted]] = Counter()
        self._written: set[Counted] = set()

    def add(self, counted: Counted, *, at: float) -> None:
        """Count an act at a time in Unix seconds."""
        with self._lock:
            self._turn(int(at) // _MINUTE)
            if counted not in self._known:
                if len(self._known) >= _MOST:
                    counted = counted.anonymous()
                self._known.add(counted)
            self._waiting[self._minute, counted] += 1

    def take(self, *, at: float, everything: bool = False) -> dict[tuple[int, Counted], int]:
        """Return what is to be written now, by the minute in Unix seconds and the act.

        Args:
            at: Now, in Unix seconds.
            everything: Also what could wait for the end of its minute.
        """
        with self._lock:
            self._turn(int(at) // _MINUTE)
            due = {
                key: count
                for key, count in self._waiting.items()
                if everything or key[0] != self._minute or key[1] not in self._written
            }
            for minute, counted in due:
                del self._waiting[minute, counted]
                if minute == self._minute:
                    self._written.add(counted)
        return {(minute * _MINUTE, counted): count for (minute, counted), count in due.items()}

    def give_back(self, taken: Mapping[tuple[int, Counted], int]) -> None:
        """Take back what could not be written."""
        with self._lock:
            for (second, counted), count in taken.items():
                self._waiting[second // _MINUTE, counted] += count
                self._written.discard(counted)

    def _turn(self, minute: int) -> None:
        # A clock that goes back stays in the minute that it was in.
        if minute > self._minute:
            self._minute = minute
            self._known.clear()
            self._written.clear()


def network_of(address: str) -> str:
    """Return an address, or of IPv6 its network of 64 bits; what is neither stays as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
