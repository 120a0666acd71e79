"""Advice as plain text, for `print` and terminals: a table, and a picture of characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._text_tables import aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_client.advice import MeasuredAdvice
    from maas_client.types import AdviceVariant, StaticFinding

_NONE = "—"
_COLUMNS, _ROWS = 56, 10
_MARKS = "abcdefghijklmnopqrstuvwxyz"
HEAD = ("VARIANT", "P50 MS", "P99 MS", "ROWS/S", "MEMORY MB", "LOAD MS", "LOSS", "AGREES", "FRONT")


def rows_of(advice: MeasuredAdvice) -> list[Sequence[str]]:
    """Return a row of texts for each variant, under `HEAD`."""
    return [
        (
            each.name + (" *" if each.name == advice.recommendation.variant else ""),
            f"{each.p50_ms:.3g}",
            f"{each.p99_ms:.3g}",
            f"{each.throughput_rows_per_second:,.0f}",
            _NONE if each.memory_bytes is None else f"{each.memory_bytes / 1e6:,.1f}",
            f"{each.load_ms:,.0f}",
            _NONE if each.quality is None else f"{each.quality.loss + 0.0:.4g}",
            _NONE if each.quality is None else f"{each.quality.agreement:.1%}",
            "yes" if each.pareto else "",
        )
        for each in advice.variants
    ]


def of_advice(advice: MeasuredAdvice) -> list[str]:
    """Return the recommendation, the table, the picture and what to know."""
    return [
        f"{advice.model} version {advice.version}, for {advice.objective}",
        recommended(advice),
        *aligned([HEAD, *rows_of(advice)]),
        *picture(advice.variants),
        *notes(advice),
    ]


def recommended(advice: MeasuredAdvice) -> str:
    """Return the recommendation in a sentence."""
    variant, reason = advice.recommendation.variant, advice.recommendation.reason
    # Where nothing is better the reason says all.
    return reason if variant is None else f"use {variant}: {reason}"


def notes(advice: MeasuredAdvice) -> list[str]:
    """Return warnings, findings, what was not measured, and what other hardware would bring."""
    return [
        *(f"warning: {each}" for each in advice.warnings),
        *map(finding, advice.findings),
        *(f"not measured: {each.name}: {each.reason}" for each in advice.not_measured),
        *(f"{each.hardware}: {each.text}" for each in advice.hardware),
    ]


def finding(found: StaticFinding) -> str:
    """Return what a look at the package shows, in a line."""
    where = f" ({', '.join(found.where[:3])}{', …' if found.count > 3 else ''})" if found.where else ""  # noqa: PLR2004 - shown
    return f"{found.code}{where}: {found.why}; {found.remedy}"


def picture(variants: Sequence[AdviceVariant]) -> list[str]:
    """Return time of a call across, memory upwards, a letter for each variant, capitals on the front."""
    points = [each for each in variants if each.memory_bytes is not None]
    if len(points) < 2:  # noqa: PLR2004 - one point is no picture
        return []
    times = [each.p50_ms for each in points]
    sizes = [(each.memory_bytes or 0) / 1e6 for each in points]
    grid = [[" "] * _COLUMNS for _ in range(_ROWS)]
    legend = []
    for mark, each, time, size in zip(_MARKS, points, times, sizes, strict=False):
        letter = mark.upper() if each.pareto else mark
        column = round(share(time, min(times), max(times)) * (_COLUMNS - 1))
        grid[_ROWS - 1 - round(share(size, min(sizes), max(sizes)) * (_ROWS - 1))][column] = letter
        legend.append(f"{letter} {each.name}")
    heads = [f"{max(sizes):.4g}", *[""] * (_ROWS - 2), f"{min(sizes):.4g}"]
    margin = max(map(len, heads))
    drawn = [f"{head:>{margin}} │{''.join(row).rstrip()}" for head, row in zip(heads, grid, strict=True)]
    low, high = f"{min(times):.3g} ms", f"{max(times):.3g} ms a call"
    ends = low + high.rjust(_COLUMNS - len(low))
    told = "MB of memory upwards; capitals are on the Pareto front: " + ", ".join(legend)
    return [*drawn, f"{'':>{margin}} └{'─' * _COLUMNS}", f"{'':>{margin}}  {ends}", told]


def share(value: float, low: float, high: float) -> float:
    """Return where a value lies between two others, 0 to 1."""
    return (value - low) / (high - low) if high > low else 0.5
