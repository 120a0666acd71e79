"""The background of a table: rows that stand for columns which an explanation leaves out.

A package ships them as `background.json`, `{"rows": [{"column": value, …}, …], "weights": [1.0, …]}`: a
sample of the training rows, or the centres of their clusters weighted by how many rows each stands for (as
`shap.kmeans` summarises them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from pydantic import Field, FiniteFloat, JsonValue, ValidationError

from maas_client._package import BACKGROUND
from maas_client.errors import describe_validation
from maas_client.types import Request
from reference_server.errors import Unprocessable
from reference_server.runtime.tasks.instances import Inputs
from reference_server.runtime.tasks.task import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maas_client._package import Package

# Each coalition costs as many evaluations as there are rows: more would tell little and cost much.
MOST_ROWS = 100

Checks: TypeAlias = Mapping[str, tuple[str, Callable[[Any], Any]]]


@dataclass(frozen=True, slots=True)
class Background:
    """Rows and how much each counts.

    Args:
        batch: Checked rows, by column.
        weights: `[rows]`, which add up to 1.
    """

    batch: Batch
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.batch)

    def mean(self) -> Background:
        """Return one row in the place of all: means of numbers, the string that counts most."""
        columns = {name: [self._middle(values)] for name, values in self.batch.columns.items()}
        return Background(Batch(columns, {}), np.ones(1))

    def _middle(self, values: Any) -> Any:  # noqa: ANN401 - a column's values, and one of them
        if isinstance(values[0], str):
            counts: dict[str, float] = {}
            for value, weight in zip(values, self.weights.tolist(), strict=True):
                counts[value] = counts.get(value, 0.0) + weight
            return max(counts, key=counts.__getitem__)
        mean = float(np.array(values, np.float64) @ self.weights)
        # A graph that takes whole numbers takes no other.
        return round(mean) if all(isinstance(value, int) for value in values) else mean


class _BackgroundFile(Request):
    rows: list[dict[str, JsonValue]] = Field(min_length=1, max_length=MOST_ROWS)
    weights: list[Annotated[FiniteFloat, Field(gt=0, lt=1e12)]] | None = None


def read_background(package: Package, checks: Checks) -> Background | None:
    """Return the background that a package ships, or None.

    Args:
        package: May name it in `preprocessing.background`.
        checks: For each column its type and what checks a value, as for a prediction.

    Raises:
        Unprocessable: Code `model_rejected`, naming the row and the column at fault.
    """
    if package.manifest.preprocessing.background is None:
        return None
    try:
        file = _BackgroundFile.model_validate_json(package.read(BACKGROUND), strict=True)
    except ValidationError as error:
        raise _rejected(describe_validation(error)) from None
    weights = file.weights or [1.0] * len(file.rows)
    if len(weights) != len(file.rows):
        raise _rejected(f"it has {len(file.rows)} rows and {len(weights)} weights")
    try:
        batch = Inputs("a background", checks).decode(file.rows, {}, single=False)
    except Unprocessable as error:
        raise _rejected(error.message.replace("instances[", "rows[")) from None
    values = np.array(weights, np.float64)
    return Background(batch, values / values.sum())


def _rejected(message: str) -> Unprocessable:
    return Unprocessable(f"{BACKGROUND}: {message}", code="model_rejected")
