"""Who a credential speaks for: read at every request, in one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, or_, select, update

from reference_server.registry.tables import AccountRow, KeyRow, KeySecretRow, SessionRow
from reference_server.security.callers import ALL_SCOPES, Caller

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Row, Select

    from reference_server.registry.database import Database
    from reference_server.security.credentials import Credential, Kind

# Built once: building them would cost more than running them.
_KEY = (
    select(
        KeySecretRow.hash,
        KeySecretRow.valid_until,
        KeyRow.expires_at,
        KeyRow.id,
        KeyRow.scopes,
        AccountRow.id.label("account_id"),
        AccountRow.name,
        AccountRow.role,
        AccountRow.disabled,
    )
    .join(KeyRow, KeyRow.id == KeySecretRow.key_id)
    .join(AccountRow, AccountRow.id == KeyRow.account_id)
    .where(KeySecretRow.hash == bindparam("hash"))
)
_SESSION = (
    select(
        SessionRow.hash,
        SessionRow.expires_at,
        SessionRow.id,
        AccountRow.id.label("account_id"),
        AccountRow.name,
        AccountRow.role,
        AccountRow.disabled,
    )
    .join(AccountRow, AccountRow.id == SessionRow.account_id)
    .where(SessionRow.hash == bindparam("hash"))
)
_FIND: dict[Kind, Select[*tuple[Any, ...]]] = {"key": _KEY, "session": _SESSION}


def find_caller(db: Database, credential: Credential) -> Caller | None:
    """Return who a credential speaks for, or None when it does not hold.

    It does not hold when it is unknown, expired, revoked or rotated away, or when the account is disabled.
    """
    with db.read() as session:
        row = session.execute(_FIND[credential.kind], {"hash": credential.hash}).first()
    if row is None or not credential.matches(row.hash) or row.disabled:
        return None
    if any(end is not None and end <= db.clock() for end in _ends(credential.kind, row)):
        return None
    return Caller(
        account_id=row.account_id,
        account_name=row.name,
        role=row.role,
        credential_id=row.id,
        kind=credential.kind,
        scopes=ALL_SCOPES if credential.kind == "session" else frozenset(row.scopes),
    )


def touch(db: Database, used: Mapping[str, datetime]) -> None:
    """Write when keys were last used, all in one transaction; a later time already there stays.

    Args:
        db: The store.
        used: Times by key id; ids of keys that are gone are passed over.
    """
    if not used:
        return
    earlier = or_(KeyRow.last_used_at.is_(None), KeyRow.last_used_at < bindparam("at"))
    statement = (
        update(KeyRow).where(KeyRow.id == bindparam("key"), earlier).values(last_used_at=bindparam("at"))
    )
    with db.write() as session:
        session.connection().execute(statement, [{"key": key, "at": at} for key, at in used.items()])


def _ends(kind: Kind, row: Row[*tuple[Any, ...]]) -> tuple[datetime | None, ...]:
    return (row.expires_at,) if kind == "session" else (row.expires_at, row.valid_until)
