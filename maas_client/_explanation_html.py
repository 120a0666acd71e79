"""How explanations look in a notebook: the instance in colours, bars, and how far to trust them."""

from __future__ import annotations

import base64
import binascii
from html import escape
from typing import TYPE_CHECKING, Any

from maas_client import _explanation_marks as marks
from maas_client import _explanation_words as words
from maas_client._display import _CELL, _TABLE, _cut, _note

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maas_client.explanations import Explanation, Explanations, ExplanationsCompared, Importance
    from maas_client.types import Attribution, FeatureImportance

_TEXT = "margin:.4em 0;line-height:2;white-space:pre-wrap"
_SIDE_BY_SIDE = "display:flex;flex-wrap:wrap;gap:.4em 2em"
_MOST_FEATURES = 12
_MOST_ROWS = 20
_HEAVIEST = 3
_IMAGE_PIXELS = 320
_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def of_explanation(explanation: Explanation) -> str:
    """Return the instance in colours, a bar for each of the heaviest features, and how far to trust it."""
    most = _most(explanation)
    head = f"<b>{escape(_cut(words.summed(explanation)))}</b>{marks.legend(explanation.target)}"
    shown = f"{_instance(explanation, most)}{_bars(explanation, most)}{_trust(explanation)}"
    return f"<div>{head}{shown}{_notes((*explanation.notes, words.made_by(explanation)))}</div>"


def of_importance(importance: Importance) -> str:
    """Return a bar for each of the most important features."""
    most = max((each.mean_absolute for each in importance), default=0.0)
    head = _row(("feature", "mean of |value|", "", "95 % interval", "mean", "rows"), "th")
    rows = "".join(_importance_row(each, most) for each in importance[:_MOST_ROWS])
    return f'<div><table style="{_TABLE}">{head}{rows}</table>{_left_out(importance, _MOST_ROWS)}</div>'


def of_explanations(explanations: Explanations) -> str:
    """Return what counts over all instances, and a row for each of the first ones."""
    made = (
        f"{explanations.model} version {explanations.version} on {explanations.device}, "
        f"{len(explanations):,} rows, {explanations.evaluations:,} evaluations"
    )
    head = _row(("", "target", "score", "baseline", "heaviest"), "th")
    rows = "".join(
        _row(
            (
                str(index),
                _text(each.target),
                words.number(each.prediction),
                words.number(each.baseline),
                _heaviest(each),
            )
        )
        for index, each in enumerate(explanations[:_MOST_ROWS])
    )
    return (
        f"<div><b>What counts over all rows</b>{of_importance(explanations.importance)}"
        f'<div style="margin-top:.8em"><b>Row by row</b></div><table style="{_TABLE}">{head}{rows}</table>'
        f"{_left_out(explanations, _MOST_ROWS)}{_notes((*explanations.notes, made))}</div>"
    )


def of_compared(compared: ExplanationsCompared) -> str:
    """Return both explanations side by side on one scale, and what differs most below."""
    most = max(_most(compared.a), _most(compared.b))
    sides = "".join(
        f'<div style="flex:1 1 18em"><b>version {each.version}: {_text(words.summed(each))}</b>'
        f"{_instance(each, most)}</div>"
        for each in compared
    )
    heads, *rows = words.compared_rows(compared)
    differences = compared.differences
    widest = max((abs(each.difference) for each in differences), default=0.0)
    # Score and baseline come before the features.
    bars = ["", "", *(marks.bar(each.difference, widest) for each in differences)]
    body = "".join(
        _row((*map(_text, row), bar)) for row, bar in zip(rows[: _MOST_FEATURES + 2], bars, strict=False)
    )
    table = f'<table style="{_TABLE}">{_row((*map(_text, map(str.lower, heads)), ""), "th")}{body}</table>'
    notes = _notes((words.alike(compared), *map(words.made_by, compared)))
    return (
        f'<div>{marks.legend(compared.target)}<div style="{_SIDE_BY_SIDE}">{sides}</div>'
        f"{table}{_left_out(rows, _MOST_FEATURES + 2)}{notes}</div>"
    )


def _most(explanation: Explanation) -> float:
    return max((abs(each.value) for each in explanation.attributions), default=0.0)


def _instance(explanation: Explanation, most: float) -> str:
    texts = "".join(
        f'<div style="{_TEXT}">{_coloured(text, _spans(explanation, name), most)}</div>'
        for name, text in explanation.inputs.items()
        if isinstance(text, str) and _spans(explanation, name)
    )
    names = dict.fromkeys(each.input for each in explanation.attributions if each.box is not None)
    return texts + "".join(_regions(explanation, name, most) for name in names)


def _spans(explanation: Explanation, name: str) -> list[Attribution]:
    spans = [each for each in explanation.attributions if each.input == name and each.start is not None]
    return sorted(spans, key=lambda each: each.start or 0)


def _coloured(text: str, spans: Iterable[Attribution], most: float) -> str:
    """Return a text whose words are shaded by what they add; words that overlap keep the first's shade."""
    parts, at = [], 0
    for each in spans:
        if each.start is None or each.end is None or not at <= each.start <= each.end <= len(text):
            continue
        style, word = marks.shade(each.value, most), escape(text[each.start : each.end])
        parts += [
            escape(text[at : each.start]),
            f'<span style="{style}" title="{escape(_title(each))}">{word}</span>',
        ]
        at = each.end
    return "".join([*parts, escape(text[at:])])


def _regions(explanation: Explanation, name: str, most: float) -> str:
    """Return regions as boxes over the picture, or over an empty grid where it is not at hand."""
    boxes = [(each, each.box) for each in explanation.attributions if each.input == name and each.box]
    width = max(right for _, (_, _, right, _) in boxes)
    height = max(bottom for _, (_, _, _, bottom) in boxes)
    if width <= 0 or height <= 0:
        return ""
    scale = _IMAGE_PIXELS / max(width, height)
    size = f"width:{width * scale:.0f}px;height:{height * scale:.0f}px"
    shown = "".join(
        marks.region(each.value, most, box, (width, height), f"{each.feature}: {_title(each)}")
        for each, box in boxes
    )
    source = _data_url(explanation.inputs.get(name))
    # In grey, so that blue and red are the marks'; a small picture's pixels stay what they are.
    style = f"position:absolute;left:0;top:0;filter:grayscale(1);image-rendering:pixelated;{size}"
    image = f'<img src="{source}" alt="" style="{style}">' if source else ""
    grid = f"position:relative;margin:.4em 0;background:rgba(128,128,128,.15);{size}"
    return f'<div style="{grid}">{image}{shown}</div>'


def _data_url(picture: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Return a picture as a URL that holds it, if it is the base64 text of a PNG or a JPEG."""
    if not isinstance(picture, str):
        return None
    try:
        content = base64.b64decode(picture, validate=True)
    except (binascii.Error, ValueError):
        return None
    kind = next((kind for start, kind in _PICTURES.items() if content.startswith(start)), None)
    return f"data:{kind};base64,{base64.b64encode(content).decode()}" if kind else None


def _bars(explanation: Explanation, most: float) -> str:
    ranked = explanation.ranked()
    rows = "".join(
        _row(
            (
                _text(each.feature),
                words.signed(each.value),
                words.error_of(each.standard_error),
                marks.bar(each.value, most),
            )
        )
        for each in ranked[:_MOST_FEATURES]
    )
    return f'<table style="{_TABLE}">{rows}</table>{_left_out(ranked, _MOST_FEATURES)}'


def _importance_row(each: FeatureImportance, most: float) -> str:
    feature, _, mean_absolute, *others = map(_text, words.importance_cells(each))
    width = each.mean_absolute / most * 2 * marks.HALF_BAR_EM if most else 0.0
    bar = f'<div style="height:.75em;width:{width:.2f}em;{marks.fill(each.mean, 0.75)}"></div>'
    return _row((feature, mean_absolute, bar, *others))


def _heaviest(explanation: Explanation) -> str:
    most = _most(explanation)
    shaded = ((each, marks.shade(each.value, most)) for each in explanation.ranked()[:_HEAVIEST])
    return " ".join(
        f'<span style="{style}">{_text(each.feature)}</span> {words.signed(each.value)}'
        for each, style in shaded
    )


def _trust(explanation: Explanation) -> str:
    measured = explanation.faithfulness
    if measured is None:
        return ""
    told = "".join(f"<div>{escape(each)}</div>" for each in words.faithfulness_told(explanation))
    curves = (measured.deletion, measured.insertion)
    scores = [score for curve in curves for score in (*curve.scores, *curve.random_scores, curve.random_area)]
    drawn = "".join(
        f"<div>{marks.curve(curve, min(scores), max(scores), title)}{_note(f'{title}: {figures}')}</div>"
        for curve, (title, figures) in zip(curves, words.curves_told(measured), strict=True)
        if min(len(curve.scores), len(curve.fractions)) > 1
    )
    return f'<div style="margin-top:.6em">{told}<div style="{_SIDE_BY_SIDE}">{drawn}</div></div>'


def _title(each: Attribution) -> str:
    return f"{words.signed(each.value)} {words.error_of(each.standard_error)}".strip()


def _row(cells: Iterable[str], tag: str = "td") -> str:
    """Return a row of cells that are HTML already."""
    return "<tr>" + "".join(f'<{tag} style="{_CELL}">{cell}</{tag}>' for cell in cells) + "</tr>"


def _text(text: str) -> str:
    return escape(_cut(text))


def _notes(notes: Iterable[str]) -> str:
    return "".join(_note(each) for each in notes if each)


def _left_out(things: Sequence[object], most: int) -> str:
    return _note(f"and {len(things) - most:,} more") if len(things) > most else ""
