"""Labelled rows as people bring them to a form: a CSV file, or what they paste from a spreadsheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maas_client import _labelled_files, _labelled_rows
from maas_client.errors import ArgumentError
from maas_client.types import ErrorBody
from reference_server.console.api import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client._labelled_files import Records
    from maas_client._labelled_rows import Meaning, Rows
    from maas_client.types import Model

# What a cell of a table can hold.
_CELLS = ("string", "number")
# The form's field, after the contract's name for its rows.
TRAIN = "train"
_UNPROCESSABLE = 422
_MOST_NAMED = 300


@dataclass(frozen=True, slots=True)
class Instances:
    """Rows as a model takes them, `inputs[i]` with `targets[i]`; no targets where they are not known."""

    inputs: list[dict[str, object]]
    targets: list[object] | None


def read(content: bytes, meaning: Meaning) -> Rows:
    """Return rows as the contract has them.

    Args:
        content: CSV with a head, or cells with tabs between them.
        meaning: What its columns are.

    Raises:
        Refused: A row cannot be learnt from; it is named.
    """
    try:
        rows = _labelled_rows.read(records(content, TRAIN), meaning, part=TRAIN)
        _labelled_rows.check_parts({TRAIN: rows}, meaning.loss)
    except ArgumentError as error:
        raise refused(str(error), TRAIN) from error
    return rows


def records(content: bytes, field: str) -> Records:
    """Return the cells of what a form holds.

    Raises:
        Refused: It is no CSV, or has no rows.
    """
    try:
        found = _labelled_files.of_csv(content, "the rows")
    except ArgumentError as error:
        raise refused(str(error), field) from error
    if not found.rows:
        raise refused("there are no rows; paste CSV whose first line names the columns", field)
    return found


def columns_of(model: Model) -> list[str] | None:
    """Return the columns of a table that a model can be run on; None where its inputs stand in none."""
    inputs = model.signature.inputs if model.signature else []
    if not inputs or any(each.type not in _CELLS for each in inputs):
        return None
    return [each.name for each in inputs]


def instances(given: Records, model: Model, target: str | None, field: str) -> Instances:
    """Return cells as a model takes them.

    Args:
        given: With a column for each input of the model.
        model: It.
        target: The column of what is true; None where that is not known.
        field: The form's, for what is wrong.

    Raises:
        Refused: A column is missing, or a cell holds no number where one is expected.
    """
    inputs = model.signature.inputs if model.signature else []
    for name in (*(each.name for each in inputs), *(() if target is None else (target,))):
        if name not in given.names:
            there = ", ".join(given.names)[:_MOST_NAMED]
            raise refused(f"there is no column {name!r}; the columns are {there}", field)
    numbers = {each.name for each in inputs if each.type == "number"}
    if target is not None and (model.task or "").endswith("regression"):
        numbers.add(target)

    def cell(row: Mapping[str, object], name: str, place: str) -> object:
        value = row.get(name, "")
        if name not in numbers:
            return value
        try:
            return float(str(value))
        except ValueError as error:
            told = f"{place}: the column {name!r} holds {str(value)[:50]!r}, a number is expected"
            raise refused(told, field) from error

    placed = list(zip(given.rows, given.places, strict=True))
    return Instances(
        [{each.name: cell(row, each.name, place) for each in inputs} for row, place in placed],
        None if target is None else [cell(row, target, place) for row, place in placed],
    )


def refused(message: str, field: str) -> Refused:
    """Return a refusal of what stands in a field, as the API would word it."""
    body = ErrorBody(type="invalid_request_error", code="invalid_rows", message=message, param=field)
    return Refused(_UNPROCESSABLE, body)
