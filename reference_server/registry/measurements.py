"""Stores what workers counted: usage by account, performance by device, and the catalogue's own columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from reference_server.registry import facts, performance, usage
from reference_server.registry.tables import AccountRow, ModelRow, VersionRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from reference_server.metrics import Asked, Measured, ModelKey
    from reference_server.registry.database import Database


def store(db: Database, measured: Mapping[ModelKey, Measured]) -> None:
    """Add what was counted lately, all in one transaction; models and accounts that are gone are passed over.

    Args:
        db: The store.
        measured: By `account~name`, version and device.

    Raises:
        Unavailable: When another writer holds the store for too long.
    """
    if not measured:
        return
    with db.write() as session:
        add(session, measured, at=db.clock())


def add(session: Session, measured: Mapping[ModelKey, Measured], *, at: datetime) -> None:
    """Add what was counted lately, in a transaction of the writer that has more to write."""
    model_ids = _model_ids(session, measured)
    for (name, version, device), each in measured.items():
        if each.accounts and (model_id := model_ids.get((name, version))) is not None:
            performance.add(session, model_id, version, device, each, at=at)
    session.flush()
    usage.add(session, _by_account(session, measured, model_ids), at=at)
    _refresh(session, measured, model_ids)


def _model_ids(session: Session, measured: Mapping[ModelKey, Measured]) -> dict[tuple[str, int], str]:
    """Return the ids of the models whose versions were counted and are still there."""
    wanted = {(name, version) for name, version, _ in measured}
    statement = (
        select(AccountRow.name, ModelRow.name, VersionRow.number, ModelRow.id)
        .join(ModelRow, ModelRow.account_id == AccountRow.id)
        .join(VersionRow, VersionRow.model_id == ModelRow.id)
        .where(
            ModelRow.name.in_({name.partition("~")[2] for name, _ in wanted}),
            VersionRow.number.in_({version for _, version in wanted}),
        )
    )
    found = {(f"{owner}~{name}", number): id_ for owner, name, number, id_ in session.execute(statement)}
    return {key: id_ for key, id_ in found.items() if key in wanted}


def _by_account(
    session: Session, measured: Mapping[ModelKey, Measured], model_ids: Mapping[tuple[str, int], str]
) -> dict[tuple[str, str, int], Asked]:
    """Return what was asked for by account, model and version, over all devices."""
    callers = {account for each in measured.values() for account in each.usage}
    known = set(session.scalars(select(AccountRow.id).where(AccountRow.id.in_(callers))))
    asked: dict[tuple[str, str, int], Asked] = {}
    for (name, version, _), each in measured.items():
        for account, more in each.usage.items():
            if account in known and (model_id := model_ids.get((name, version))) is not None:
                before = asked.get((account, model_id, version))
                asked[account, model_id, version] = more if before is None else before.plus(more)
    return asked


def _refresh(
    session: Session, measured: Mapping[ModelKey, Measured], model_ids: Mapping[tuple[str, int], str]
) -> None:
    statement = select(ModelRow).where(ModelRow.id.in_(model_ids.values()))
    rows = {row.id: row for row in session.scalars(statement)}
    for (name, version, _), each in measured.items():
        if (row := rows.get(model_ids.get((name, version), ""))) is not None:
            row.recent_calls += sum(asked.calls for asked in each.usage.values())
            row.recent_rows += sum(asked.rows for asked in each.usage.values())
            if version == row.listed_version:
                facts.refresh_latency(session, row)
