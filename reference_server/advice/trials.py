"""A version in one setting, loaded beside the original and run for its times."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reference_server.advice import resident
from reference_server.runtime.tasks import build_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from maas_client._package import Package
    from maas_client.types import AdviceSetting
    from reference_server.advice.sample import Sample
    from reference_server.runtime.execution_providers import ExecutionProvider
    from reference_server.runtime.sessions import OnnxRunner
    from reference_server.runtime.tasks import Batch, Task


class BudgetSpentError(Exception):
    """No rows are left to measure with."""


@dataclass(slots=True)
class Meter:
    """Counts the rows that are run, and hears between two runs whether the work is to end.

    Args:
        budget: The most rows.
        check: Called before each run; what it raises ends the work.
    """

    budget: int
    check: Callable[[], None]
    rows: int = 0

    def counted(self, rows: int) -> None:
        """Count rows before they are run.

        Raises:
            BudgetSpentError: They are more than are left.
        """
        self.check()
        if rows > self.left:
            raise self.spent()
        self.rows += rows

    def spent(self) -> BudgetSpentError:
        """Return the error that says so."""
        return BudgetSpentError(
            f"the budget of {self.budget:,} rows is spent; ask for a larger one, or send fewer rows"
        )

    @property
    def left(self) -> int:
        """How many rows of the budget are left."""
        return max(0, self.budget - self.rows)


@dataclass(slots=True)
class Trial:
    """A setting that can be run.

    Args:
        setting: The setting.
        runner: What computes.
        task: Decodes, predicts, encodes.
        sample: What is run.
        meter: Counts it.
        timer: Seconds, monotonic.
        batch_invariant: Whether a row's result is the same in any company.
        load_ms: What loading took.
        graph_sha256: Of its graph.
        memory_bytes: By how much the process grew.
    """

    setting: AdviceSetting
    runner: OnnxRunner
    task: Task
    sample: Sample
    meter: Meter
    timer: Callable[[], float]
    batch_invariant: bool
    load_ms: float
    graph_sha256: str
    memory_bytes: int | None = None
    _lanes: ThreadPoolExecutor | None = field(init=False, default=None)

    def call(self, number: int) -> float:
        """Run one row, as a lone caller has it; return the seconds."""
        batch = self.sample.some(number, 1)
        self.meter.counted(1)
        began = self.timer()
        self.task.predict(batch)
        return self.timer() - began

    def burst(self, number: int, rows: int) -> float:
        """Run many rows as there is always more to do: in batches, by all lanes; return the seconds."""
        size = self.setting.batch_rows
        starts = range(number * rows, (number + 1) * rows, size)
        batches = [self.sample.some(start, min(size, (number + 1) * rows - start)) for start in starts]
        self.meter.counted(rows)
        lanes, count = self._pool(), self.setting.lanes
        began = self.timer()
        if lanes is None:
            self._run(batches)
        else:
            # Each lane's share at once: handing over costs more than a small model's run.
            for _ in lanes.map(self._run, [batches[lane::count] for lane in range(count)]):
                pass
        return self.timer() - began

    def close(self) -> None:
        """Free the session."""
        if self._lanes is not None:
            self._lanes.shutdown()
        self.runner.close()

    def _run(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.task.predict(batch)

    def _pool(self) -> ThreadPoolExecutor | None:
        if self._lanes is None and self.setting.lanes > 1:
            self._lanes = ThreadPoolExecutor(self.setting.lanes, thread_name_prefix="advice")
        return self._lanes


def open_trial(  # noqa: PLR0917 - what a trial is made of
    package: Package,
    graph: bytes,
    setting: AdviceSetting,
    provider: ExecutionProvider,
    sample: Sample,
    meter: Meter,
    *,
    timer: Callable[[], float],
    batch_invariant: bool | None,
) -> Trial:
    """Load a graph in a setting, and see how much memory it takes.

    Raises:
        ServiceError: It cannot be loaded or run.
        BudgetSpentError: Not even a run to warm it is within the budget.
    """
    # ONNX Runtime begins threads when it is imported, and this file is imported before a fork.
    from reference_server.runtime.sessions import OnnxRunner

    before = resident.settled()
    began = timer()
    runner = OnnxRunner(
        graph,
        provider=provider,
        threads=setting.intra_op_threads,
        batch_invariant=batch_invariant,
        optimization=setting.graph_optimization,
    )
    task = build_task(package, runner)
    load_ms = (timer() - began) * 1000
    trial = Trial(
        setting,
        runner,
        task,
        sample,
        meter,
        timer,
        batch_invariant=runner.batch_invariant,
        load_ms=load_ms,
        graph_sha256=hashlib.sha256(graph).hexdigest(),
    )
    # Warm, and the memory that runs of this kind take.
    resident.settled()
    begun = resident.begin_peak()
    try:
        trial.call(0)
        # Of few rows that are left, not all.
        trial.burst(0, min(setting.batch_rows * setting.lanes, max(1, meter.left // 2)))
    except BaseException:
        trial.close()
        raise
    after = resident.peak(begun=begun)
    if before is not None and after is not None:
        trial.memory_bytes = max(0, after - before)
    return trial


def chunks(sample: Sample, size: int) -> Iterator[tuple[int, Batch]]:
    """Yield all rows of a sample in order, some at a time, with the number of the first."""
    for start in range(0, len(sample), size):
        yield start, sample.some(start, min(size, len(sample) - start))
