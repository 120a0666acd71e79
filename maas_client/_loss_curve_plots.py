"""Loss curves as matplotlib draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._explanation_plots import _matplotlib
from maas_client._loss_curve_html import _TRAIN, _VALIDATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from maas_client.fine_tunes import LossCurve


def of_curve(curve: LossCurve, *, ax: Axes | None) -> Axes:
    """Draw the loss by epoch; `LossCurve.plot` describes it."""
    if ax is None:
        _, ax = _matplotlib().pyplot.subplots(figsize=(7, 4), layout="constrained")
    epochs = [point.epoch for point in curve]
    ax.plot(epochs, [point.loss for point in curve], color=_TRAIN, marker=".", label="train")
    if (best := curve.lowest) is not None:
        losses = [float("nan") if point.validation_loss is None else point.validation_loss for point in curve]
        ax.plot(epochs, losses, color=_VALIDATION, linestyle="--", marker=".", label="validation")
        told = f"lowest, epoch {best.epoch:,}"
        ax.axvline(best.epoch, color="#888888", linestyle=":", linewidth=1, label=told)
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.legend(frameon=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax
