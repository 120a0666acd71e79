"""What was measured of a version's variants as pages show it: a table of texts, and the front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maas_client._advice_text import share
from reference_server.console.charts import BOTTOM_Y, LEFT_X, RIGHT_X, TOP_Y
from reference_server.console.rendering import figure, short, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_client.types import AdviceInterval, AdviceVariant
    from reference_server.console.languages import Texts

# As tables show what is not there.
_NOTHING, _TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"
_LABEL_WIDTH, _LABEL_HEIGHT = 14.0, 10.0


@dataclass(frozen=True, slots=True)
class Mark:
    """One variant in the picture, in the chart's own units; its number is that of the table's row."""

    number: int
    title: str
    is_front: bool
    x: float
    y: float
    label_x: float
    label_y: float


@dataclass(frozen=True, slots=True)
class Front:
    """Time of a call from the left to the right, memory from the bottom to the top.

    Args:
        marks: The variants.
        left: What the left edge stands for, with its unit.
        right: Likewise.
        bottom: Likewise.
        top: Likewise.
    """

    marks: Sequence[Mark]
    left: str
    right: str
    bottom: str
    top: str


def rows(measured: Sequence[AdviceVariant], texts: Texts) -> list[list[str]]:
    """Return a row of cells for each variant; the first is its number, the second its name."""
    return [
        [
            str(number),
            f"{each.name}: {each.title}",
            figure(each.p50_ms),
            figure(each.p99_ms),
            _ratio(each.latency),
            f"{each.throughput_rows_per_second:,.0f}",
            _ratio(each.time_per_row),
            size(each.memory_bytes),
            figure(each.load_ms),
            size(each.package_bytes),
            _NOTHING if each.quality is None else f"{each.quality.agreement:.1%}",
            _NOTHING if each.quality is None else f"{each.quality.loss:.4g} ({each.quality.loss_of})",
            texts("advice.row_by_row") if not each.batch_invariant else texts("advice.together"),
            texts("advice.on_front") if each.pareto else "",
        ]
        for number, each in enumerate(measured, 1)
    ]


def picture(measured: Sequence[AdviceVariant]) -> Front | None:
    """Return the front; None of fewer than two points, and where this system does not tell memory."""
    points = [
        (number, each, each.p50_ms, float(each.memory_bytes))
        for number, each in enumerate(measured, 1)
        if each.memory_bytes is not None
    ]
    if len(points) < 2:  # noqa: PLR2004 - one point is no picture
        return None
    times, sizes = [time for *_, time, _ in points], [held for *_, held in points]
    marks: list[Mark] = []
    for number, each, time, held in points:
        x = LEFT_X + 8 + share(time, min(times), max(times)) * (RIGHT_X - LEFT_X - 30)
        y = BOTTOM_Y - 8 - share(held, min(sizes), max(sizes)) * (BOTTOM_Y - TOP_Y - 14)
        label_x, label_y = _free(x + 6, y + 3, marks)
        title = f"{number}. {each.name}"
        marks.append(
            Mark(number, title, each.pareto, *(round(value, 1) for value in (x, y, label_x, label_y)))
        )
    return Front(
        marks,
        left=f"{short(min(times))} ms",
        right=f"{short(max(times))} ms",
        bottom=size(round(min(sizes))),
        top=size(round(max(sizes))),
    )


def _free(x: float, y: float, taken: Sequence[Mark]) -> tuple[float, float]:
    """Return where a number may stand: further right, where it would cover another."""
    while any(
        abs(x - each.label_x) < _LABEL_WIDTH and abs(y - each.label_y) < _LABEL_HEIGHT for each in taken
    ):
        x += _LABEL_WIDTH
    return x, y


def _ratio(ratio: AdviceInterval | None) -> str:
    if ratio is None:
        return _NOTHING
    if ratio.low is None or ratio.high is None:
        return f"{_TIMES} {ratio.median:.3g}"
    return f"{_TIMES} {ratio.median:.3g} ({ratio.low:.3g} {_NOTHING} {ratio.high:.3g})"
