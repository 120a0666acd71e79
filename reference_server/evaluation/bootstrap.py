"""Bootstrap intervals: how far a metric would move with another sample of the same size.

The percentile method of Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3: rows
are drawn with replacement, as many as there are, and the metric is taken of each such sample. What the rows
do not show, no sample of them shows either: of fewer than some 30 rows the intervals are too narrow, and they
are not to be trusted for what rests on a few of many rows, such as the F1 of a rare label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reference_server.evaluation.metrics import Floats

RESAMPLES = 1000
SEED = 0
_EDGES = (2.5, 97.5)


def intervals(
    measure: Callable[[Floats], Mapping[str, float]],
    rows: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    each: Callable[[], object] = lambda: None,
) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of each metric, from the 2.5th to the 97.5th percentile.

    Args:
        measure: Returns the metrics by name for weights `[rows]`: how often each row was drawn.
        rows: How many there are.
        resamples: How many samples are drawn.
        seed: The same one gives the same intervals.
        each: Called before each sample; what it raises ends the work.

    Returns:
        The interval by metric. A metric that is NaN in some sample has none, nor has one that is the same in
        all of them: that is what rows do which are all alike, and nothing is known of others.
    """
    if rows == 1:
        return {}
    draw = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    for _ in range(resamples):
        each()
        drawn = np.bincount(draw.integers(rows, size=rows), minlength=rows).astype(np.float64)
        for name, value in measure(drawn).items():
            found.setdefault(name, []).append(value)
    return {
        name: _interval(values)
        for name, values in found.items()
        if np.isfinite(values).all() and min(values) < max(values)
    }


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, _EDGES)
    return float(low), float(high)
