"""Loss curves in a notebook: drawn inline, without a script, readable in the light and in the dark.

The two lines differ by colour (blue and vermilion of Okabe and Ito, "Color Universal Design", 2008, which
all common colour blindnesses tell apart), by dashes and by their names at their ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from maas_client._display import _CELL, _TABLE, _cut, _interval, _matrix, _note

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maas_client.fine_tunes import FineTuned, LossCurve
    from maas_client.types import TrainingPoint

_WIDTH, _HEIGHT = 480, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 132, 10, 24
_SAMPLE = 18
_TRAIN, _VALIDATION = "#0072b2", "#d55e00"
# Brightness between the two pages' own, so that the same line is seen on both.
_GREY = "rgba(128,128,128,.45)"
_LEAST_APART = 13.0


@dataclass(frozen=True, slots=True)
class _Line:
    """One of the losses, as epochs and values; those that are no finite numbers are left out."""

    name: str
    colour: str
    dashes: str
    points: Sequence[tuple[int, float]]


def of_curve(curve: LossCurve) -> str:
    """Return a curve as a picture with its last figures as a text."""
    if not curve:
        return _note("no epoch has ended yet")
    return f"<div>{drawn(curve)}{_note(told(curve[-1]))}</div>"


def of_fine_tuned(made: FineTuned) -> str:
    """Return a table of metrics, the confusion matrix, the loss curve and the warnings."""
    rows = "".join(
        f"<tr>{_td(metric.name.replace('_', ' '))}{_td(f'{metric.value:.4g}')}"
        f"{_td(_interval(metric.interval))}{_td(metric.unit)}</tr>"
        for metric in made.metrics
    )
    head = "".join(map(_td, ("", "value", "95 % interval", "unit")))
    table = f'<table style="{_TABLE}"><tr>{head}</tr>{rows}</table>' if rows else ""
    matrix = _matrix(made.evaluation.confusion_matrix) if made.evaluation else ""
    notes = [*made.warnings, *(made.evaluation.notes if made.evaluation else ())]
    title = f"<b>{escape(_cut(made.model))} version {made.version}</b>"
    return f"<div>{title}{table}{matrix}{of_curve(made.loss_curve)}{_notes((*notes, made_of(made)))}</div>"


def made_of(made: FineTuned) -> str:
    """Return what it was made from, in a line."""
    rows = ", ".join(f"{count:,} {part}" for part, count in made.rows.items())
    base = f" of {made.base.model} version {made.base.version}" if made.base else ""
    measured = f"; measured on the {made.evaluated_on} rows" if made.evaluated_on else ""
    return f"{made.features}{base}; rows: {rows}{measured}"


def told(point: TrainingPoint) -> str:
    """Return where a training is, in a line."""
    watched = "" if point.validation_loss is None else f", validation {point.validation_loss:.4g}"
    right = "" if point.validation_accuracy is None else f", {point.validation_accuracy:.1%} right"
    return f"epoch {point.epoch:,}: loss {point.loss:.4g}{watched}{right}"


def drawn(curve: LossCurve) -> str:
    """Return a curve as inline SVG; nothing where no value is a finite number."""
    lines = [line for line in _lines(curve) if line.points]
    if not lines:
        return ""
    values = [value for line in lines for _, value in line.points]
    place = _Place(curve[0].epoch, curve[-1].epoch, min(values), max(values))
    summary = escape(f"the loss by epoch; {told(curve[-1])}")
    best = curve.lowest
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{summary}" style="max-width:100%;height:auto;font:11px sans-serif">'
        f"{_axes(place)}{_best(place, best.epoch) if best else ''}"
        f"{''.join(_polyline(place, line) for line in lines)}{_names(place, lines)}</svg>"
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where epochs and losses are on the picture."""

    first: int
    last: int
    low: float
    high: float

    def across(self, epoch: int) -> float:
        share = (epoch - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def down(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _lines(curve: Iterable[TrainingPoint]) -> list[_Line]:
    points = list(curve)
    return [
        _Line("train", _TRAIN, "", _finite((point.epoch, point.loss) for point in points)),
        _Line(
            "validation",
            _VALIDATION,
            "6 3",
            _finite((point.epoch, point.validation_loss) for point in points),
        ),
    ]


def _finite(points: Iterable[tuple[int, float | None]]) -> list[tuple[int, float]]:
    return [(epoch, value) for epoch, value in points if value is not None and math.isfinite(value)]


def _axes(place: _Place) -> str:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    lines = "".join(
        f'<polyline points="{_LEFT},{y:.1f} {right},{y:.1f}" fill="none" stroke="{_GREY}"></polyline>'
        f"{_text(_LEFT - 6, y + 4, f'{value:.3g}', anchor='end')}"
        for value, y in ((value, place.down(value)) for value in dict.fromkeys((place.high, place.low)))
    )
    first = _text(place.across(place.first), bottom + 16, f"{place.first:,}", anchor="middle")
    if place.last == place.first:
        return f"{lines}{first}"
    return f"{lines}{first}{_text(right, bottom + 16, f'epoch {place.last:,}', anchor='end')}"


def _best(place: _Place, epoch: int) -> str:
    x = place.across(epoch)
    return (
        f'<polyline points="{x:.1f},{_TOP} {x:.1f},{_HEIGHT - _BOTTOM}" fill="none" stroke="currentColor" '
        f'stroke-opacity=".5" stroke-dasharray="2 3"><title>the lowest validation loss, epoch {epoch:,}'
        "</title></polyline>"
    )


def _polyline(place: _Place, line: _Line) -> str:
    if len(line.points) == 1:
        ((epoch, value),) = line.points
        centre = f'cx="{place.across(epoch):.1f}" cy="{place.down(value):.1f}"'
        return f'<circle {centre} r="3" fill="{line.colour}"></circle>'
    points = " ".join(f"{place.across(epoch):.1f},{place.down(value):.1f}" for epoch, value in line.points)
    return (
        f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="2" '
        f'stroke-dasharray="{line.dashes}"></polyline>'
    )


def _names(place: _Place, lines: Sequence[_Line]) -> str:
    """Return each line's name and last value at its end, moved apart where they would meet.

    They are in the page's colour behind a sample of the line: coloured text of this size is hard to read.
    """
    ends = sorted(((place.down(line.points[-1][1]), line) for line in lines), key=lambda end: end[0])
    heights: list[float] = []
    for y, _ in ends:
        heights.append(max(y, heights[-1] + _LEAST_APART) if heights else y)
    # Not below the axis, where the epochs stand.
    lift = max(0.0, heights[-1] - (_HEIGHT - _BOTTOM))
    return "".join(_name(line, y - lift) for y, (_, line) in zip(heights, ends, strict=True))


def _name(line: _Line, y: float) -> str:
    start = _WIDTH - _RIGHT + 6
    sample = (
        f'<polyline points="{start},{y:.1f} {start + _SAMPLE},{y:.1f}" fill="none" '
        f'stroke="{line.colour}" stroke-width="2" stroke-dasharray="{line.dashes}"></polyline>'
    )
    return sample + _text(start + _SAMPLE + 5, y + 4, f"{line.name} {line.points[-1][1]:.3g}")


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">{escape(text)}</text>'


def _td(text: str) -> str:
    return f'<td style="{_CELL}">{escape(_cut(text))}</td>'


def _notes(notes: Iterable[str]) -> str:
    return "".join(map(_note, notes))
