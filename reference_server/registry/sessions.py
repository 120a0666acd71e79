"""Log-in sessions: made at log-in, ended by their owner, by a change of password or by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from maas_client.types import Page, PageQuery, Session
from reference_server.errors import NotFound
from reference_server.registry.ids import new_id
from reference_server.registry.pages import Keyset
from reference_server.registry.tables import SessionRow

if TYPE_CHECKING:
    from datetime import datetime

    from reference_server.registry.database import Database
    from reference_server.security.credentials import Credential

_NEWEST_FIRST = Keyset("sessions", (SessionRow.created_at, SessionRow.id), descending=True)


def create(db: Database, account_id: str, credential: Credential, *, expires_at: datetime) -> Session:
    """Open a session; of its token only the hash is kept."""
    row = SessionRow(
        id=new_id("ses"),
        account_id=account_id,
        hash=credential.hash,
        created_at=db.clock(),
        expires_at=expires_at,
    )
    with db.write() as session:
        session.add(row)
    return to_session(row)


def list_sessions(db: Database, account_id: str, query: PageQuery, *, current: str | None) -> Page[Session]:
    """Return a page of an account's live sessions, newest first, marking the one that asks."""
    live = select(SessionRow).where(SessionRow.account_id == account_id, SessionRow.expires_at > db.clock())
    with db.read() as session:
        return _NEWEST_FIRST.page(
            session, live, query, lambda rows: [to_session(row[0], current=current) for row in rows]
        )


def end(db: Database, account_id: str, session_id: str) -> None:
    """End a session of an account.

    Raises:
        NotFound: When the account has no such session.
    """
    gone = delete(SessionRow).where(SessionRow.id == session_id, SessionRow.account_id == account_id)
    with db.write() as session:
        if session.execute(gone.returning(SessionRow.id)).first() is None:
            raise NotFound(f"you have no session {session_id[:100]!r}", code="session_not_found")


def to_session(row: SessionRow, *, current: str | None = None) -> Session:
    """Return the wire form of a row."""
    return Session(id=row.id, created_at=row.created_at, expires_at=row.expires_at, current=row.id == current)
