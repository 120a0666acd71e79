"""What live traffic says of versions: sums that can be added up, of one worker and then of all."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

# The model's own id, the revision of the traffic, the version.
VersionKey: TypeAlias = tuple[str, int, int]
# The model's own id, the revision, the version that served, the shadow.
PairKey: TypeAlias = tuple[str, int, int, int]

# What is folded in between the seconds, so that no burst grows without bounds.
_MOST_UNFOLDED = 20_000


@dataclass(slots=True)
class VersionSums:
    """What one version did with callers of its own; logarithms are of compute times in seconds."""

    calls: int = 0
    errors: int = 0
    timed: int = 0
    log_sum: float = 0.0
    log_squares: float = 0.0

    def add(self, other: VersionSums) -> None:
        """Add what somebody else counted."""
        for each in fields(VersionSums):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class PairSums:
    """What a shadow made of copies of another version's calls; logarithms are of b's time over a's."""

    measure: str | None = None
    calls: int = 0
    dropped: int = 0
    errors_a: int = 0
    errors_b: int = 0
    rows: int = 0
    agreed: int = 0
    difference_sum: float = 0.0
    difference_squares: float = 0.0
    difference_max: float = 0.0
    timed: int = 0
    log_sum: float = 0.0
    log_squares: float = 0.0

    def add(self, other: PairSums) -> None:
        """Add what somebody else counted."""
        self.measure = other.measure or self.measure
        self.difference_max = max(self.difference_max, other.difference_max)
        for each in fields(PairSums):
            if each.name not in ("measure", "difference_max"):
                setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def add_times(self, a: float, b: float) -> None:
        """Add the times of one call on both, in seconds."""
        ratio = math.log(max(b, _LEAST_SECONDS) / max(a, _LEAST_SECONDS))
        self.timed += 1
        self.log_sum += ratio
        self.log_squares += ratio * ratio


# The clock's own grain: a logarithm of nothing there is not.
_LEAST_SECONDS = 1e-9


class TrafficSums:
    """What one worker saw since somebody took it away; a call only appends to a list."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: deque[tuple[VersionKey, float | None]] = deque()
        self._versions: dict[VersionKey, VersionSums] = {}
        self._pairs: dict[PairKey, PairSums] = {}

    def saw(self, key: VersionKey, seconds: float | None) -> None:
        """Count a call by its compute time in seconds; None for one that failed."""
        self._seen.append((key, seconds))
        if len(self._seen) > _MOST_UNFOLDED:
            with self._lock:
                self._fold()

    def update(self, key: PairKey, act: Callable[[PairSums], None]) -> None:
        """Add to a pair's sums."""
        with self._lock:
            act(self._pairs.setdefault(key, PairSums()))

    def take(self) -> tuple[dict[VersionKey, VersionSums], dict[PairKey, PairSums]]:
        """Return everything and begin anew."""
        with self._lock:
            self._fold()
            taken = self._versions, self._pairs
            self._versions, self._pairs = {}, {}
            return taken

    def put_back(self, versions: dict[VersionKey, VersionSums], pairs: dict[PairKey, PairSums]) -> None:
        """Keep what could not be stored until the next time."""
        with self._lock:
            for key, sums in versions.items():
                self._versions.setdefault(key, VersionSums()).add(sums)
            for pair, both in pairs.items():
                self._pairs.setdefault(pair, PairSums()).add(both)

    def _fold(self) -> None:
        # Others append meanwhile; what comes after this look stays for the next time.
        for _ in range(len(self._seen)):
            key, seconds = self._seen.popleft()
            sums = self._versions.setdefault(key, VersionSums())
            sums.calls += 1
            if seconds is None:
                sums.errors += 1
            else:
                logarithm = math.log(max(seconds, _LEAST_SECONDS))
                sums.timed += 1
                sums.log_sum += logarithm
                sums.log_squares += logarithm * logarithm
