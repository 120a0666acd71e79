"""What becomes of a version: measured, deprecated with a notice to its callers, retired and not run."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from maas_client.types import VERSION_NUMBER
from reference_server.errors import Unprocessable
from reference_server.registry import events, facts, names, versions
from reference_server.registry.pointers import check_unused
from reference_server.registry.tables import ModelRow, VersionRow
from reference_server.registry.versions import ACTIVE, DEPRECATED, RETIRED

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from maas_client.types import Version, VersionUpdate
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

_NOTICE = ("reason", "replacement", "sunset", "documentation")
_KINDS = {ACTIVE: "restored", DEPRECATED: "deprecated", RETIRED: "retired"}


def update(db: Database, caller: Caller, model: str, version: str, change: VersionUpdate) -> Version:
    """Change a version's state, what its callers are told, or what was measured; a repeat changes nothing.

    Args:
        db: The store.
        caller: Who asks; a publisher of the model.
        model: The model's name.
        version: The version's number.
        change: What is to change.

    Raises:
        NotFound: When the model or the version is not there.
        Forbidden: With code `not_owner` or `missing_role`.
        Conflict: With code `version_in_use`, when one is to be retired to which an alias or the traffic sends
            calls.
        Unprocessable: When the version is named by an alias, or the notice cannot be.
    """
    with db.write() as session:
        found = names.allowed(session, caller, model, names.PUBLISHER)
        row = versions.find_exactly(session, found.row.id, version)
        if "metrics" in change.model_fields_set:
            row.measured_metrics = [metric.model_dump(mode="json") for metric in change.metrics or ()] or None
        facts.refresh(session, found.row.id)
        if _apply(session, caller, found.row, row, change, now=db.clock()):
            _tell(session, caller, row, now=db.clock())
        session.flush()
        return versions.read(session, found, row.number)


def _apply(
    session: Session,
    caller: Caller,
    model: ModelRow,
    row: VersionRow,
    change: VersionUpdate,
    *,
    now: datetime,
) -> bool:
    """Change the row; tell whether that made a difference."""
    state = change.state or row.state
    given = {name: getattr(change, name) for name in _NOTICE if name in change.model_fields_set}
    _check_notice(row, state, given)
    _check_sunset(given.get("sunset"), row.state_since or now)
    before = _facts(row)
    if state == RETIRED and row.state != RETIRED:
        check_unused(session, row.model_id, row.number, to="retire")
    if state == ACTIVE:
        given = {"replacement": None, "sunset": None, "documentation": None, "reason": ""}
    if replacement := given.get("replacement"):
        _check_replacement(session, caller, model, row, str(replacement))
    for name, value in given.items():
        setattr(row, name, (value or "") if name == "reason" else value)
    if state != row.state:
        row.state, row.state_since = state, now
    return _facts(row) != before


def _facts(row: VersionRow) -> tuple[object, ...]:
    return (row.state, *(getattr(row, name) for name in _NOTICE))


def _check_notice(row: VersionRow, state: str, given: dict[str, object]) -> None:
    told = [name for name, value in given.items() if value]
    if state == ACTIVE and told:
        raise Unprocessable(
            f"version {row.number} is to be active, and {told[0]} is told of deprecated and retired versions "
            "only; send a state with it",
            code="notice_without_state",
            param=told[0],
        )


def _check_sunset(sunset: object, since: datetime) -> None:
    # RFC 9745, section 4: a sunset is not before the deprecation.
    if isinstance(sunset, datetime) and sunset < since:
        raise Unprocessable(
            f"the sunset {sunset.isoformat()} is before the deprecation at {since.isoformat()}",
            code="sunset_too_early",
            param="sunset",
        )


def _check_replacement(
    session: Session, caller: Caller, model: ModelRow, row: VersionRow, replacement: str
) -> None:
    """Refuse to send callers to what is not there or does not run."""
    if re.fullmatch(VERSION_NUMBER, replacement):
        other = session.get(VersionRow, (row.model_id, int(replacement)))
        found = other is not None and other is not row and other.state != RETIRED
    else:
        there = names.find(session, caller, replacement)
        found = there is not None and there.row.id != model.id
    if not found:
        raise Unprocessable(
            f"the replacement {replacement!r} is no other version of this model that runs, and no other "
            "model that you can see",
            code="unknown_replacement",
            param="replacement",
        )


def _tell(session: Session, caller: Caller, row: VersionRow, *, now: datetime) -> None:
    events.record(
        session,
        row.model_id,
        _KINDS[row.state],
        by=caller,
        at=now,
        version=row.number,
        reason=row.reason,
        replacement=row.replacement,
        sunset=None if row.sunset is None else row.sunset.isoformat(),
        documentation=row.documentation,
    )
