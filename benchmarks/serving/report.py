"""Writes the results as Markdown that can go into docs/performance.md as it is, as JSON and as a plot."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

from contenders import OURS, RAW
from goals import GOALS, MANY_MODELS, Ratio, ratio

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

HIGHLIGHT, PLAIN, REFERENCE = "#1f6feb", "#b0b8c4", "#d1495b"
COLUMNS = 4


def write_report(folder: Path, results: list[dict[str, Any]], about: dict[str, str]) -> None:
    """Write `serving.json`, `serving.md` and `serving.png` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "serving.json").write_text(json.dumps({"about": about, "results": results}, indent=2) + "\n")
    (folder / "serving.md").write_text(page(results, about), encoding="utf-8")
    _plot(folder / "serving.png", results, about)


def page(results: list[dict[str, Any]], about: dict[str, str]) -> str:
    """Return the results as Markdown: the goals first, then every figure."""
    notes = {note: None for result in results for note in result["notes"].values()}
    lines = [
        f"{about['machine']}. {about['versions']}. {about['rounds']}, load by {about['generator']}.",
        "",
        *goals_table(results),
        "",
        *figures_table(results),
        "",
        "Figures are medians over the rounds. A ratio is this server's figure by the row's, taken within",
        "each round: median (least to greatest); of requests per second more is better, of CPU time less.",
        f"{RAW} counts rows: {'; '.join(notes) or 'not measured'}.",
    ]
    return "\n".join(lines) + "\n"


def goals_table(results: list[dict[str, Any]]) -> list[str]:
    """Return each goal beside what was reached."""
    lines = ["| load | connections | ratio | goal | reached | |", "|---|---|---|---|---|---|"]
    for goal in GOALS:
        reached = goal.reached(results)
        shown = str(reached) if reached else "—"
        cells = [goal.load, str(goal.connections), goal.what, str(goal), shown, goal.verdict(reached)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def figures_table(results: list[dict[str, Any]]) -> list[str]:
    """Return every figure and its ratio to this server's."""
    lines = [
        "| load | connections | server | requests/s | CPU ms/request | median ms | rate ratio | CPU ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        figures = result["figures"]
        for name, each in figures.items():
            cells = [
                result["load"],
                str(result["connections"]),
                name,
                f"{statistics.median(each['rate']):,.0f}{_failed(each)}",
                f"{statistics.median(each['cpu_ms']):.3f}",
                f"{statistics.median(each['latency_ms']):.2f}",
                *(_shown(ratio(figures, _base(figures), name, measure)) for measure in ("rate", "cpu_ms")),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _base(figures: dict[str, Any]) -> str:
    return OURS if OURS in figures else MANY_MODELS


def _failed(figures: dict[str, list[float]]) -> str:
    failed = sum(figures["failures"])
    return f", {failed:,.0f} calls failed" if failed else ""


def _shown(found: Ratio | None) -> str:
    return str(found) if found else ""


def _plot(path: Path, results: list[dict[str, Any]], about: dict[str, str]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = -(-len(results) // COLUMNS)
    columns = min(COLUMNS, len(results))
    figure, axes = plt.subplots(
        rows, columns, figsize=(4.2 * columns, 0.9 + 2.3 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(results) :]:
        axis.set_visible(False)
    for axis, result in zip(axes.flat, results, strict=False):
        _panel(axis, result)
    figure.suptitle(
        f"Requests per second, median; the line spans all rounds\n{about['machine']}", fontsize=10
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _panel(axis: Axes, result: dict[str, Any]) -> None:
    """Draw one load: a bar for each server, bare ONNX Runtime as a line where rows are what both count."""
    figures = {name: each["rate"] for name, each in result["figures"].items() if name != RAW}
    names = list(figures)
    middles = [statistics.median(figures[name]) for name in names]
    spread = [
        [middle - min(figures[name]) for name, middle in zip(names, middles, strict=True)],
        [max(figures[name]) - middle for name, middle in zip(names, middles, strict=True)],
    ]
    colours = [HIGHLIGHT if name == _base(result["figures"]) else PLAIN for name in names]
    axis.barh(names, middles, color=colours, xerr=spread, error_kw={"elinewidth": 1, "capsize": 2})
    top = max(max(rates) for rates in figures.values())
    for at, middle in enumerate(middles):
        axis.text(max(figures[names[at]]) + top * 0.02, at, f"{middle:,.0f}", va="center", fontsize=8)
    if RAW in result["figures"] and result["load"] == "encoder":
        line = statistics.median(result["figures"][RAW]["rate"])
        axis.axvline(line, color=REFERENCE, linestyle="--", linewidth=1)
        axis.text(line, -0.62, f"{RAW} {line:,.0f}", color=REFERENCE, fontsize=7, ha="right", va="bottom")
        top = max(top, line)
    axis.set_xlim(0, top * 1.2)
    axis.invert_yaxis()
    axis.set_title(f"{result['load']}, {result['connections']} connections", fontsize=9, loc="left")
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
