"""The proof of a graph: what it computes, through the very task that will serve it, is what was trained."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from maas_client._package import open_package
from reference_server.errors import Unprocessable
from reference_server.evaluation.work import sliced
from reference_server.jobs.models import ALONE
from reference_server.runtime.pool import Loadable
from reference_server.training.bases import CHUNK_ROWS, decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from maas_client._package import Package
    from reference_server.jobs.context import Context
    from reference_server.training.rows import Part

TOLERANCE = 1e-5
# 256 rows: those held out, and where they are few, training rows before them.
_MOST_CHUNKS = 8


def prove(
    context: Context,
    package: bytes,
    parts: Mapping[str, Part],
    expected: NDArray[np.float64],
    *,
    unit: float,
    batch_invariant: bool | None,
) -> tuple[int, float]:
    """Hold a package against what the trainer computes.

    Args:
        context: Told how far it is.
        package: A zip.
        parts: The rows, which run as they did for the features: the same ones together, or each by itself
            where company moves results.
        expected: The trainer's outputs, `[rows, outputs]`, part after part.
        unit: What a difference is divided by: 1 for probabilities, the targets' deviation for values.
        batch_invariant: What was found of the base; None where there is none.

    Returns:
        How many rows were looked at, and the largest difference.

    Raises:
        Unprocessable: Code `graph_differs`.
    """

    @contextmanager
    def opened() -> Iterator[Package]:
        with open_package(io.BytesIO(package)) as found:
            yield found

    with opened() as found:
        digest = found.digest
    loaded = context.services.pool.get(Loadable(digest, opened, batch_invariant, ALONE))
    batch = decoded(loaded.task, parts)
    starts = range(0, len(batch), CHUNK_ROWS)[-_MOST_CHUNKS:]
    rows = len(batch) - starts[0]
    largest = 0.0
    context.begin(0, rows, unit="row proved")
    for start in starts:
        outputs = loaded.task.predict(sliced(batch, start, start + CHUNK_ROWS))
        (tensor,) = outputs.tensors.values()
        given = tensor.astype(np.float64).reshape(len(tensor), -1)
        largest = max(largest, float(np.abs(given - expected[start : start + CHUNK_ROWS]).max()) / unit)
        context.progress(start - starts[0] + len(tensor), rows)
    if not largest <= TOLERANCE:
        raise Unprocessable(
            f"the joined graph differs by {largest:.2g} from what was trained; {TOLERANCE:g} is the most. "
            "Nothing was published: see whether the base gives one text the same embedding each time",
            code="graph_differs",
            param="base",
        )
    return rows, largest
