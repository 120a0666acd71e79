"""What a job was asked, what came out and what it logged: sealed with the job's own key."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from reference_server.registry import data_keys, in_clear
from reference_server.registry.tables import JobLineRow
from reference_server.security.encryption import SealBrokenError
from reference_server.security.master_keys import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import JsonValue
    from sqlalchemy.orm import Session

    from reference_server.registry.data_keys import Fresh
    from reference_server.registry.tables import JobRow
    from reference_server.security.encryption import DataKey

_USE = "job rows"
DAMAGED = "job_damaged"
_log = logging.getLogger(__name__)


class JobDamagedError(Exception):
    """What is stored of a job is not what was stored; the log tells why."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What nobody but a job's account is to read in its row.

    Args:
        request: What was asked, small.
        result: What came out; None before the end, and where nothing did.
        error_message: Why nothing did.
        interim: What is known of the result while it is made; None where that is nothing.
    """

    request: Mapping[str, JsonValue]
    result: Mapping[str, JsonValue] | None = None
    error_message: str | None = None
    interim: Mapping[str, JsonValue] | None = None


def key_of(session: Session, row: JobRow) -> DataKey:
    """Return the key of a job that has one.

    Raises:
        KeyDestroyedError: When the job was erased meanwhile.
    """
    return data_keys.get(session, row.data_key or "", thing=row.id)


def read(session: Session, row: JobRow) -> Contents:
    """Open a job's contents; what an older server stored in clear is read as it is until all is sealed.

    Raises:
        JobDamagedError: When they are not what was stored.
    """
    with _telling_damage(row.id):
        if row.data_key is None or row.sealed is None:
            in_clear.require_permitted(session, f"the content of {row.id}")
            return Contents(row.request, row.result, row.error_message)
        key = key_of(session, row).derive(_USE)
        found: dict[str, Any] = json.loads(key.open(row.sealed, bound_to=_place(row.id)))
        return Contents(**found)


def write(session: Session, row: JobRow, contents: Contents) -> None:
    """Seal a job's contents into its row."""
    if row.data_key is None:
        seal_up(session, row, data_keys.fresh())
    key = key_of(session, row).derive(_USE)
    row.sealed = key.seal(json.dumps(asdict(contents)).encode(), bound_to=_place(row.id))
    row.request, row.result, row.error_message = {}, None, None


def change(session: Session, row: JobRow, **changes: Any) -> None:  # noqa: ANN401 - fields of `Contents`
    """Seal a job's contents anew with some of them changed."""
    write(session, row, replace(read(session, row), **changes))


def sealed_line(key: DataKey, job_id: str, number: int, text: str) -> bytes:
    """Seal a line of a job's log."""
    return key.derive(_USE).seal(text.encode(), bound_to=_line_place(job_id, number))


def line_text(session: Session, job: JobRow, line: JobLineRow) -> str:
    """Open a line of a job's log.

    Raises:
        JobDamagedError: When it is not what was stored.
    """
    with _telling_damage(job.id):
        if line.sealed is None:
            in_clear.require_permitted(session, f"line {line.number} of its log")
            return line.text
        key = key_of(session, job).derive(_USE)
        return key.open(line.sealed, bound_to=_line_place(job.id, line.number)).decode()


def seal_up(session: Session, row: JobRow, made: Fresh) -> None:
    """Give a job that an older server stored in clear a key, and seal its contents and its log."""
    contents = read(session, row)
    data_keys.keep(session, row.account_id, "job", made, thing=row.id)
    row.data_key = made.id
    write(session, row, contents)
    for line in session.scalars(select(JobLineRow).where(JobLineRow.job_id == row.id)):
        line.sealed, line.text = sealed_line(made.key, row.id, line.number, line.text), ""


@contextmanager
def _telling_damage(job_id: str) -> Iterator[None]:
    try:
        yield
    except (SealBrokenError, MasterKeyError) as error:
        _log.error("what is stored of the job %s is damaged: %s; restore it from a backup", job_id, error)
        raise JobDamagedError(job_id) from error


def _place(job_id: str) -> str:
    return f"contents of {job_id}"


def _line_place(job_id: str, number: int) -> str:
    return f"line {number} of {job_id}"
