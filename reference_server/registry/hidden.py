"""What a caller asked for, was told is not there, and is: for the audit log, after they were answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from reference_server.errors import NotFound
from reference_server.registry import names
from reference_server.registry.tables import AccountRow, JobRow, KeyRow, ModelRow, SessionRow, UploadRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_IDS = {"key": KeyRow.id, "session": SessionRow.id, "job": JobRow.id, "upload": UploadRow.id}


def find(session: Session, what: str, text: str) -> str | None:
    """Return the id of what there is under a name or an id, or None when there is nothing.

    Args:
        session: Any.
        what: `model` (by its exact name), `key`, `session`, `job` or `upload`.
        text: The name or the id.
    """
    if what == "model":
        return _model(session, text)
    column = _IDS[what]
    return session.scalar(select(column).where(column == text))


def _model(session: Session, text: str) -> str | None:
    try:
        reference = names.parse(text)
    except NotFound:
        return None
    owner = select(AccountRow.id).where(AccountRow.name == reference.account).scalar_subquery()
    return session.scalar(
        select(ModelRow.id).where(ModelRow.account_id == owner, ModelRow.name == reference.name)
    )
