"""Counts loads, failed loads and evictions of models, by what they are published as."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TypeAlias

# The exact name, `account~name`, and the version under which a model was asked for when it was loaded.
PublishedAs: TypeAlias = tuple[str, int]
# The same and the device, which is empty where a load failed.
LoadKey: TypeAlias = tuple[str, int, str]


@dataclass(slots=True)
class LoadCount:
    """How often a version was loaded, how many seconds that took, how often it failed or had to give way."""

    loads: int = 0
    seconds: float = 0.0
    failures: int = 0
    evictions: int = 0


class LoadCounts:
    """The counts of every version that was ever asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[LoadKey, LoadCount] = {}

    def loaded(self, name: PublishedAs, device: str, seconds: float) -> None:
        """Count a load."""
        with self._lock:
            count = self._count((*name, device))
            count.loads += 1
            count.seconds += seconds

    def failed(self, name: PublishedAs) -> None:
        """Count a load that failed."""
        with self._lock:
            self._count((*name, "")).failures += 1

    def evicted(self, name: PublishedAs, device: str) -> None:
        """Count a model that was dropped to stay within the budget."""
        with self._lock:
            self._count((*name, device)).evictions += 1

    def now(self) -> dict[LoadKey, LoadCount]:
        """Return copies of all counts."""
        with self._lock:
            return {key: replace(count) for key, count in self._counts.items()}

    def add(self, key: LoadKey, count: LoadCount) -> None:
        """Add what another process counted."""
        with self._lock:
            mine = self._count(key)
            mine.loads += count.loads
            mine.seconds += count.seconds
            mine.failures += count.failures
            mine.evictions += count.evictions

    def _count(self, key: LoadKey) -> LoadCount:
        return self._counts.setdefault(key, LoadCount())
