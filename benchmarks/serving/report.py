"""Writes the results as a Markdown table of ratios, as JSON and as a plot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

OURS = "this server"


def write_report(folder: Path, results: list[dict[str, Any]], about: dict[str, str]) -> None:
    """Write `serving.json`, `serving.md` and `serving.png` into a folder, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "serving.json").write_text(json.dumps({"about": about, "results": results}, indent=2) + "\n")
    page = table(results, about)
    (folder / "serving.md").write_text(page, encoding="utf-8")
    _plot(folder / "serving.png", results)
    print(page)


def table(results: list[dict[str, Any]], about: dict[str, str]) -> str:
    """Return the results as Markdown: absolute figures, and each as a ratio of this server's."""
    lines = [
        f"{about['machine']}, ONNX Runtime {about['ort']}, load by {about['generator']}.",
        "",
        "| load | connections | server | requests/s | CPU ms/request | median ms | rate ratio | CPU ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        figures = result["figures"]
        base = figures.get(OURS) or next(iter(figures.values()))
        for name, each in figures.items():
            cells = [
                result["load"],
                str(result["connections"]),
                name,
                f"{each['rate']:,.0f}",
                f"{each['cpu_ms']:.3f}",
                f"{each['latency_ms']:.2f}",
                f"{base['rate'] / each['rate']:.2f}",
                f"{base['cpu_ms'] / each['cpu_ms']:.2f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        if "raw" in result:
            share = base["rate"] / result["raw"]
            rows = f"{result['raw']:,.0f} rows"
            lines.append(
                f"| {result['load']} | | raw ONNX Runtime, best batch | {rows} | | | {share:.2f} | |"
            )
    lines += [
        "",
        "Ratios: this server's figure by the row's; of requests per second more is better, of CPU less.",
    ]
    return "\n".join(lines) + "\n"


def _plot(path: Path, results: list[dict[str, Any]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(2.2 * len(results), 4), squeeze=False)
    for axis, result in zip(axes[0], results, strict=True):
        names = list(result["figures"])
        axis.bar(
            range(len(names)), [result["figures"][name]["rate"] for name in names], color=_colours(names)
        )
        axis.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
        axis.set_title(f"{result['load']}\n{result['connections']} connections", fontsize=8)
        axis.tick_params(axis="y", labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("requests per second")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def _colours(names: list[str]) -> list[str]:
    return ["#1f6feb" if name == OURS else "#b0b8c4" for name in names]
