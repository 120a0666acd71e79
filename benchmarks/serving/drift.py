"""Whether memory grows: a line through the means of blocks of samples, and its uncertainty."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from graphs import Array
    from matplotlib.axes import Axes

SETTLING = 0.2
# Neighbouring samples tell nearly the same; the means of so many blocks are nearly independent.
BLOCKS = 10
# Student's t for 95 % on both sides, with BLOCKS - 2 degrees of freedom.
T_95 = 2.306


@dataclass
class Drift:
    """Samples of memory, in MB, and what is allowed.

    Args:
        what: What went on meanwhile.
        unit: What time is counted in.
        allowed: The most MB that may be added in each unit of time.
    """

    what: str
    unit: str
    allowed: float
    at: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def add(self, at: float, megabytes: float) -> None:
        """Add a sample."""
        self.at.append(at)
        self.megabytes.append(megabytes)

    def settled(self) -> tuple[Array, Array]:
        """Return the samples after the first fifth."""
        first = int(len(self.at) * SETTLING)
        return np.array(self.at[first:]), np.array(self.megabytes[first:])

    def fit(self) -> tuple[float, float, float]:
        """Return the slope in MB per unit, half of its 95 % interval, and the line's value at zero."""
        at, values = (
            np.array([block.mean() for block in np.array_split(each, BLOCKS)]) for each in self.settled()
        )
        slope, start = np.polyfit(at, values, 1)
        residuals = values - (start + slope * at)
        spread = np.sqrt(residuals @ residuals / (BLOCKS - 2) / ((at - at.mean()) ** 2).sum())
        return float(slope), float(T_95 * spread), float(start)

    @property
    def verdict(self) -> Literal["flat", "grows", "too short to tell"]:
        """Whether the slope is below what is allowed, above, or not known well enough."""
        slope, half, _ = self.fit()
        if slope + half <= self.allowed:
            return "flat"
        return "grows" if slope - half > self.allowed else "too short to tell"


def write_memory_report(folder: Path, drifts: list[Drift], about: dict[str, str]) -> None:
    """Write `memory.json`, `memory.md` and `memory.png` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = [{"what": each.what, "at": each.at, "megabytes": each.megabytes} for each in drifts]
    (folder / "memory.json").write_text(json.dumps({"about": about, "samples": samples}) + "\n")
    (folder / "memory.md").write_text(_page(drifts, about), encoding="utf-8")
    _plot(folder / "memory.png", drifts)


def _page(drifts: list[Drift], about: dict[str, str]) -> str:
    lines = [
        f"{about['machine']}. {about['versions']}.",
        "",
        "| what | for | MB after settling | MB at the end | MB more in each | allowed | |",
        "|---|---|---|---|---|---|---|",
    ]
    for drift in drifts:
        slope, half, _ = drift.fit()
        _, values = drift.settled()
        tenth = max(1, len(values) // BLOCKS)
        cells = [
            drift.what,
            f"{drift.at[-1]:.0f} {drift.unit}s",
            f"{values[:tenth].mean():.1f}",
            f"{values[-tenth:].mean():.1f}",
            f"{slope:+.3f} ± {half:.3f} a {drift.unit}",
            f"{drift.allowed:g}",
            drift.verdict,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return (
        "\n".join([*lines, "", "Resident memory of all processes; the slope with its 95 % interval."]) + "\n"
    )


def _plot(path: Path, drifts: list[Drift]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(drifts), figsize=(6 * len(drifts), 3.4), squeeze=False, layout="constrained"
    )
    for axis, drift in zip(axes.flat, drifts, strict=True):
        _panel(axis, drift)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _panel(axis: Axes, drift: Drift) -> None:
    slope, half, start = drift.fit()
    at, _ = drift.settled()
    axis.plot(drift.at, drift.megabytes, color="#8b949e", linewidth=0.9)
    axis.plot(at, start + slope * at, color="#1f6feb", linewidth=1.6)
    axis.axvspan(drift.at[0], at[0], color="#eaeef2", label="settling, not fitted")
    axis.set_ylim(0, max(drift.megabytes) * 1.15)
    axis.set_xlabel(f"{drift.unit}s")
    axis.set_ylabel("resident memory, MB")
    found = f"{slope:+.3f} ± {half:.3f} MB a {drift.unit}, allowed {drift.allowed:g}"
    axis.set_title(f"{drift.what}: {drift.verdict}\n{found}", fontsize=9, loc="left")
    axis.legend(fontsize=8, loc="lower right", frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
