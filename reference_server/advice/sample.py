"""The rows that everything is measured on, whole or some at a time, after the last the first again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reference_server.runtime.tasks import Batch

if TYPE_CHECKING:
    from reference_server.evaluation.targets import Labels, Values


@dataclass(frozen=True, slots=True)
class Sample:
    """Checked rows.

    Args:
        batch: All of them.
        targets: What is true of each, where that was given.
        is_given: Whether a caller gave them; else there is the manifest's example alone.
    """

    batch: Batch
    targets: Labels | Values | None
    is_given: bool

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def can_be_joined(self) -> bool:
        """Whether rows of different calls could share a run."""
        return self.batch.shape is not None

    def some(self, start: int, count: int) -> Batch:
        """Return `count` rows from a row on."""
        size = len(self.batch)
        rows = [(start + each) % size for each in range(count)]
        columns = {name: [column[row] for row in rows] for name, column in self.batch.columns.items()}
        return Batch(columns, self.batch.parameters, self.batch.shape)
