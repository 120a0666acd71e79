"""An explanation on its way through a lane of its own, whose runs take their turns in the model's lanes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reference_server.errors import DeadlineExceeded
from reference_server.explain.scoring import Turns
from reference_server.runtime.work import TaskWork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reference_server.explain.explaining import Explained, Explaining
    from reference_server.runtime.lanes import Lanes
    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.tasks import Batch, Outputs


@dataclass(slots=True)
class ExplanationWork:
    """One explanation.

    Its rows are at first the most that it may run, by which quotas and queues reckon, and at last those that
    ran.

    Args:
        explaining: What to do.
        model: Whose lanes its runs go through, between those of others.
        lanes: Those.
        timer: Seconds, monotonic; the clock of deadlines.
    """

    explaining: Explaining
    model: LoadedModel
    lanes: Lanes
    timer: Callable[[], float] = time.monotonic
    rows: int = field(init=False)
    group: None = None
    _unwanted: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Reckon with the most."""
        self.rows = self.explaining.most_rows

    def run(self, *, deadline: float | None) -> Explained:
        """Explain; see `Explaining.run` for what it raises."""

        def check() -> None:
            if self._unwanted or (deadline is not None and self.timer() >= deadline):
                raise DeadlineExceeded("the time for this call ran out before the explanation was complete")

        def predict(batch: Batch) -> tuple[Outputs, float]:
            check()
            ticket = self.lanes.run(self.model, TaskWork(self.model.task, batch), deadline)
            if ticket.error is not None:
                raise ticket.error
            return ticket.result, ticket.ended - ticket.started

        turns = Turns(predict, row_seconds=self.model.compute_ms / 1000)
        explained = self.explaining.run(turns, timer=self.timer, check=check)
        self.rows = turns.rows
        return explained

    def run_with(self, others: Sequence[Any], *, deadline: float | None) -> list[Any]:
        """Run each by itself."""
        return [work.run(deadline=deadline) for work in (self, *others)]

    def abandon(self) -> None:
        """End at the next turn: nobody waits any more."""
        self._unwanted = True
