"""Invitations to register: made by an operator, shown once, good for one account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from maas_client.types import Invitation
from reference_server.errors import Conflict, Forbidden, NotFound
from reference_server.registry.ids import new_id
from reference_server.registry.tables import AccountRow, InvitationRow

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.credentials import Credential


def create(db: Database, credential: Credential, *, email: str | None, expires_at: datetime) -> Invitation:
    """Keep a new invitation: of its secret the hash and the public prefix.

    Args:
        db: The store.
        credential: Its secret.
        email: Who alone may use it, in lower case; None for whoever has it.
        expires_at: When it ends, aware.
    """
    row = InvitationRow(
        id=new_id("inv"),
        hash=credential.hash,
        prefix=credential.prefix,
        email=email,
        created_at=db.clock(),
        expires_at=expires_at,
    )
    with db.write() as session:
        session.add(row)
        session.flush()
        return _to_invitation(session, row, db.clock())


def list_invitations(db: Database) -> list[Invitation]:
    """Return every invitation, the newest first, used and expired ones included."""
    newest_first = select(InvitationRow).order_by(InvitationRow.created_at.desc(), InvitationRow.id.desc())
    with db.read() as session:
        return [_to_invitation(session, row, db.clock()) for row in session.scalars(newest_first)]


def revoke(db: Database, id_or_prefix: str) -> Invitation:
    """End an invitation that nobody has used, and return what it was.

    Args:
        db: The store.
        id_or_prefix: As the list shows it.

    Raises:
        NotFound: When there is none.
        Conflict: With code `invitation_used`.
    """
    either = or_(InvitationRow.id == id_or_prefix, InvitationRow.prefix == id_or_prefix)
    with db.write() as session:
        row = session.scalar(select(InvitationRow).where(either))
        if row is None:
            raise NotFound(f"there is no invitation {id_or_prefix!r:.100}", code="invitation_not_found")
        if row.used_at is not None:
            raise Conflict(
                "this invitation was used already; what came of it is an account, which can be disabled",
                code="invitation_used",
            )
        revoked = _to_invitation(session, row, db.clock())
        session.delete(row)
        return revoked


def require(db: Database, credential: Credential | None, email: str) -> None:
    """Refuse a registration whose invitation does not hold.

    Raises:
        Forbidden: With code `invitation_not_valid`, whatever is wrong with it.
    """
    with db.read() as session:
        _holding(session, credential, email, db.clock())


def redeem(session: Session, credential: Credential, email: str, account_id: str, *, at: datetime) -> None:
    """Use an invitation up, in the transaction that makes the account.

    Raises:
        Forbidden: As `require`: somebody else may have used it meanwhile.
    """
    row = _holding(session, credential, email, at)
    row.used_at, row.used_by = at, account_id


def _holding(session: Session, credential: Credential | None, email: str, now: datetime) -> InvitationRow:
    row = None
    if credential is not None and credential.kind == "invitation":
        row = session.scalar(select(InvitationRow).where(InvitationRow.hash == credential.hash))
    if (
        row is None
        or row.used_at is not None
        or row.expires_at <= now
        or (row.email is not None and row.email != email)
    ):
        # One answer for all of these: who guesses learns nothing.
        raise Forbidden(
            "this invitation is unknown, used, expired, or for another e-mail address; ask the operator for "
            "a new one",
            code="invitation_not_valid",
            param="invitation",
        )
    return row


def _to_invitation(session: Session, row: InvitationRow, now: datetime) -> Invitation:
    account = None if row.used_by is None else session.get(AccountRow, row.used_by)
    state = "used" if row.used_at is not None else "expired" if row.expires_at <= now else "open"
    return Invitation(
        id=row.id,
        prefix=row.prefix,
        email=row.email,
        state=state,
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        used_by=None if account is None else account.name,
    )
