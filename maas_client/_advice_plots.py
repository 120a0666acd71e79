"""Advice as matplotlib draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._advice_html import FRONT, REST
from maas_client._explanation_plots import _matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from maas_client.advice import MeasuredAdvice


def of_advice(advice: MeasuredAdvice, *, ax: Axes | None) -> Axes:
    """Draw time of a call against memory; `MeasuredAdvice.plot` describes it."""
    if ax is None:
        _, ax = _matplotlib().pyplot.subplots(figsize=(7, 4), layout="constrained")
    for is_front, colour, marker, label in (
        (True, FRONT, "o", "Pareto front"),
        (False, REST, "s", "others"),
    ):
        shown = [each for each in advice.variants if each.pareto is is_front and each.memory_bytes]
        if shown:
            times, sizes = [each.p50_ms for each in shown], [(each.memory_bytes or 0) / 1e6 for each in shown]
            ax.scatter(times, sizes, color=colour, marker=marker, label=label)
        for each in shown:
            at = each.p50_ms, (each.memory_bytes or 0) / 1e6
            ax.annotate(each.name, at, xytext=(6, 4), textcoords="offset points")
    ax.set_xlabel("median time of a call, ms")
    ax.set_ylabel("memory, MB")
    ax.legend(frameon=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax
