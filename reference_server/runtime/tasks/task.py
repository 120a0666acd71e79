"""The shape of a task: decode → predict → encode, from a request's values to a reply's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from pydantic import JsonValue

    from maas_client.types import TaskSignature
    from reference_server.runtime.runner import Tensors


@dataclass(slots=True)
class Batch:
    """Checked instances, by column. Batches of equal parameters may be joined.

    Args:
        columns: For each input of the task signature one value per instance, as the task wants it.
        parameters: The checked options of the call.
        shape: What batches must have in common beside their parameters to be joined; None joins none.
    """

    columns: Mapping[str, Sequence[Any]]
    parameters: Mapping[str, JsonValue]
    shape: Hashable = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """Return the instances of several batches of equal parameters as one batch, in their order."""
        first = batches[0]
        columns = {
            name: [each for batch in batches for each in batch.columns[name]] for name in first.columns
        }
        return Batch(columns, first.parameters, first.shape)


@dataclass(slots=True)
class Outputs:
    """What the model computed for a batch: tensors whose first axis runs over its instances."""

    tensors: Tensors
    parameters: Mapping[str, JsonValue]

    @property
    def rows(self) -> int:
        """How many instances there were."""
        return len(next(iter(self.tensors.values())))

    def split(self, sizes: Sequence[int]) -> list[Outputs]:
        """Return the outputs of each of the batches that were joined, of `sizes` instances."""
        ends = np.cumsum(sizes)[:-1]
        parts = {name: np.split(tensor, ends) for name, tensor in self.tensors.items()}
        return [
            Outputs({name: rows[index] for name, rows in parts.items()}, self.parameters)
            for index in range(len(sizes))
        ]


class Task(Protocol):
    """What a model does, as `/v1` shows it. Its methods may be called from several threads at once."""

    @property
    def signature(self) -> TaskSignature:
        """What one instance takes and returns."""

    def decode(
        self, instances: Sequence[object], parameters: Mapping[str, object], *, single: bool = False
    ) -> Batch:
        """Check a call's values.

        Args:
            instances: One JSON object per instance.
            parameters: The call's options.
            single: Whether errors name `text` rather than `instances[0].text`.

        Raises:
            Unprocessable: With every fault found, at most 100, in `details`.
        """

    def predict(self, batch: Batch, *, deadline: float | None = None) -> Outputs:
        """Run the model.

        Args:
            batch: What `decode` returned.
            deadline: A `time.monotonic()` value.

        Raises:
            DeadlineExceeded: The deadline passed first.
            Unprocessable: The model failed on these values.
        """

    def encode(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Return one prediction per instance, in the order of the instances.

        Its values are JSON values or arrays of numbers, which orjson writes as they are: NaN and infinities
        as null, which whoever writes the reply has to look for.

        Raises:
            Unprocessable: Code `non_finite_output`: JSON has no NaN and no infinity.
        """
