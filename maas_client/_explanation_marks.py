"""The marks of explanations in a notebook: shades, bars, regions and curves.

Blue speaks for the target and red against it. For those who do not tell the two apart, and in print, what
speaks for it is also underlined with a solid line and filled, and what speaks against it dashed and hatched.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from maas_client._display import _AWAY, _TOWARDS, _cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_client.types import Curve

HALF_BAR_EM = 6.0
# What is lighter than this beside the heaviest gets no line under it: a page full of lines tells nothing.
_LIGHT = 0.1
_CURVE_WIDTH, _CURVE_HEIGHT, _MARGIN = 170, 64, 4
_GREY = "rgba(128,128,128,.6)"
_LEGEND = "opacity:.85;font-size:.9em;margin:.2em 0"
_REGION = (
    "position:absolute;box-sizing:border-box;border:1px solid rgba(128,128,128,.3);overflow:hidden;"
    "text-align:center;color:#fff;text-shadow:0 0 3px #000"
)


def legend(target: str) -> str:
    """Return what the colours and lines mean."""
    towards = f'<span style="{shade(1, 1)}">+ blue, solid</span> speaks for {escape(_cut(target))}'
    away = f'<span style="{shade(-1, 1)}">{sign(-1)} red, dashed</span> against it'
    return f'<div style="{_LEGEND}">{towards}, {away}</div>'


def shade(value: float, most: float) -> str:
    """Return how a word is shaded and underlined."""
    line = "solid" if value > 0 else "dashed"
    under = f";border-bottom:2px {line} rgb({_colour(value)})" if is_heavy(value, most) else ""
    return f"background:rgba({_colour(value)},{0.55 * _strength(value, most):.2f});border-radius:.2em{under}"


def fill(value: float, alpha: float) -> str:
    """Return how an area is filled: plain for what is positive, hatched for what is negative."""
    full, thin = f"rgba({_colour(value)},{alpha:.2f})", f"rgba({_colour(value)},{alpha * 0.55:.2f})"
    if value >= 0:
        return f"background:{full}"
    return f"background:repeating-linear-gradient(45deg,{full} 0 4px,{thin} 4px 8px)"


def bar(value: float, most: float) -> str:
    """Return a bar to the right of a middle line for what is positive, to the left for what is negative."""
    width = _strength(value, most) * HALF_BAR_EM
    start = HALF_BAR_EM if value > 0 else HALF_BAR_EM - width
    line = f"linear-gradient({_GREY},{_GREY}) {HALF_BAR_EM:g}em 0/1px 100% no-repeat"
    inner = f"margin-left:{start:.2f}em;width:{width:.2f}em;height:.9em;{fill(value, 0.75)}"
    outer = f"width:{2 * HALF_BAR_EM:g}em;height:.9em;background:{line}"
    return f'<div style="{outer}"><div style="{inner}"></div></div>'


def region(
    value: float, most: float, box: tuple[int, int, int, int], size: tuple[int, int], title: str
) -> str:
    """Return a region of a picture; `size` is the picture's width and height."""
    (left, top, right, bottom), (width, height) = box, size
    place = (
        f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;"
        f"width:{100 * (right - left) / width:.2f}%;height:{100 * (bottom - top) / height:.2f}%"
    )
    filled = fill(value, 0.7 * _strength(value, most))
    shown = sign(value) if is_heavy(value, most) else ""
    return f'<div style="{_REGION};{place};{filled}" title="{escape(title)}">{shown}</div>'


def curve(drawn: Curve, low: float, high: float, title: str) -> str:
    """Return a curve as a small picture, and beside it, dashed, what random orders come to."""
    line = _points(drawn.fractions, drawn.scores, low, high)
    # Of an older server there is only the area, which is the mean height.
    by_chance = drawn.random_scores or [drawn.random_area] * len(drawn.fractions)
    random = _points(drawn.fractions, by_chance, low, high)
    first, last, bottom = _across(drawn.fractions[0]), _across(drawn.fractions[-1]), _down(low, low, high)
    return (
        f'<svg width="{_CURVE_WIDTH}" height="{_CURVE_HEIGHT}" viewBox="0 0 {_CURVE_WIDTH} {_CURVE_HEIGHT}" '
        f'role="img" aria-label="the score while features are {title}" style="margin-top:.4em">'
        f'<polygon points="{first:.1f},{bottom:.1f} {line} {last:.1f},{bottom:.1f}" '
        f'fill="rgba({_TOWARDS},.18)"></polygon>'
        f'<polyline points="{line}" fill="none" stroke="rgb({_TOWARDS})" stroke-width="2"></polyline>'
        f'<polyline points="{random}" fill="none" stroke="currentColor" stroke-opacity=".6" '
        'stroke-dasharray="4 3"></polyline></svg>'
    )


def sign(value: float) -> str:
    """Return the sign of a value."""
    return "+" if value > 0 else "\N{MINUS SIGN}"


def is_heavy(value: float, most: float) -> bool:
    """Tell whether a value is more than a trifle beside the heaviest."""
    return _strength(value, most) >= _LIGHT


def _colour(value: float) -> str:
    return _TOWARDS if value > 0 else _AWAY


def _strength(value: float, most: float) -> float:
    share = abs(value) / most if most else 0.0
    return share if math.isfinite(share) else 0.0


def _points(fractions: Sequence[float], scores: Sequence[float], low: float, high: float) -> str:
    return " ".join(
        f"{_across(fraction):.1f},{_down(score, low, high):.1f}"
        for fraction, score in zip(fractions, scores, strict=False)
    )


def _across(fraction: float) -> float:
    return _MARGIN + fraction * (_CURVE_WIDTH - 2 * _MARGIN)


def _down(score: float, low: float, high: float) -> float:
    share = (score - low) / (high - low) if high > low else 0.5
    return _CURVE_HEIGHT - _MARGIN - share * (_CURVE_HEIGHT - 2 * _MARGIN)
