"""What a lane computes: one call's instances or tensors, and how those of several calls share a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from reference_server.runtime.batch_invariance import rows_first
from reference_server.runtime.tasks.row_runs import run_rows
from reference_server.runtime.tasks.task import Batch

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from reference_server.runtime.runner import Runner, Tensors
    from reference_server.runtime.tasks.task import Outputs, Task


class Work(Protocol):
    """One call's part of a run."""

    @property
    def rows(self) -> int:
        """How many instances it has."""

    @property
    def group(self) -> Hashable:
        """Works of one model and of equal groups may share a run; those of None run alone."""

    def run(self, *, deadline: float | None) -> Any:  # noqa: ANN401 - what its caller made it for
        """Compute it alone; see `Runner.run` for what it raises."""

    def run_with(self, others: Sequence[Any], *, deadline: float | None) -> list[Any]:
        """Compute it and others of its group in one run; return each one's own result, its own first."""


class ComparableWork(Work, Protocol):
    """Work whose results can be held against another version's."""

    def predictions(self, result: Any) -> Sequence[Mapping[str, Any]]:  # noqa: ANN401 - what `run` returned
        """Return a result as outputs by name, for each row that can be told apart; see `Task.encode`."""


@runtime_checkable
class LongWork(Work, Protocol):
    """Work of many runs, which can end between two of them."""

    def abandon(self) -> None:
        """End soon: nobody waits any more. May be called from any thread."""


@dataclass(slots=True)
class TaskWork:
    """Checked instances for a task."""

    task: Task
    batch: Batch

    @property
    def rows(self) -> int:
        """Its instances."""
        return len(self.batch)

    @property
    def group(self) -> Hashable:
        """Batches of equal parameters are joined; the task itself puts rows of like length together."""
        if self.batch.shape is None:
            return None
        return ("task", *sorted(self.batch.parameters.items()), self.batch.shape)

    def run(self, *, deadline: float | None) -> Outputs:
        """Predict alone."""
        return self.task.predict(self.batch, deadline=deadline)

    def run_with(self, others: Sequence[TaskWork], *, deadline: float | None) -> list[Outputs]:
        """Predict together."""
        batches = [self.batch, *(other.batch for other in others)]
        outputs = self.task.predict(Batch.joined(batches), deadline=deadline)
        return outputs.split([len(batch) for batch in batches])

    def predictions(self, result: Outputs) -> list[dict[str, Any]]:
        """Return a prediction for each instance."""
        return self.task.encode(result)


@dataclass(slots=True)
class TensorWork:
    """A graph's inputs as they came, and the outputs that are wanted."""

    runner: Runner
    feeds: Tensors
    outputs: tuple[str, ...]

    @property
    def rows(self) -> int:
        """The length of the first axis, or 1 where that is no axis of rows."""
        return self._length or 1

    @property
    def group(self) -> Hashable:
        """Tensors are joined along their first axis when they agree in all others."""
        if self._length is None:
            return None
        shapes = tuple((name, array.dtype.str, array.shape[1:]) for name, array in self.feeds.items())
        return ("tensors", self.outputs, shapes)

    def run(self, *, deadline: float | None) -> Tensors:
        """Run alone."""
        if self._length:
            return run_rows(self.runner, self.feeds, outputs=self.outputs, deadline=deadline)
        return self.runner.run(self.feeds, outputs=self.outputs, deadline=deadline)

    def run_with(self, others: Sequence[TensorWork], *, deadline: float | None) -> list[Tensors]:
        """Run together."""
        works = [self, *others]
        feeds = {name: np.concatenate([work.feeds[name] for work in works]) for name in self.feeds}
        results = self.runner.run(feeds, outputs=self.outputs, deadline=deadline)
        ends = np.cumsum([work.rows for work in works])[:-1]
        parts = {name: np.split(array, ends) for name, array in results.items()}
        return [{name: split[index] for name, split in parts.items()} for index in range(len(works))]

    def predictions(self, result: Tensors) -> list[Mapping[str, Any]]:
        """Return the outputs as one row: not every graph has an axis of rows."""
        return [result]

    @property
    def _length(self) -> int | None:
        """How many rows all inputs have, or None where they have no such axis in common."""
        lengths = {array.shape[0] for array in self.feeds.values() if array.ndim}
        return lengths.pop() if len(lengths) == 1 and rows_first(self.runner.tensors) else None
