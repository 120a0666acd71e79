"""Charts as numbers: where the bars and lines of a page's SVG are, in the units of its view box."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from maas_client.types import Curve, ExplainReply, UsageEntry, Version

# The view boxes' size: what is drawn is scaled to the page, texts with it.
WIDTH, HEIGHT = 320, 160
# At the left the longest number of four digits fits, such as -1.235e-05.
_LEFT, _TOP, _RIGHT, _BOTTOM = 66, 10, 10, 24
# Where the charts' own area ends.
LEFT_X, RIGHT_X, TOP_Y, BOTTOM_Y = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
_MOST_DAYS = 31


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar that lies: its length is a part of 100."""

    name: str
    value: float
    length: float


@dataclass(frozen=True, slots=True)
class Latency:
    """How quickly a version answers on a device, in milliseconds; lengths are parts of 100 of the slowest."""

    version: int
    device: str
    p50_ms: float
    p95_ms: float
    p50_length: float
    p95_length: float


@dataclass(frozen=True, slots=True)
class Column:
    """One bar that stands, in the chart's own units."""

    name: str
    value: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Curves:
    """Two curves over the fraction of features changed, as points of SVG's `polyline`.

    Args:
        top: The score at the upper edge.
        bottom: The score at the lower edge.
    """

    deletion: str
    insertion: str
    top: float
    bottom: float


def bars(scores: Mapping[str, float], most: int) -> list[Bar]:
    """Return a bar for each of the highest scores, the highest first."""
    ranked = sorted(scores.items(), key=lambda item: -item[1])[:most]
    # Probabilities are parts of 1; other scores of the largest.
    whole = max([1.0, *(abs(score) for _, score in ranked)])
    return [Bar(label, score, round(max(0.0, score) / whole * 100, 2)) for label, score in ranked]


def latencies(versions: Iterable[Version]) -> list[Latency]:
    """Return what was measured of versions, as bars of one scale."""
    measured = [
        (version.version, each.device, each.p50_ms, each.p95_ms)
        for version in versions
        for each in version.performance
        if each.p50_ms is not None and each.p95_ms is not None
    ]
    slowest = max([p95 for *_, p95 in measured], default=0.0) or 1.0
    return [
        Latency(version, device, p50, p95, round(p50 / slowest * 100, 2), round(p95 / slowest * 100, 2))
        for version, device, p50, p95 in measured
    ]


def rows_by_day(entries: Iterable[UsageEntry]) -> list[Column]:
    """Return the rows of each of the last days that there are entries of, the earliest first."""
    rows: Counter[date] = Counter()
    for entry in entries:
        rows[entry.day] += entry.rows
    days = sorted(rows)[-_MOST_DAYS:]
    most = max([rows[day] for day in days], default=0) or 1
    step = (WIDTH - _LEFT - _RIGHT) / max(len(days), 7)
    return [
        Column(
            day.isoformat(),
            rows[day],
            x=round(_LEFT + index * step, 2),
            y=round(_y(rows[day] / most), 2),
            width=round(step * 0.8, 2),
            height=round(_y(0) - _y(rows[day] / most), 2),
        )
        for index, day in enumerate(days)
    ]


def curves(explained: ExplainReply) -> Curves | None:
    """Return an explanation's two curves on one scale; None where they were not measured."""
    measured = explained.faithfulness
    if measured is None:
        return None
    scores = [*measured.deletion.scores, *measured.insertion.scores, explained.baseline, explained.prediction]
    bottom, top = min(scores), max(scores)
    return Curves(
        _points(measured.deletion, bottom, top), _points(measured.insertion, bottom, top), top, bottom
    )


def _points(curve: Curve, bottom: float, top: float) -> str:
    extent = (top - bottom) or 1.0
    return " ".join(
        f"{_x(fraction):.1f},{_y((score - bottom) / extent):.1f}"
        for fraction, score in zip(curve.fractions, curve.scores, strict=True)
    )


def _x(fraction: float) -> float:
    return _LEFT + fraction * (WIDTH - _LEFT - _RIGHT)


def _y(part: float) -> float:
    return HEIGHT - _BOTTOM - part * (HEIGHT - _TOP - _BOTTOM)
