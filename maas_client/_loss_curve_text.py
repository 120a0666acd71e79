"""Loss curves and what came of a fine-tune as plain text, for `print` and terminals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from maas_client._text_tables import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maas_client.fine_tunes import FineTuned, LossCurve
    from maas_client.types import TrainingPoint

_COLUMNS, _ROWS = 60, 10
# Told apart without colours; where both fall into one cell the watched rows are what one looks at.
_TRAIN, _VALIDATION = "•", "x"
_NONE = "—"


def of_curve(curve: LossCurve) -> list[str]:
    """Return a picture of characters, `•` for the training rows and `x` for the validation rows.

    It has 10 lines, the axis below and what the characters mean; 60 columns, or fewer for fewer epochs.
    """
    values = [value for _, (_, value) in _cells(curve)]
    if not values:
        return ["no epoch has ended yet"]
    low, high = min(values), max(values)
    first, last = curve[0].epoch, curve[-1].epoch
    width = max(2, min(_COLUMNS, last - first + 1))
    grid = [[" "] * width for _ in range(_ROWS)]
    for mark, (epoch, value) in _cells(curve):
        column = round(_share(epoch, first, last) * (width - 1))
        grid[_ROWS - 1 - round(_share(value, low, high) * (_ROWS - 1))][column] = mark
    heads = [f"{high:.3g}", *[""] * (_ROWS - 2), f"{low:.3g}"]
    margin = max(map(len, heads))
    drawn = [f"{head:>{margin}} │{''.join(row).rstrip()}" for head, row in zip(heads, grid, strict=True)]
    ends = f"{first} " + f"epoch {last}".rjust(width - len(f"{first} "))
    meaning = _TRAIN + " train" + (f", {_VALIDATION} validation" if curve.lowest else "")
    return [*drawn, f"{'':>{margin}} └{'─' * width}", f"{'':>{margin}}  {ends}", meaning]


def of_fine_tuned(made: FineTuned) -> list[str]:
    """Return the metrics, the curve, the warnings and what it was made from."""
    from maas_client._loss_curve_html import made_of

    table = aligned([("METRIC", "VALUE", "95 % INTERVAL", "UNIT"), *metric_rows(made)])
    return [
        f"{made.model} version {made.version}",
        *(table if made.metrics else ()),
        *of_curve(made.loss_curve),
        *(f"note: {warning}" for warning in made.warnings),
        made_of(made),
    ]


def metric_rows(made: FineTuned) -> list[Sequence[str]]:
    """Return a row for each metric: its name, value, 95 % interval and unit."""
    return [
        (
            metric.name,
            f"{metric.value:.4g}",
            _NONE if metric.interval is None else f"{metric.interval[0]:.4g} to {metric.interval[1]:.4g}",
            metric.unit,
        )
        for metric in made.metrics
    ]


def _cells(curve: Sequence[TrainingPoint]) -> Iterator[tuple[str, tuple[int, float]]]:
    for point in curve:
        if math.isfinite(point.loss):
            yield _TRAIN, (point.epoch, point.loss)
    for point in curve:
        if point.validation_loss is not None and math.isfinite(point.validation_loss):
            yield _VALIDATION, (point.epoch, point.validation_loss)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5
