"""An evaluation as a lane runs it: predict in chunks, hold against the targets, measure."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from reference_server.errors import Unprocessable
from reference_server.evaluation.rows import Classified, Valued
from reference_server.evaluation.summary import summarise
from reference_server.runtime.tasks import Batch
from reference_server.runtime.tasks.outputs import check_finite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maas_client.types import Evaluation
    from reference_server.evaluation.summary import Subject
    from reference_server.evaluation.targets import Labels, Values
    from reference_server.runtime.tasks import Task

# Between two chunks a job hears that it is to end, and tells how far it has come.
_CHUNK_SECONDS = 0.25
_FIRST_ROWS, _MOST_ROWS = 8, 512


@dataclass(slots=True)
class EvaluationWork:
    """Checked inputs and their targets; it shares no run with others."""

    task: Task
    batch: Batch
    targets: Labels | Values
    subject: Subject
    group: None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.batch)

    def run(self, *, deadline: float | None) -> Evaluation:
        """Predict and measure; see `Task.predict` for what it raises."""
        parts = list(self.parts(0, deadline=deadline))
        return summarise(joined(parts), self.subject)

    def run_with(self, others: Sequence[Any], *, deadline: float | None) -> list[Any]:
        """Run each by itself."""
        return [work.run(deadline=deadline) for work in (self, *others)]

    def parts(self, start: int, *, deadline: float | None) -> Iterator[Classified | Valued]:
        """Predict from a row on, in chunks of about a quarter of a second."""
        first, size = start, _FIRST_ROWS
        while first < self.rows:
            began = perf_counter()
            outputs = self.task.predict(sliced(self.batch, first, first + size), deadline=deadline)
            for tensor in outputs.tensors.values():
                check_finite(tensor)
            yield self.targets.rows(outputs, first)
            first += size
            size = _next_size(size, perf_counter() - began)


def decode(task: Task, inputs: Sequence[object], parameters: Mapping[str, object]) -> Batch:
    """Check inputs as a prediction's instances are.

    Raises:
        Unprocessable: Naming every row at fault as the caller does: `inputs[17].text`.
    """
    try:
        return task.decode(inputs, parameters)
    except Unprocessable as error:
        raise _of_inputs(error) from None


def joined(parts: Sequence[Classified | Valued]) -> Classified | Valued:
    """Return the rows of several chunks of one evaluation."""
    classified = [part for part in parts if isinstance(part, Classified)]
    return (
        Classified.joined(classified)
        if classified
        else Valued.joined([p for p in parts if isinstance(p, Valued)])
    )


def sliced(batch: Batch, start: int, stop: int) -> Batch:
    """Return some rows of a batch."""
    columns = {name: column[start:stop] for name, column in batch.columns.items()}
    return Batch(columns, batch.parameters, batch.shape)


def _next_size(rows: int, seconds: float) -> int:
    fitting = int(rows * _CHUNK_SECONDS / max(seconds, 1e-6))
    return max(1, min(fitting, 4 * rows, _MOST_ROWS))


def _of_inputs(error: Unprocessable) -> Unprocessable:
    def rename(text: str) -> str:
        return text.replace("instances[", "inputs[")

    return Unprocessable(
        rename(error.message),
        code=error.code,
        param=rename(error.param) if error.param else None,
        details=[
            detail.model_copy(update={"param": rename(detail.param) if detail.param else None})
            for detail in error.details
        ],
    )
