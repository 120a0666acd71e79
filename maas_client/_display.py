"""How results look in a notebook: escaped HTML without scripts and without anything from elsewhere.

A page's own text colour and translucent greys fit light and dark themes alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel

from maas_client._diff_tables import tables_of, verdict
from maas_client.errors import MaasError

if TYPE_CHECKING:
    from maas_client._async_listing import AsyncListing
    from maas_client._diff_tables import Table
    from maas_client._listing import Listing
    from maas_client._open_inference import InferReply
    from maas_client._tensors import Tensor
    from maas_client.differences import VersionDiff
    from maas_client.fine_tunes import LossCurve
    from maas_client.predictions import Call, Predictions
    from maas_client.types import ConfusionMatrix, Evaluation, JobReply, Model

Item = TypeVar("Item")

# Of things with many fields, those that tell one from the other; the others show all that fit into a cell.
_COLUMNS = {
    "Model": (
        "id",
        "task",
        "default_version",
        "owned_by",
        "visibility",
        "accuracy",
        "latency",
        "size",
        "calls",
        "description",
    ),
    "Version": ("version", "state", "aliases", "created_at", "author", "notes"),
    "ModelEvent": ("seq", "kind", "version", "at", "by", "details"),
    "JobReply": ("id", "kind", "state", "model", "version", "created_at", "ended_at"),
}
_MOST_ROWS = 50
_MOST_CHARACTERS = 300
_TABLE = "border-collapse:collapse;font-size:.95em"
_LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
_CELL = f"text-align:left;vertical-align:top;padding:.25em .8em .25em 0;{_LINE}"
_BAR = "display:inline-block;height:.75em;margin-left:.6em;background:rgba(80,140,220,.6)"
# Blue and red are told apart with every common colour blindness, and in the dark.
_TOWARDS, _AWAY = "60,130,230", "220,60,50"
# A larger matrix is no longer read, but worked with.
_MOST_SQUARE = 12
_FIRST_ELEMENTS = 8
_NOTE = "opacity:.7;font-size:.9em"


def of_fields(title: str, fields: Mapping[str, object]) -> str:
    """Return a table of the fields of one thing; those that are empty are left out."""
    rows = [
        f'<tr><th style="{_CELL};opacity:.7">{escape(name.replace("_", " "))}</th>'
        f'<td style="{_CELL}">{_value(_dated(name, value))}</td></tr>'
        for name, value in fields.items()
        if value not in (None, "", [], {}) and name != "object"
    ]
    return f'<div><b>{escape(title)}</b><table style="{_TABLE}">{"".join(rows)}</table></div>'


def of_scores(title: str, scores: Mapping[str, float], note: str) -> str:
    """Return a bar for each label, the highest score first."""
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    rows = [
        f'<tr><td style="{_CELL}">{escape(label)}</td><td style="{_CELL};white-space:nowrap">{score:.3f}'
        f'<span style="{_BAR};width:{max(0.0, min(1.0, score)) * 12:.2f}em"></span></td></tr>'
        for label, score in ranked[:_MOST_ROWS]
    ]
    table = f'<table style="{_TABLE}">{"".join(rows)}</table>'
    return f"<div><b>{escape(title)}</b>{table}{_more(len(ranked))}{_note(note)}</div>"


def of_predictions(predictions: Predictions) -> str:
    """Return a row for each prediction of a call, and what made them."""
    names = list(dict.fromkeys(name for row in predictions[:_MOST_ROWS] for name in row.outputs))
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in ["", *names])
    rows = "".join(
        f'<tr><td style="{_CELL};opacity:.7">{index}</td>'
        + "".join(f'<td style="{_CELL}">{_value(row.outputs.get(name))}</td>' for name in names)
        + "</tr>"
        for index, row in enumerate(predictions[:_MOST_ROWS])
    )
    table = f'<table style="{_TABLE}"><tr>{head}</tr>{rows}</table>'
    return f"<div>{table}{_more(len(predictions))}{_note(made_by(predictions.call))}</div>"


def of_tensors(reply: InferReply) -> str:
    """Return a row for each output tensor: its datatype, its shape and its first elements."""
    rows = "".join(
        f"<tr>{_cell(tensor.name)}{_cell(tensor.datatype)}{_cell(str(tensor.shape))}"
        f"{_cell(_elements(tensor))}</tr>"
        for tensor in reply.outputs[:_MOST_ROWS]
    )
    told = " version ".join(each for each in (reply.model_name, reply.model_version) if each)
    return f'<div><table style="{_TABLE}">{rows}</table>{_more(len(reply.outputs))}{_note(told)}</div>'


def of_diff(diff: VersionDiff) -> str:
    """Return a table for each part of a comparison that has something to say."""
    colour = _AWAY if diff.breaking else _TOWARDS
    said = f'<span style="background:rgba({colour},.25);padding:0 .4em">{escape(verdict(diff))}</span>'
    title = f"{diff.model}: version {diff.before} → version {diff.after}"
    parts = "".join(_part(table) for table in tables_of(diff))
    return f"<div><b>{escape(title)}</b> {said}{parts}</div>"


def _part(table: Table) -> str:
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in table.columns)
    rows = "".join(f"<tr>{''.join(_cell(each) for each in row)}</tr>" for row in table.rows[:_MOST_ROWS])
    shown = f'<table style="{_TABLE}"><tr>{head}</tr>{rows}</table>{_more(len(table.rows))}'
    title = f'<div style="margin-top:.8em"><b>{escape(table.title)}</b></div>'
    return f"{title}{shown if table.rows else _note(table.note)}"


def of_listing(listing: Listing[Any] | AsyncListing[Any]) -> str:
    """Return a table of a listing's first page; an asynchronous one says how to read it."""
    if not isinstance(listing, Iterable):
        return f"<div>{escape(repr(listing))}{_note('read it with: async for item in listing')}</div>"
    try:
        page = next(iter(listing.pages()))
    except MaasError as error:
        return f"<div>{escape(repr(listing))}{_note(str(error))}</div>"
    more = _note("and more: iterate over it to see them all") if page.has_more else ""
    return f"<div>{of_items(page.data)}{more}</div>"


def of_items(items: Sequence[BaseModel]) -> str:
    """Return a row for each thing and a column for each field that tells them apart or identifies them."""
    if not items:
        return _note("nothing")
    rows = [_row(item) for item in items[:_MOST_ROWS]]
    asked = _COLUMNS.get(type(items[0]).__name__, tuple(rows[0]))
    names = [name for name in asked if any(_is_short(row.get(name)) for row in rows)]
    head = "".join(f'<th style="{_CELL}">{escape(name.replace("_", " "))}</th>' for name in names)
    body = "".join(f"<tr>{''.join(_brief(row.get(name)) for name in names)}</tr>" for row in rows)
    return f'<table style="{_TABLE}"><tr>{head}</tr>{body}</table>{_more(len(items))}'


def of_rows(head: Sequence[str], rows: Iterable[Sequence[str]], note: str) -> str:
    """Return a table of texts, with a note below it."""
    heads = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div><table style="{_TABLE}"><tr>{heads}</tr>{body}</table>{_note(note)}</div>'


def made_by(call: Call) -> str:
    """Return what made a prediction, in one line."""
    return f"{call.model} version {call.version} on {call.device}, {call.timing.compute_ms:.2f} ms"


def _row(item: BaseModel) -> dict[str, object]:
    if type(item).__name__ != "Model":
        return dict(item)
    from maas_client import _cards

    return _cards.row_of_model(cast("Model", item))


def _cell(text: str) -> str:
    return f'<td style="{_CELL}">{escape(_cut(text))}</td>'


def _elements(tensor: Tensor) -> str:
    first = tensor.array.ravel()[:_FIRST_ELEMENTS].tolist()
    more = ", …" if tensor.array.size > len(first) else ""
    return f"{', '.join(_plain(each)[:_MOST_CHARACTERS] for each in first)}{more}"


def _value(value: object) -> str:
    if isinstance(value, BaseModel):
        return _value({name: each for name, each in value if each not in (None, "", [], {})})
    if isinstance(value, Mapping):
        between = "<br>" if any(isinstance(each, list) for each in value.values()) else ", "
        return between.join(
            f"{escape(_cut(str(name)))}: {_value(each)}" for name, each in _few(value.items())
        )
    if isinstance(value, Sequence) and value and all(isinstance(each, BaseModel) for each in value):
        return of_items(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        between = "<br>" if any(isinstance(each, BaseModel | Mapping) for each in value) else ", "
        return between.join(_value(each) for each in _few(value))
    return escape(_cut(_plain(value)))


def _is_short(value: object) -> bool:
    """Tell whether a value fits into a cell: a scalar, or a few words."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return bool(value) and all(isinstance(each, str) for each in value)
    return value not in (None, "") and not isinstance(value, BaseModel | Mapping)


def _brief(value: object) -> str:
    return f'<td style="{_CELL}">{_value(value) if _is_short(value) else ""}</td>'


def _dated(name: str, value: object) -> object:
    # The one moment that is a number: the OpenAI API's.
    return datetime.fromtimestamp(value, UTC) if name == "created" and isinstance(value, int) else value


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return str(value)  # of a `SecretStr`, a mask


def _few(values: Iterable[Item]) -> Iterable[Item]:
    return itertools.islice(values, _MOST_ROWS)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _more(count: int) -> str:
    return _note(f"and {count - _MOST_ROWS:,} more") if count > _MOST_ROWS else ""


def _note(text: str) -> str:
    return f'<div style="{_NOTE}">{escape(text)}</div>'


def of_job(job: JobReply) -> str:
    """Return a job's state with a bar of how far it has come, and why it has no result."""
    from maas_client import _job_ends

    progress = job.progress
    share = min(1.0, progress.done / progress.total) if progress.total else 0.0
    bar = f'<span style="{_BAR};width:{share * 12:.2f}em"></span>' if share else ""
    about = f" of {escape(job.model)} version {job.version}" if job.model else ""
    told = _note(f"{job.error.code}: {job.error.message}") if job.error else ""
    return (
        f"<div><b>{escape(job.kind)}</b>{about}: {escape(_job_ends.described(job))}{bar}"
        f"{told}{_curve(_job_ends.curve_of(job))}{_note(job.id)}</div>"
    )


def _curve(curve: LossCurve) -> str:
    if not curve:
        return ""
    from maas_client import _loss_curve_html

    return _loss_curve_html.of_curve(curve)


def of_evaluation(evaluation: Evaluation) -> str:
    """Return a row for each metric with its interval, then the confusion matrix."""
    rows = "".join(
        f"<tr>{_cell(metric.name.replace('_', ' '))}{_cell(f'{metric.value:.4g}')}"
        f"{_cell(_interval(metric.interval))}{_cell(metric.unit)}</tr>"
        for metric in evaluation.metrics
    )
    head = "".join(map(_cell, ("", "value", "95 % interval", "unit")))
    made = f"{evaluation.model} version {evaluation.version} on {evaluation.device}, {evaluation.rows:,} rows"
    notes = "".join(map(_note, evaluation.notes))
    return (
        f'<div><table style="{_TABLE}"><tr>{head}</tr>{rows}</table>'
        f"{_matrix(evaluation.confusion_matrix)}{notes}{_note(made)}</div>"
    )


def _interval(interval: tuple[float, float] | None) -> str:
    return "—" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"


def _matrix(matrix: ConfusionMatrix | None) -> str:
    if matrix is None or len(matrix.labels) > _MOST_SQUARE:
        return ""
    head = "".join(map(_cell, ("true \\ said", *matrix.labels)))
    rows = "".join(
        f"<tr>{_cell(label)}{''.join(_cell(f'{count:,}') for count in counts)}</tr>"
        for label, counts in zip(matrix.labels, matrix.counts, strict=True)
    )
    return f'<table style="{_TABLE}"><tr>{head}</tr>{rows}</table>'
