"""A comparison of two versions as tables of texts, which notebooks and the command line show alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maas_client._text_tables import aligned

if TYPE_CHECKING:
    from maas_client.differences import GraphDifference, VersionDiff

_NONE = "—"
_UNITS = ("bytes", "KB", "MB", "GB")
_KILO = 1000


@dataclass(frozen=True, slots=True)
class Table:
    """One part of a comparison.

    Args:
        title: What it is about.
        columns: The headings; none where there are no rows.
        rows: The cells of each row.
        note: What is to be said instead of rows.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    note: str = ""


def verdict(diff: VersionDiff) -> str:
    """Return what matters most in one line."""
    if diff.same_content:
        return "the same content"
    if diff.breaking:
        count = sum(each.breaking for each in diff.signature)
        return f"breaking: {count} difference{'s' if count > 1 else ''} that calls may notice"
    return "compatible: calls that work go on working"


def tables_of(diff: VersionDiff) -> list[Table]:
    """Return the parts of a comparison that have something to say."""
    numbers = (f"version {diff.before}", f"version {diff.after}")
    parts = (
        _signature(diff, numbers),
        _manifest(diff, numbers),
        _metrics(diff, numbers),
        _graph(diff, numbers),
        _predictions(diff, numbers),
    )
    return [part for part in parts if part.rows or part.note]


def as_text(diff: VersionDiff) -> str:
    """Return a comparison as plain text: what matters most, then a table for each part."""
    head = f"{diff.model}: version {diff.before} → version {diff.after}\n{verdict(diff)}"
    return "\n\n".join([head, *map(_part_as_text, tables_of(diff))])


def _part_as_text(part: Table) -> str:
    lines = [part.note] if part.note else aligned([part.columns, *part.rows])
    return "\n".join([part.title, *(f"  {line}".rstrip() for line in lines)])


def _signature(diff: VersionDiff, numbers: tuple[str, str]) -> Table:
    rows = [
        (
            "breaking" if each.breaking else "compatible",
            each.where,
            each.kind.replace("_", " "),
            each.name,
            each.before or "",
            each.after or "",
        )
        for each in sorted(diff.signature, key=lambda each: not each.breaking)
    ]
    return Table("signature", ("", "of the", "what", "name", *numbers), tuple(rows))


def _manifest(diff: VersionDiff, numbers: tuple[str, str]) -> Table:
    rows = [(each.field, _told(each.before), _told(each.after)) for each in diff.manifest]
    return Table("manifest", ("field", *numbers), tuple(rows))


def _metrics(diff: VersionDiff, numbers: tuple[str, str]) -> Table:
    rows = [
        (
            each.name,
            f"{each.dataset} {each.split}".strip(),
            _number(each.before),
            _number(each.after),
            "" if each.before is None or each.after is None else f"{each.after - each.before:+.4g}",
        )
        for each in diff.metrics
    ]
    return Table("metrics", ("metric", "measured on", *numbers, "change"), tuple(rows))


def _graph(diff: VersionDiff, numbers: tuple[str, str]) -> Table:
    if diff.graph is None:
        return Table("graph", note=f"not compared: {diff.graph_missing}" if diff.graph_missing else "")
    return Table("graph", ("", *numbers), tuple(_graph_rows(diff.graph)))


def _graph_rows(graph: GraphDifference) -> list[tuple[str, ...]]:
    before, after = graph.before, graph.after
    rows: list[tuple[str, ...]] = [
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"),
        ("size", _size(before.size), _size(after.size)),
    ]
    rows += [
        (f"opset {domain}", _number(before.opsets.get(domain)), _number(after.opsets.get(domain)))
        for domain in sorted(before.opsets | after.opsets)
    ]
    return rows + [(name, str(old), str(new)) for name, (old, new) in graph.operators.items()]


def _predictions(diff: VersionDiff, numbers: tuple[str, str]) -> Table:
    rows = [
        (
            f"version {each.example_of}: {_told(each.inputs)}",
            _told(each.before) if each.before_error is None else f"error: {each.before_error}",
            _told(each.after) if each.after_error is None else f"error: {each.after_error}",
        )
        for each in diff.predictions
    ]
    return Table("predictions", ("example of", *numbers), tuple(rows))


def _told(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if value in (None, "", [], {}):
        return _NONE
    return value if isinstance(value, str) else json.dumps(_short(value), ensure_ascii=False)


def _short(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return a value whose numbers fit into a cell."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    return [_short(each) for each in value] if isinstance(value, list) else value


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.4g}"


def _size(size: float) -> str:
    for unit in _UNITS[:-1]:
        if size < _KILO:
            return f"{size:.3g} {unit}"
        size /= _KILO
    return f"{size:.3g} {_UNITS[-1]}"
