"""Growing delays between tries to log in: after a few that failed, each next one waits twice as long.

As NIST SP 800-63B, section 5.2.2, advises. Delays are counted by e-mail, so that guesses from many places are
slowed down together, and by address. An address from which an account was logged in to before is counted
apart from all others (the "device cookies" of OWASP): nobody's guesses keep the owner out at home.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from reference_server.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MOST_SUBJECTS = 100_000
FIRST_SECONDS = 1.0
LONGEST_SECONDS = 900.0
# After so long without a try, earlier ones count no more.
FORGOTTEN_SECONDS = 3600.0
# How long an address is remembered from which an account was logged in to.
KNOWN_SECONDS = 30 * 86_400.0
# Of one e-mail few tries fail by accident; behind one address there may be a whole office.
_FREE_BY_ADDRESS = 4
_MOST_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose tries are counted together.

    Args:
        name: What tells it from others; no e-mail stands in it.
        free: How many tries in a row may fail without a delay.
    """

    name: str
    free: int


class Failures(Protocol):
    """Tries in a row that failed, by subject, wherever they are counted."""

    def begin(self, subjects: Sequence[Subject]) -> float:
        """Count one more for each subject, or none where one has to wait.

        Returns:
            The seconds to wait; 0 where the try was counted.
        """

    def end(self, *, forget: Sequence[str], take_back: Sequence[str]) -> None:
        """Take note of a success: forget all tries of some subjects, and the last one of others."""

    def knows(self, name: str) -> bool:
        """Tell whether something was remembered."""

    def remember(self, name: str) -> None:
        """Remember something for `KNOWN_SECONDS`."""


class LogInDelays:
    """Slows down whoever guesses passwords, and nobody else.

    Args:
        failures: Where tries are counted.
        free: How many tries for one e-mail may fail in a row before the first delay.
    """

    def __init__(self, failures: Failures, *, free: int) -> None:
        self._failures = failures
        self._free = free

    def begin(self, email: str, address: str) -> None:
        """Count a try as one that failed, until `succeeded` says otherwise: so that many at once are counted.

        Raises:
            TooManyRequests: With the seconds to wait. It is raised for e-mails without an account as well.
        """
        wait = self._failures.begin(
            [
                Subject(self._email(email, address), self._free),
                Subject(_digest("address", address), self._free * _FREE_BY_ADDRESS),
            ]
        )
        if wait:
            raise TooManyRequests(
                "too many log-ins failed; wait before the next one, which takes longer each time",
                code="log_in_delayed",
                retry_after=wait,
            )

    def succeeded(self, email: str, address: str) -> None:
        """Hold nothing against the e-mail any more, and not this try against the address.

        Earlier tries of the address stay: else who owns one account could guess at others in between.
        """
        counted = self._email(email, address)
        self._failures.end(forget=[counted], take_back=[_digest("address", address)])
        self._failures.remember(_digest("known", email, address))

    def undecided(self, email: str, address: str) -> None:
        """Take back a try that was not made after all."""
        counted = [self._email(email, address), _digest("address", address)]
        self._failures.end(forget=[], take_back=counted)

    def _email(self, email: str, address: str) -> str:
        if self._failures.knows(_digest("known", email, address)):
            return _digest("email at", email, address)
        return _digest("email", email)


class LocalFailures:
    """Tries in this process.

    Args:
        processes: Among how many tries are spread: each counts its part, and delays by as much more.
        clock: Seconds, monotonic.
    """

    def __init__(self, *, processes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes = processes
        self._clock = clock
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._known: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, subjects: Sequence[Subject]) -> float:
        """Count one more for each subject, or none where one has to wait."""
        now = self._clock()
        with self._lock:
            wait = max(self._wait(each, now) for each in subjects)
            if wait <= 0:
                for each in subjects:
                    self._tries[each.name] = (self._count(each.name, now) + 1, now)
                    self._tries.move_to_end(each.name)
            while len(self._tries) > _MOST_SUBJECTS:
                self._tries.popitem(last=False)
        return max(0.0, wait)

    def end(self, *, forget: Sequence[str], take_back: Sequence[str]) -> None:
        """Take note of a success."""
        with self._lock:
            for name in forget:
                self._tries.pop(name, None)
            for name in take_back:
                if (known := self._tries.get(name)) is not None:
                    self._tries[name] = (known[0] - 1, known[1])

    def knows(self, name: str) -> bool:
        """Tell whether something was remembered."""
        with self._lock:
            until = self._known.get(name)
        return until is not None and until > self._clock()

    def remember(self, name: str) -> None:
        """Remember something."""
        with self._lock:
            self._known[name] = self._clock() + KNOWN_SECONDS
            self._known.move_to_end(name)
            while len(self._known) > _MOST_SUBJECTS:
                self._known.popitem(last=False)

    def _count(self, name: str, now: float) -> int:
        count, at = self._tries.get(name, (0, now))
        return count if now - at < FORGOTTEN_SECONDS else 0

    def _wait(self, subject: Subject, now: float) -> float:
        free = max(1, subject.free // self._processes)
        delay = self._processes * delay_after(self._count(subject.name, now), free=free)
        _, at = self._tries.get(subject.name, (0, now))
        return at + delay - now if delay else 0.0


def delay_after(failures: int, *, free: int) -> float:
    """Return the seconds between the last of some tries that failed in a row and the next one."""
    if failures < free:
        return 0.0
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - free, _MOST_DOUBLINGS))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
