"""Runs rows of tensors: together where that changes nothing, in bounded parts, or one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reference_server.runtime.runner import Runner, Tensor, Tensors

_MOST_ROWS = 256
# 16 images of 3 by 224 by 224 float32 are 10 MB; activations take several times that.
_MOST_BYTES = 16 * 2**20


def run_rows(
    runner: Runner, feeds: Tensors, *, outputs: Sequence[str] | None = None, deadline: float | None = None
) -> dict[str, Tensor]:
    """Run a graph whose tensors all have their rows along a first axis of any length.

    Args:
        runner: The model.
        feeds: One array per graph input, with equally many rows.
        outputs: The graph outputs wanted; all when left out.
        deadline: A `time.monotonic()` value.

    Raises:
        DeadlineExceeded, Unprocessable, Unavailable: As `Runner.run`.
    """
    rows = len(next(iter(feeds.values())))
    if rows == 1 or rows <= (step := rows_per_run(runner, feeds)):
        return runner.run(feeds, outputs=outputs, deadline=deadline)
    parts = [
        runner.run(
            {name: array[start : start + step] for name, array in feeds.items()},
            outputs=outputs,
            deadline=deadline,
        )
        for start in range(0, rows, step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def rows_per_run(runner: Runner, feeds: Tensors) -> int:
    """Return how many rows may share a run: one, where company moves results."""
    if not runner.batch_invariant:
        return 1
    row_bytes = sum(array.nbytes // max(1, len(array)) for array in feeds.values())
    return max(1, min(_MOST_ROWS, _MOST_BYTES // max(1, row_bytes)))


def stacked(rows: Sequence[Tensor]) -> Tensor:
    """Return rows as one array; a single one is not copied."""
    return rows[0][None] if len(rows) == 1 else np.stack(rows)
