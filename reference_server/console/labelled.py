"""Labelled rows as people bring them to a form: a CSV file, or what they paste from a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client import _labelled_files, _labelled_rows
from maas_client.errors import ArgumentError
from maas_client.types import ErrorBody
from reference_server.console.api import Refused

if TYPE_CHECKING:
    from maas_client._labelled_files import Records
    from maas_client._labelled_rows import Meaning, Rows

# The form's field, after the contract's name for its rows.
TRAIN = "train"
_UNPROCESSABLE = 422


def read(content: bytes, meaning: Meaning) -> Rows:
    """Return rows as the contract has them.

    Args:
        content: CSV with a head, or cells with tabs between them.
        meaning: What its columns are.

    Raises:
        Refused: A row cannot be learnt from; it is named.
    """
    try:
        rows = _labelled_rows.read(_labelled_files.of_csv(content, "the rows"), meaning, part=TRAIN)
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


def refused(message: str, field: str) -> Refused:
    """Return a refusal of what stands in a field, as the API would word it."""
    body = ErrorBody(type="invalid_request_error", code="invalid_rows", message=message, param=field)
    return Refused(_UNPROCESSABLE, body)
