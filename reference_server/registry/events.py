"""What happened to a model, in order: written in the transaction of what happened, and never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from maas_client.types import HistoryQuery, ModelEvent, Page
from reference_server.registry import names
from reference_server.registry.pages import Keyset
from reference_server.registry.tables import AccountRow, ModelEventRow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pydantic import JsonValue
    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

SHARED, SHARE_CHANGED, SHARE_WITHDRAWN = "shared", "share_changed", "share_withdrawn"
# Who has access is nobody else's business.
OWNERS_ONLY = (SHARED, SHARE_CHANGED, SHARE_WITHDRAWN)
_NEWEST_FIRST = Keyset("history", (ModelEventRow.seq,), descending=True)
_EVENTS = select(ModelEventRow, AccountRow.name.label("account")).join(
    AccountRow, AccountRow.id == ModelEventRow.by
)


def record(
    session: Session,
    model_id: str,
    kind: str,
    *,
    by: Caller,
    at: datetime,
    version: int | None = None,
    **details: JsonValue,
) -> None:
    """Write an event, in the transaction of the one writer that makes it true.

    Args:
        session: That transaction's.
        model_id: The model's id.
        kind: What happened, such as `alias_moved`.
        by: Who did it.
        at: When.
        version: The version that it is about, if it is about one.
        details: What else is to be known, as JSON.
    """
    # One writer at a time: nobody else takes the same number.
    last = session.scalar(select(func.max(ModelEventRow.seq)).where(ModelEventRow.model_id == model_id))
    session.add(
        ModelEventRow(
            model_id=model_id,
            seq=(last or 0) + 1,
            kind=kind,
            at=at,
            by=by.account_id,
            version=version,
            details=details,
        )
    )
    # So that the next event of this transaction finds this one.
    session.flush()


def history(db: Database, caller: Caller, model: str, query: HistoryQuery) -> Page[ModelEvent]:
    """Return a page of what happened to a model, newest first; with whom it is shared, to its owners alone.

    Raises:
        NotFound: When the model is not there.
        InvalidRequest: With code `bad_cursor`.
    """
    with db.read() as session:
        found = names.visible(session, caller, model)
        statement = _EVENTS.where(ModelEventRow.model_id == found.row.id)
        if not found.allows(names.OWNER):
            statement = statement.where(ModelEventRow.kind.not_in(OWNERS_ONLY))
        if query.kind is not None:
            statement = statement.where(ModelEventRow.kind == query.kind)
        if query.after is not None:
            statement = statement.where(ModelEventRow.seq > query.after)
        return _NEWEST_FIRST.page(session, statement, query, _to_events)


def read_all(session: Session, model_id: str) -> list[ModelEvent]:
    """Return everything that happened to a model, newest first."""
    statement = _EVENTS.where(ModelEventRow.model_id == model_id).order_by(ModelEventRow.seq.desc())
    return _to_events(session.execute(statement))


def _to_events(rows: Iterable[Row[*tuple[Any, ...]]]) -> list[ModelEvent]:
    return [
        ModelEvent(
            seq=row.ModelEventRow.seq,
            kind=row.ModelEventRow.kind,
            at=row.ModelEventRow.at,
            by=row.account,
            version=row.ModelEventRow.version,
            details=row.ModelEventRow.details,
        )
        for row in rows
    ]
