"""Accounts: who may log in, under which name, and in which role."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from sqlalchemy import delete, or_, select

from maas_client.types import Account
from reference_server.errors import Conflict, NotFound
from reference_server.registry import invitations
from reference_server.registry.account_names import make_account_name
from reference_server.registry.ids import new_id
from reference_server.registry.tables import AccountRow, SessionRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.credentials import Credential

Role: TypeAlias = Literal["user", "operator"]


@dataclass(frozen=True, slots=True)
class Login:
    """What a log-in is checked against."""

    account: Account
    password_hash: str = field(repr=False)
    disabled: bool


def create(
    db: Database,
    *,
    email: str,
    password_hash: str,
    name: str | None,
    role: Role,
    policy_version: str,
    invitation: Credential | None = None,
) -> Account:
    """Make an account.

    Args:
        db: The store.
        email: Its address for log-in, unique without regard to case.
        password_hash: The encoded hash, never the password.
        name: Its public handle; one is made up for None.
        role: `operator` may run the service.
        policy_version: The usage policy that was accepted.
        invitation: What is used up by it.

    Raises:
        Conflict: With code `email_taken` or `name_taken`.
        Forbidden: With code `invitation_not_valid`.
    """
    email = _normalise(email)
    with db.write() as session:
        if _exists(session, email=email):
            raise Conflict(
                "there is an account with this e-mail already; log in, or register another address",
                code="email_taken",
                param="email",
            )
        row = AccountRow(
            id=new_id("acc"),
            name=_claim_name(session, name),
            email=email,
            password_hash=password_hash,
            role=role,
            policy_version=policy_version,
            created_at=db.clock(),
        )
        session.add(row)
        if invitation is not None:
            session.flush()
            invitations.redeem(session, invitation, email, row.id, at=db.clock())
        return to_account(row)


def get(db: Database, account_id: str) -> Account:
    """Return an account by its id.

    Raises:
        NotFound: When there is none.
    """
    with db.read() as session:
        return to_account(row_of(session, account_id))


def find(db: Database, name_or_email: str) -> Account:
    """Return an account by its name or e-mail, for operators.

    Raises:
        NotFound: When there is none.
    """
    with db.read() as session:
        either = or_(AccountRow.name == name_or_email, AccountRow.email == _normalise(name_or_email))
        row = session.scalar(select(AccountRow).where(either))
        if row is None:
            raise _not_found(name_or_email)
        return to_account(row)


def find_login(db: Database, email: str) -> Login | None:
    """Return what a log-in with this e-mail is checked against, or None for an unknown one."""
    with db.read() as session:
        row = session.scalar(select(AccountRow).where(AccountRow.email == _normalise(email)))
        return None if row is None else Login(to_account(row), row.password_hash, row.disabled)


def list_accounts(db: Database) -> list[Account]:
    """Return every account, by name; what stands for erased ones is none."""
    with db.read() as session:
        return [
            to_account(row)
            for row in session.scalars(
                select(AccountRow).where(AccountRow.email != "").order_by(AccountRow.name)
            )
        ]


def set_password(db: Database, account_id: str, password_hash: str, *, keep_session: str | None) -> None:
    """Replace the password and end every session but one.

    Raises:
        NotFound: When there is no such account.
    """
    with db.write() as session:
        row_of(session, account_id).password_hash = password_hash
        _end_sessions(session, account_id, keep=keep_session)


def set_role(db: Database, account_id: str, role: Role) -> None:
    """Change what an account may do.

    Raises:
        NotFound: When there is no such account.
    """
    with db.write() as session:
        row_of(session, account_id).role = role


def set_limits(
    db: Database, account_id: str, *, requests_per_minute: int | None, rows_per_day: int | None
) -> None:
    """Limit an account, over the server's default; None is that default, and 0 no limit.

    Raises:
        NotFound: When there is no such account.
    """
    with db.write() as session:
        row = row_of(session, account_id)
        row.requests_per_minute, row.rows_per_day = requests_per_minute, rows_per_day


def set_disabled(db: Database, account_id: str, *, disabled: bool) -> None:
    """Shut an account out, ending its sessions and holding its keys; or let it in again.

    Raises:
        NotFound: When there is no such account.
    """
    with db.write() as session:
        row_of(session, account_id).disabled = disabled
        if disabled:
            _end_sessions(session, account_id, keep=None)


def row_of(session: Session, account_id: str) -> AccountRow:
    """Return an account's row inside a transaction.

    Raises:
        NotFound: When there is none.
    """
    row = session.get(AccountRow, account_id)
    if row is None:
        raise _not_found(account_id)
    return row


def to_account(row: AccountRow) -> Account:
    """Return the wire form of a row."""
    return Account(
        id=row.id,
        name=row.name,
        email=row.email,
        role=row.role,
        policy_version=row.policy_version,
        created_at=row.created_at,
    )


def _claim_name(session: Session, name: str | None) -> str:
    if name is None:
        while _exists(session, name=(made := make_account_name())):
            pass
        return made
    if _exists(session, name=name):
        raise Conflict(
            f"the account name {name!r} is taken; choose another, or leave it out and get one made up",
            code="name_taken",
            param="name",
        )
    return name


def _exists(session: Session, **column: str) -> bool:
    return session.scalar(select(AccountRow.id).filter_by(**column)) is not None


def _end_sessions(session: Session, account_id: str, *, keep: str | None) -> None:
    ended = delete(SessionRow).where(SessionRow.account_id == account_id)
    session.execute(ended if keep is None else ended.where(SessionRow.id != keep))


def _normalise(email: str) -> str:
    return email.strip().lower()


def _not_found(who: str) -> NotFound:
    return NotFound(f"there is no account {who!r}", code="account_not_found")
