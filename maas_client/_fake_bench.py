"""Functions timed beside each other, as `FakeMaas` does it for an advice: really, in this process."""

from __future__ import annotations

import hashlib
import math
import tracemalloc
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from maas_client import _fake_quality
from maas_client._advice_choice import ORIGINAL
from maas_client._timed_pairs import LEAST_PAIRS, Pairs, take
from maas_client.types import AdviceSetting, AdviceVariant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._fake_world import Inputs, Run
    from maas_client.types import AdviceQuality

# Enough for an interval, and over at once with functions as tests have them.
_CALLS, _BURSTS, _BURST_ROWS = 40, 12, 8
# A clock need not go on between two looks at it.
_LEAST_SECONDS = 1e-9


def digest_of(digest: str, variant: str) -> str:
    """Return what tells a variant of a version from others, as the digest of a graph does, in hexadecimal."""
    return hashlib.sha256(f"{digest}/{variant}".encode()).hexdigest()


class NotMeasuredError(Exception):
    """A variant cannot be measured; the message says why."""


@dataclass(slots=True)
class Bench:
    """Where a model's function is timed, and its variants beside it.

    Args:
        original: The model's own.
        digest: Of its version.
        rows: The sample; at least one row.
        targets: What is true of each row, if that is known.
        budget: The most rows that are run.
        seconds: About how long to take times of one variant.
    """

    original: Run
    digest: str
    rows: Sequence[Inputs]
    targets: Sequence[object] | None
    budget: int
    seconds: float
    rows_run: int = 0
    _said: Sequence[Mapping[str, Any]] = field(init=False)
    _invariant: bool = field(init=False)
    _memory: int | None = field(init=False)
    _calls: list[float] = field(init=False, default_factory=list)
    _bursts: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._said, self._invariant, self._memory = self._answers(self.original)
        self._calls += [self._run(self.original, number, 1) for number in range(LEAST_PAIRS)]

    def as_it_is(self) -> AdviceVariant:
        """Return the original, by all its calls so far."""
        return AdviceVariant(
            name=ORIGINAL,
            title="the model's own answer",
            setting=AdviceSetting(),
            **self._times(self._calls, self._bursts),
            **self._unloaded(ORIGINAL),
            memory_bytes=self._memory,
            batch_invariant=self._invariant,
        )

    def beside(self, name: str, run: Run, *, known: AdviceVariant | None = None) -> AdviceVariant:
        """Measure a variant beside the original.

        Args:
            name: Its name.
            run: What it does with an instance.
            known: What was measured of it before; then only times are taken anew.

        Raises:
            NotMeasuredError: The budget is spent, or what it says cannot be compared.
        """
        if known is None:
            quality, invariant, memory = self._looked_at(run)
        else:
            quality, invariant, memory = known.quality, known.batch_invariant, known.memory_bytes
        calls, bursts = self._pairs(run, _CALLS, rows=1), self._pairs(run, _BURSTS, rows=_BURST_ROWS)
        self._calls += calls.original
        self._bursts += bursts.original
        return AdviceVariant(
            name=name,
            title=f"the variant {name}",
            setting=AdviceSetting(weights=name),
            **self._times(calls.variant, bursts.variant),
            **self._unloaded(name),
            memory_bytes=memory,
            latency=calls.ratio(),
            time_per_row=bursts.ratio(),
            batch_invariant=invariant,
            quality=quality,
            applicable=True,
        )

    def _unloaded(self, name: str) -> dict[str, Any]:
        """Return the fields that tell of a package, where there is none."""
        return {
            "load_ms": 0.0,
            "package_bytes": 0,
            "graph_sha256": digest_of(self.digest, name),
        }

    def _looked_at(self, run: Run) -> tuple[AdviceQuality | None, bool, int | None]:
        said, invariant, memory = self._answers(run)
        quality = _fake_quality.compared(self._said, said, self.targets)
        if quality is None:
            raise NotMeasuredError("what it returns has other names or shapes than what the original returns")
        return quality, invariant, memory

    def _answers(self, run: Run) -> tuple[Sequence[Mapping[str, Any]], bool, int | None]:
        """Return what is said of each row, whether it is said again in another order, and the memory."""
        if self.rows_run + 2 * len(self.rows) > self.budget:
            raise self._spent()
        self.rows_run += 2 * len(self.rows)
        said, memory = _traced(run, self.rows)
        again = [run(row) for row in reversed(self.rows)]
        return said, said == again[::-1], memory

    def _pairs(self, run: Run, most: int, *, rows: int) -> Pairs:
        """Take pairs of runs of so many rows each.

        Raises:
            NotMeasuredError: Not even one is within the budget.
        """
        pairs = take(
            lambda number: self._run(self.original, number, rows),
            lambda number: self._run(run, number, rows),
            seconds=self.seconds / 2,
            timer=perf_counter,
            may_go_on=lambda: self.rows_run + 2 * rows <= self.budget,
            most=most,
        )
        if not len(pairs):
            raise self._spent()
        return pairs

    def _run(self, run: Run, number: int, count: int) -> float:
        """Run the next rows of the sample, round and round, and return the seconds that they took."""
        self.rows_run += count
        rows = [self.rows[(number * count + each) % len(self.rows)] for each in range(count)]
        began = perf_counter()
        for row in rows:
            run(row)
        return max(perf_counter() - began, _LEAST_SECONDS)

    def _spent(self) -> NotMeasuredError:
        return NotMeasuredError(f"the budget of {self.budget:,} rows is spent; ask for a larger one")

    def _times(self, calls: Sequence[float], bursts: Sequence[float]) -> dict[str, Any]:
        """Return the fields of a variant that tell times; before the first burst, calls tell the rate."""
        in_order = sorted(calls)
        return {
            "p50_ms": 1000 * median(in_order),
            "p99_ms": 1000 * in_order[math.ceil(0.99 * len(in_order)) - 1],
            "calls": len(in_order),
            "throughput_rows_per_second": _BURST_ROWS / median(bursts) if bursts else 1 / median(in_order),
        }


def _traced(run: Run, rows: Sequence[Inputs]) -> tuple[Sequence[Mapping[str, Any]], int | None]:
    """Return what is said of each row, and the most that Python allocated meanwhile, in bytes.

    None where somebody else traces allocations: their peak is not for us to reset.
    """
    if tracemalloc.is_tracing():
        return [run(row) for row in rows], None
    tracemalloc.start()
    try:
        said = [run(row) for row in rows]
        return said, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
