"""The loss curve of a training as its page shows it: lines of an SVG, and the figures beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reference_server.console.charts import BOTTOM_Y, LEFT_X, RIGHT_X, TOP_Y
from reference_server.console.rendering import figure, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from maas_client.types import TrainingPoint


@dataclass(frozen=True, slots=True)
class LossPicture:
    """Where a loss curve's lines are, in the chart's own units, and what stands beside them.

    Args:
        points: Of the lines `train` and `validation`, as SVG's `polyline` takes them.
        texts: The figures by name: the edges of both axes, and those of the last epoch.
        best: Where on the axis the epoch is whose parameters were kept; None where that is not known.
    """

    points: Mapping[str, str]
    texts: Mapping[str, str]
    best: float | None = None


def picture(curve: Sequence[TrainingPoint], *, best_epoch: int | None = None) -> LossPicture:
    """Return a curve as it is drawn; before the first epoch has ended it has no lines."""
    if not curve:
        return LossPicture({"train": "", "validation": ""}, dict.fromkeys(_TEXTS, ""))
    train = _finite((point.epoch, point.loss) for point in curve)
    validation = _finite((point.epoch, point.validation_loss) for point in curve)
    values = [value for _, value in (*train, *validation)] or [0.0]
    scale = _Scale(curve[0].epoch, curve[-1].epoch, min(values), max(values))
    last = curve[-1]
    texts = (
        short(scale.high),
        short(scale.low),
        f"{scale.first:,}",
        f"{scale.last:,}",
        f"{last.epoch:,}",
        figure(last.loss),
        figure(last.validation_loss),
        figure(last.learning_rate),
    )
    return LossPicture(
        {"train": scale.line(train), "validation": scale.line(validation)},
        dict(zip(_TEXTS, texts, strict=True)),
        None if best_epoch is None else round(scale.across(best_epoch), 1),
    )


_TEXTS = ("top", "bottom", "first", "last", "epoch", "loss", "validation-loss", "rate")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where epochs and losses are on the picture."""

    first: int
    last: int
    low: float
    high: float

    def across(self, epoch: int) -> float:
        share = (epoch - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        return LEFT_X + share * (RIGHT_X - LEFT_X)

    def down(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return BOTTOM_Y - share * (BOTTOM_Y - TOP_Y)

    def line(self, points: Sequence[tuple[int, float]]) -> str:
        placed = [f"{self.across(epoch):.1f},{self.down(value):.1f}" for epoch, value in points]
        if len(placed) == 1:
            # A line needs two points; this one is seen as a dash.
            epoch, value = points[0]
            placed.append(f"{self.across(epoch) + 4:.1f},{self.down(value):.1f}")
        return " ".join(placed)


def _finite(points: Iterable[tuple[int, float | None]]) -> list[tuple[int, float]]:
    return [(epoch, value) for epoch, value in points if value is not None and math.isfinite(value)]
