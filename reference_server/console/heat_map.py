"""An explanation as a page shows it: texts in coloured parts, pictures under coloured regions, and a table.

Blue is towards the target and red away from it, which all common kinds of colour blindness tell apart; the
line below a word says the same without any colour.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reference_server.console.charts import Bar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from maas_client.types import Attribution, ExplainReply

# Shades of each colour in the style sheet; a policy without styles in pages leaves no others.
_SHADES = 8
_MOST_FEATURES = 15
_PNG = b"\x89PNG"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text; `shade` is a class of the style sheet, and empty for what is no feature."""

    text: str
    shade: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Region:
    """A region of a picture, in its pixels."""

    x: int
    y: int
    width: int
    height: int
    shade: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as an address that holds it, and the regions over it."""

    address: str
    width: int
    height: int
    regions: list[Region]


@dataclass(frozen=True, slots=True)
class Weight:
    """What a feature adds, with a bar whose length is a part of 100 of the heaviest's."""

    bar: Bar
    shade: str
    error: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a page shows of an explanation.

    Args:
        texts: The parts of each text, by the name of the input.
        pictures: Each picture, likewise.
        weights: The heaviest features, the heaviest first.
        left_out: How many there are beside.
    """

    texts: Mapping[str, list[Part]]
    pictures: Mapping[str, Picture]
    weights: list[Weight]
    left_out: int


def shown(explained: ExplainReply, inputs: Mapping[str, object]) -> Shown:
    """Return what a page shows of an explanation of these inputs."""
    ranked = sorted(explained.attributions, key=lambda each: -abs(each.value))
    most = abs(ranked[0].value) if ranked else 0.0
    texts, pictures = {}, {}
    for name, value in inputs.items():
        own = [each for each in explained.attributions if each.input == name]
        if isinstance(value, str) and any(each.start is not None for each in own):
            texts[name] = list(_parts(value, own, most))
        elif isinstance(value, str) and any(each.box is not None for each in own):
            pictures[name] = _picture(value, own, most)
    return Shown(
        texts,
        pictures,
        [_weight(each, most) for each in ranked[:_MOST_FEATURES]],
        max(0, len(ranked) - _MOST_FEATURES),
    )


def shade(value: float, most: float) -> str:
    """Return the class that colours a value, where `most` has the darkest colour."""
    if not value or not most:
        return ""
    step = max(1, math.ceil(abs(value) / most * _SHADES))
    return f"{'towards' if value > 0 else 'away'}-{min(step, _SHADES)}"


def _parts(text: str, attributions: Iterable[Attribution], most: float) -> Iterator[Part]:
    at = 0
    placed = (each for each in attributions if each.start is not None and each.end is not None)
    for each in sorted(placed, key=lambda each: each.start or 0):
        start, end = each.start or 0, each.end or 0
        if start < at:
            continue
        if start > at:
            yield Part(text[at:start], "", None)
        yield Part(text[start:end], shade(each.value, most), each.value)
        at = end
    if at < len(text):
        yield Part(text[at:], "", None)


def _picture(value: str, attributions: Iterable[Attribution], most: float) -> Picture:
    boxes = [(each.box, each.value) for each in attributions if each.box is not None]
    return Picture(
        _address(value),
        max(box[2] for box, _ in boxes),
        max(box[3] for box, _ in boxes),
        [
            Region(left, top, right - left, bottom - top, shade(added, most))
            for (left, top, right, bottom), added in boxes
        ],
    )


def _address(value: str) -> str:
    content = value.partition(",")[2] if value.startswith("data:") else value
    kind = "png" if base64.b64decode(content[:8]).startswith(_PNG) else "jpeg"
    return f"data:image/{kind};base64,{content}"


def _weight(each: Attribution, most: float) -> Weight:
    length = round(abs(each.value) / most * 100, 2) if most else 0.0
    return Weight(Bar(each.feature, each.value, length), shade(each.value, most), each.standard_error)
