"""Explanations as matplotlib draws them: waterfall, bars, curves, regions over a picture."""

from __future__ import annotations

import base64
import binascii
import io
import math
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

from maas_client import _explanation_words as words
from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from maas_client.explanations import Explanation, ExplanationsCompared, Importance, PlotKind
    from maas_client.types import Attribution, Curve

# Blue and red of the same kind as in notebooks; what is red is hatched too.
_TOWARDS, _AWAY, _OTHER = "#3c82e6", "#dc3c32", "#888888"
_HATCH = "////"
_LONGEST = 40
_BAR_INCHES = 0.34


def of_explanation(
    explanation: Explanation,
    kind: PlotKind | None,
    *,
    image: Any,  # noqa: ANN401 - whatever Pillow or matplotlib reads
    ax: Axes | None,
    most: int,
) -> Axes:
    """Draw one explanation; `Explanation.plot` describes it."""
    from maas_client.explanations import PlotKind

    if kind is None:
        has_regions = any(each.box is not None for each in explanation.attributions)
        kind = "image" if image is not None or (has_regions and _own_picture(explanation)) else "waterfall"
    if kind not in get_args(PlotKind):
        raise ArgumentError(f"kind is {kind!r}, expected one of {', '.join(get_args(PlotKind))}")
    if most < 1:
        raise ArgumentError(f"most is {most!r}, expected 1 or more")
    if kind == "image":
        return _image(explanation, image, ax)
    if kind == "curves":
        return _curves(explanation, ax)
    return (_waterfall if kind == "waterfall" else _bars)(explanation, ax, most)


def of_importance(importance: Importance, *, ax: Axes | None, most: int) -> Axes:
    """Draw the mean absolute attribution of each feature with its 95 % interval."""
    shown = importance[:most][::-1]
    ax = ax or _axes(len(shown))
    for row, each in enumerate(shown):
        low, high = each.interval or (each.mean_absolute, each.mean_absolute)
        # A bootstrap's interval may lie beside the mean where there are few rows.
        error = [[max(0.0, each.mean_absolute - low)], [max(0.0, high - each.mean_absolute)]]
        _bar(ax, row, each.mean_absolute, sign=each.mean, error=error if each.interval else None)
    _names(ax, [each.feature for each in shown])
    ax.set_xlabel("mean of the absolute attributions; hatched: against the target on average")
    return ax


def of_compared(compared: ExplanationsCompared, *, ax: Axes | None, most: int) -> Axes:
    """Draw two bars for each feature, those that differ most at the top."""
    shown = compared.differences[:most][::-1]
    ax = ax or _axes(math.ceil(1.5 * len(shown)))
    height = 0.38
    for place, (explanation, colour) in enumerate(((compared.a, _OTHER), (compared.b, _TOWARDS))):
        sides = [(each.a, each.b)[place] for each in shown]
        ax.barh(
            [row + (0.5 - place) * height for row in range(len(shown))],
            [each.value if each else 0.0 for each in sides],
            height=height,
            color=colour,
            hatch=_HATCH if place == 0 else None,
            edgecolor="white",
            label=f"version {explanation.version}: {explanation.prediction:.3g}",
        )
    _names(ax, [each.feature for each in shown])
    ax.axvline(0, color=_OTHER, linewidth=0.8)
    ax.set_xlabel(f"added to the score of {_short(compared.target)}", parse_math=False)
    ax.legend(frameon=False)
    return ax


def _waterfall(explanation: Explanation, ax: Axes | None, most: int) -> Axes:
    """Draw how the features lead from the baseline, at the bottom, to the prediction at the top."""
    ranked = explanation.ranked()
    steps = [(each.feature, each.value) for each in ranked[:most]][::-1]
    if rest := ranked[most:]:
        steps.insert(0, (f"{len(rest):,} others", math.fsum(each.value for each in rest)))
    if words.has_gap(explanation):
        steps.append(("(gap)", -explanation.additivity_gap))
    ax = ax or _axes(len(steps) + 1)
    reached = explanation.baseline
    ends = [reached, explanation.prediction]
    for row, (name, value) in enumerate(steps):
        colour = _OTHER if name == "(gap)" else None
        _bar(ax, row, value, sign=value, left=reached, colour=colour)
        reached += value
        ends.append(reached)
        if row + 1 < len(steps):
            ax.plot([reached, reached], [row - 0.4, row + 1.4], color=_OTHER, linewidth=0.7)
        ahead = reached if value >= 0 else reached - value
        ax.annotate(
            words.signed(value),
            (ahead, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    ax.axvline(explanation.baseline, color=_OTHER, linestyle=":", linewidth=1)
    ax.axvline(explanation.prediction, color=_OTHER, linestyle="--", linewidth=1)
    _names(ax, [name for name, _ in steps])
    # With room for the figures beside the bars.
    room = (max(ends) - min(ends)) or 1.0
    ax.set_xlim(min(ends) - 0.05 * room, max(ends) + 0.16 * room)
    ax.set_xlabel(f"score of {_short(explanation.target)}", parse_math=False)
    ax.set_title(
        f"baseline {explanation.baseline:.3g} (dotted)  →  prediction {explanation.prediction:.3g} (dashed)",
        fontsize=10,
    )
    return ax


def _bars(explanation: Explanation, ax: Axes | None, most: int) -> Axes:
    shown = explanation.ranked()[:most][::-1]
    ax = ax or _axes(len(shown))
    for row, each in enumerate(shown):
        error = None if each.standard_error is None else [[each.standard_error], [each.standard_error]]
        _bar(ax, row, each.value, sign=each.value, error=error)
    ax.axvline(0, color=_OTHER, linewidth=0.8)
    _names(ax, [each.feature for each in shown])
    errors = ", ± one standard error" if any(each.standard_error is not None for each in shown) else ""
    ax.set_xlabel(f"added to the score of {_short(explanation.target)}{errors}", parse_math=False)
    return ax


def _curves(explanation: Explanation, ax: Axes | None) -> Axes:
    measured = explanation.faithfulness
    if measured is None:
        raise ArgumentError("this explanation has no curves: ask for it with faithfulness=True")
    ax = ax or _axes(10)
    _line(ax, measured.deletion, "taken away: falls early if faithful", _AWAY, "--")
    _line(ax, measured.insertion, "put back: rises early if faithful", _TOWARDS, "-")
    ax.set_xlabel(f"share of the {explanation.unit or 'features'} changed, the most important ones first")
    ax.set_ylabel(f"score of {_short(explanation.target)}", parse_math=False)
    # Below: within, it hides one curve or the other.
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.0, -0.2))
    return ax


def _line(ax: Axes, curve: Curve, label: str, colour: str, style: str) -> None:
    told = f"{label}, area {curve.area:.3g} (random {curve.random_area:.3g})"
    ax.plot(
        curve.fractions, curve.scores, color=colour, linestyle=style, marker="o", markersize=3, label=told
    )
    by_chance = curve.random_scores or [curve.random_area] * len(curve.fractions)
    ax.plot(curve.fractions, by_chance, color=colour, linestyle=":", linewidth=1)


def _image(explanation: Explanation, image: Any, ax: Axes | None) -> Axes:  # noqa: ANN401 - as above
    regions = [each for each in explanation.attributions if each.box is not None]
    if not regions:
        raise ArgumentError("this explanation has no regions of an image; plot it as a waterfall or as bars")
    picture = _own_picture(explanation) if image is None else image
    if picture is None:
        raise ArgumentError("the picture is not at hand; pass it: plot(image='photo.png')")
    if ax is None:
        ax = _axes(14)
    ax.imshow(_pixels(picture), cmap="gray")
    most = max(abs(each.value) for each in regions)
    for each in regions:
        _patch(ax, each, abs(each.value) / most if most else 0.0)
    ax.set_axis_off()
    ax.set_title(
        f"{_short(explanation.target)} {explanation.prediction:.3g}: blue for it, red and hatched against",
        fontsize=10,
        parse_math=False,
    )
    return ax


def _patch(ax: Axes, each: Attribution, strength: float) -> None:
    if each.box is None:
        return
    left, top, right, bottom = each.box
    rectangle = _matplotlib().patches.Rectangle
    ax.add_patch(
        rectangle(
            (left - 0.5, top - 0.5),
            right - left,
            bottom - top,
            facecolor=_TOWARDS if each.value > 0 else _AWAY,
            hatch=None if each.value > 0 else _HATCH,
            edgecolor="white",
            linewidth=0.4,
            alpha=0.65 * strength,
        )
    )


def _pixels(picture: Any) -> Any:  # noqa: ANN401 - as above
    """Return what `imshow` takes; a picture that is no array is made grey, so that colours are the marks'."""
    if hasattr(picture, "shape"):
        return picture
    from PIL import Image  # which matplotlib brings

    if hasattr(picture, "getbands"):
        return picture.convert("L")
    with Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture) as opened:
        return opened.convert("L")


def _own_picture(explanation: Explanation) -> bytes | None:
    """Return the picture that the instance holds as base64, if it does."""
    names = {each.input for each in explanation.attributions if each.box is not None}
    for name in names:
        value = explanation.inputs.get(name)
        if isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                continue
    return None


def _bar(
    ax: Axes,
    row: int,
    value: float,
    *,
    sign: float,
    left: float = 0.0,
    error: list[list[float]] | None = None,
    colour: str | None = None,
) -> None:
    ax.barh(
        row,
        value,
        left=left,
        height=0.8,
        color=colour or (_TOWARDS if sign >= 0 else _AWAY),
        hatch=_HATCH if sign < 0 else None,
        edgecolor="white",
        linewidth=0,
        xerr=error,
        # As the figures, which whoever has dark plots made light.
        error_kw={"elinewidth": 1.2, "capsize": 3, "ecolor": _matplotlib().rcParams["text.color"]},
    )


def _names(ax: Axes, names: Sequence[str]) -> None:
    # A dollar sign in somebody's text is no formula.
    ax.set_yticks(range(len(names)), [_short(name) for name in names], parse_math=False)
    ax.set_ylim(-0.7, len(names) - 0.3)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _short(name: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in name)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"


def _axes(bars: int) -> Axes:
    _, made = _matplotlib().pyplot.subplots(
        figsize=(7, max(2.0, 1.1 + _BAR_INCHES * bars)), layout="constrained"
    )
    axes: Axes = made
    return axes


def _matplotlib() -> Any:  # noqa: ANN401 - a module
    try:
        for name in ("matplotlib", "matplotlib.pyplot", "matplotlib.patches"):
            import_module(name)
        return import_module("matplotlib")
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        told = "plot needs matplotlib: pip install 'maas-client[plot]'"
        raise ModuleNotFoundError(told, name="matplotlib") from error
