"""Stores what workers counted: usage by account, performance by device, and the catalogue's own columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from reference_server.metrics import Measured
from reference_server.registry import facts, performance, usage
from reference_server.registry.tables import AccountRow, ModelRow, VersionRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from reference_server.metrics import Asked, ModelKey
    from reference_server.registry.database import Database

_NO_DEVICE = ""


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
        _store(session, measured, _model_ids(session, measured), db)


def count(session: Session, key: tuple[str, int], account_id: str, asked: Asked, *, at: datetime) -> None:
    """Add what a job asked of a version; how long that took tells nothing of calls.

    Args:
        session: The writer's.
        key: The model's `account~name` and the version.
        account_id: Whose job it is.
        asked: What it asked for.
        at: Now.
    """
    measured = {(*key, _NO_DEVICE): Measured(accounts={account_id: asked})}
    model_ids = _model_ids(session, measured)
    usage.add(session, _by_account(session, measured, model_ids), at=at)
    _refresh(session, measured, model_ids)


def _store(
    session: Session,
    measured: Mapping[ModelKey, Measured],
    model_ids: Mapping[tuple[str, int], str],
    db: Database,
) -> None:
    now = db.clock()
    for (name, version, device), each in measured.items():
        if (model_id := model_ids.get((name, version))) is not None:
            performance.add(session, model_id, version, device, each, at=now)
    session.flush()
    usage.add(session, _by_account(session, measured, model_ids), at=now)
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
    callers = {account for each in measured.values() for account in each.accounts}
    known = set(session.scalars(select(AccountRow.id).where(AccountRow.id.in_(callers))))
    asked: dict[tuple[str, str, int], Asked] = {}
    for (name, version, _), each in measured.items():
        for account in each.accounts.keys() & known:
            if (model_id := model_ids.get((name, version))) is not None:
                more = each.accounts[account]
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
            total = each.total
            row.recent_calls += total.calls
            row.recent_rows += total.rows
            if version == row.listed_version:
                facts.refresh_latency(session, row)
