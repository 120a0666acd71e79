"""Rows of a table with some of their columns left out, others' values standing there.

A column that is left out is averaged over a background (Lundberg and Lee, "A Unified Approach to Interpreting
Model Predictions", NeurIPS 2017, section 4): the score of a coalition is the weighted mean over the
background's rows of the score with their values in the place of those that are away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reference_server.errors import Unprocessable
from reference_server.explain.attribution import least_budget
from reference_server.explain.features import MOST_FEATURES, Feature
from reference_server.runtime.tasks import Batch

if TYPE_CHECKING:
    from maas_client.types import ExplainMethod
    from reference_server.explain.game import Booleans
    from reference_server.runtime.tasks.backgrounds import Background

# Fewer coalitions for each column leave KernelSHAP with little to go by.
_PER_COLUMN = 4


class MaskedRow:
    """A row whose columns can be left out.

    Args:
        row: The checked instance: one value for each column.
        background: What stands for the columns that are away.
        notes: What to know of it.
    """

    unit = "columns"
    masking = "background"

    def __init__(self, row: Batch, background: Background, *, notes: tuple[str, ...] = ()) -> None:
        self.features = [Feature(name, name) for name in row.columns]
        self.weights = background.weights
        self.notes = notes
        self._columns: list[tuple[str, Any, Any]] = [
            (name, values[0], background.batch.columns[name]) for name, values in row.columns.items()
        ]

    def masked(self, coalitions: Booleans) -> Batch:
        """Return each coalition over all rows of the background; see `Maskable.masked`."""
        rows = len(self.weights)
        return Batch(
            {
                name: [
                    each
                    for is_there in coalitions[:, column].tolist()
                    for each in ([own] * rows if is_there else others)
                ]
                for column, (name, own, others) in enumerate(self._columns)
            },
            {},
        )


def masked_row(row: Batch, background: Background | None, *, method: ExplainMethod, budget: int) -> MaskedRow:
    """Return a row whose columns can be left out, against as much of the background as the budget bears.

    Raises:
        Unprocessable: The model has no background, or too many columns.
    """
    if background is None:
        raise Unprocessable(
            "this version ships no background, without which nobody can say what a column's absence means; "
            'publish one with `background.json` in the package and `background = "background.json"` under '
            "`[preprocessing]`: up to 100 rows of the training data, or the centres of its clusters",
            code="no_background",
        )
    columns = len(row.columns)
    if columns > MOST_FEATURES:
        raise Unprocessable(
            f"the model has {columns:,} columns, and at most {MOST_FEATURES} can be told apart",
            code="too_many_features",
        )
    wanted = _coalitions(columns, method)
    # All columns are the instance itself, one row.
    least = 1 + len(background) * (wanted - 1)
    if len(background) == 1 or budget >= least:
        return MaskedRow(row, background)
    note = (
        f"Columns that are away have their background's mean, because a budget of {budget:,} does not bear "
        f"all {len(background)} rows of it; from {least:,} on they are averaged over. For a model that is "
        "not linear the two differ."
    )
    return MaskedRow(row, background.mean(), notes=(note,))


def _coalitions(columns: int, method: ExplainMethod) -> int:
    """Return how many coalitions a method should have."""
    if method in ("exact", "fast"):
        return least_budget(columns, method)
    return min(int(2**columns), _PER_COLUMN * columns + 2)
