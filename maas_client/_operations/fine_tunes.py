"""Calls that train a head on labelled rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from maas_client._operations._contract import build, reader
from maas_client._operations._operation import Operation
from maas_client._operations.predict import as_json
from maas_client.errors import ArgumentError
from maas_client.types import FineTuneOptions, JobReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client._labelled_rows import Rows

_FINE_TUNES = "/v1/fine-tunes"
_LARGE = "/v1/fine-tunes/large"
KIND = "fine-tune"
TIMEOUT = 300.0
# Servers hold the body of a call in memory, this one up to 8 MiB and 10,000 rows; more they take as a stream.
MOST_ROWS_AT_ONCE = 2_000
MOST_BYTES_AT_ONCE = 4 * 2**20
_read_job = reader(JobReply)


def options_of(**given: object) -> FineTuneOptions:
    """Return everything about a fine-tune but its rows; what is None is left to the server.

    Raises:
        ArgumentError: An option is not one of the contract.
    """
    return build(FineTuneOptions, **given)


def create(
    options: FineTuneOptions, parts: Mapping[str, Rows], *, streamed: bool = False
) -> Operation[JobReply]:
    """Ask for a fine-tune.

    Args:
        options: As `options_of` returns them, with the shares of parts that are not rows.
        parts: The rows by part; `train` is one of them.
        streamed: Whether to send even few rows as a stream.
    """
    told = options.model_dump(mode="json", exclude_unset=True)
    count = sum(map(len, parts.values()))
    rows = b",".join(_part(name, part) for name, part in parts.items())
    body = as_json(told, "an option")[:-1] + b"," + rows + b"}"
    if not streamed and count <= MOST_ROWS_AT_ONCE and len(body) <= MOST_BYTES_AT_ONCE:
        return _operation(_FINE_TUNES, _FINE_TUNES, body)
    query = urlencode({"rows": count, "options": json.dumps(told, ensure_ascii=False)})
    return _operation(_LARGE, f"{_LARGE}?{query}", b"{" + rows + b"}")


def checked_share(value: object, part: str) -> float:
    """Return the share of the rows that is held out.

    Raises:
        ArgumentError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 0.5:  # noqa: PLR2004 - half
        raise ArgumentError(f"{part} is {value!r}, expected a share of the rows from 0 to 0.5, or rows")
    return float(value)


def _part(name: str, rows: Rows) -> bytes:
    inputs = b",".join(as_json(row, f"{name}.inputs[{index}]") for index, row in enumerate(rows.inputs))
    targets = as_json(rows.targets, f"{name}.targets")
    return b'"' + name.encode() + b'":{"inputs":[' + inputs + b'],"targets":' + targets + b"}"


def _operation(template: str, path: str, body: bytes) -> Operation[JobReply]:
    return Operation(
        method="POST",
        template=template,
        path=path,
        body=body,
        read=_read_job,
        # Each would make a job of its own; the key lets the server tell a repeat.
        repeatable=False,
        keyed=True,
        timeout=TIMEOUT,
    )
