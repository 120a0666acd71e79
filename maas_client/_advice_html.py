"""Advice in a notebook: drawn inline, without a script, readable in the light and in the dark.

The front differs from the rest by colour (blue and vermilion of Okabe and Ito, "Color Universal Design",
2008), by shape and by the words of the table.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from maas_client import _advice_text
from maas_client._advice_text import share
from maas_client._display import _CELL, _TABLE, _cut, _note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_client.advice import MeasuredAdvice
    from maas_client.types import AdviceVariant

_WIDTH, _HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 120, 14, 34
_NAME_WIDTH, _NAME_HEIGHT = 110.0, 12.0
FRONT, REST = "#0072b2", "#d55e00"
_GREY = "rgba(128,128,128,.45)"


def of_advice(advice: MeasuredAdvice) -> str:
    """Return the recommendation, the table, the picture and what to know."""
    title = f"<b>{escape(_cut(advice.model))} version {advice.version}</b>, for {escape(advice.objective)}"
    head = "".join(
        f'<th style="{_CELL}">{escape(name.lower().replace(" mb", " MB"))}</th>' for name in _advice_text.HEAD
    )
    rows = "".join(
        f"<tr>{''.join(f'<td style={_CELL!r}>{escape(_cut(cell))}</td>' for cell in row)}</tr>"
        for row in _advice_text.rows_of(advice)
    )
    told = f"<p>{escape(_advice_text.recommended(advice))}</p>"
    table = f'<table style="{_TABLE}"><tr>{head}</tr>{rows}</table>'
    notes = "".join(map(_note, _advice_text.notes(advice)))
    picture = drawn(advice.variants)
    meaning = _note("circles are on the Pareto front: nothing beats them in everything") if picture else ""
    return f"<div>{title}{told}{table}{picture}{meaning}{notes}</div>"


def drawn(variants: Sequence[AdviceVariant]) -> str:
    """Return time of a call against memory as inline SVG; nothing of fewer than two points."""
    points = [(each, each.p50_ms, (each.memory_bytes or 0) / 1e6) for each in variants if each.memory_bytes]
    if len(points) < 2:  # noqa: PLR2004 - one point is no picture
        return ""
    times, sizes = [time for _, time, _ in points], [size for _, _, size in points]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    marks, names = [], list[tuple[float, float]]()
    for each, time, size in points:
        x = _LEFT + share(time, min(times), max(times)) * (right - _LEFT)
        y = bottom - share(size, min(sizes), max(sizes)) * (bottom - _TOP)
        names.append(_free(x + 8, y + 4, names))
        marks.append(_mark(each, x, y, names[-1]))
    corner = f"{_LEFT},{_TOP} {_LEFT},{bottom} {right},{bottom}"
    axes = f'<polyline points="{corner}" fill="none" stroke="{_GREY}"></polyline>'
    ends = (
        _text(_LEFT - 6, bottom, f"{min(sizes):.4g} MB", anchor="end")
        + _text(_LEFT - 6, _TOP + 4, f"{max(sizes):.4g} MB", anchor="end")
        + _text(_LEFT, bottom + 16, f"{min(times):.3g} ms")
        + _text(right, bottom + 16, f"{max(times):.3g} ms a call", anchor="end")
    )
    summary = escape(", ".join(f"{each.name} {time:.3g} ms {size:.4g} MB" for each, time, size in points))
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="time of a call and memory: {summary}" '
        f'style="max-width:100%;height:auto;font:11px sans-serif">{axes}{ends}{"".join(marks)}</svg>'
    )


def _free(x: float, y: float, taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return where a name may stand: lower, where it would cover another."""
    while any(abs(x - other) < _NAME_WIDTH and abs(y - below) < _NAME_HEIGHT for other, below in taken):
        y += _NAME_HEIGHT
    return x, y


def _mark(variant: AdviceVariant, x: float, y: float, name: tuple[float, float]) -> str:
    title = f"<title>{escape(variant.title)}</title>"
    if variant.pareto:
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{FRONT}">{title}</circle>'
    else:
        corner = f'x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"'
        shape = f'<rect {corner} fill="none" stroke="{REST}" stroke-width="2">{title}</rect>'
    return shape + _text(*name, variant.name)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">{escape(text)}</text>'
