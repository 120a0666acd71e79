"""What happened to a model, when, and by whom: appended inside the transaction that makes it happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from reference_server.registry.tables import ModelEventRow

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import JsonValue
    from sqlalchemy.orm import Session

    from reference_server.security.callers import Caller


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
    """Append an event; called by the only writer, so numbers have no gaps."""
    newest = session.scalar(select(func.max(ModelEventRow.seq)).where(ModelEventRow.model_id == model_id))
    session.add(
        ModelEventRow(
            model_id=model_id,
            seq=(newest or 0) + 1,
            kind=kind,
            at=at,
            by=by.account_id,
            version=version,
            details=details,
        )
    )
    session.flush()
