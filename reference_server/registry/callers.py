"""Who a credential speaks for: read at every request, in one query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, or_, select, update

from reference_server.registry.keys import to_limits
from reference_server.registry.tables import AccountRow, KeyRow, KeySecretRow, SessionRow
from reference_server.security.callers import ALL_SCOPES, Caller
from reference_server.security.limits import UNLIMITED, Budget

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Row, Select

    from reference_server.registry.database import Database
    from reference_server.security.credentials import Credential, Kind

# The longest that is kept of where a key was used from.
_ADDRESS = 64
_OF_ACCOUNT = (
    AccountRow.requests_per_minute.label("account_requests_per_minute"),
    AccountRow.rows_per_day.label("account_rows_per_day"),
)
# Built once: building them would cost more than running them.
_KEY = (
    select(
        KeySecretRow.hash,
        KeySecretRow.valid_until,
        KeyRow.expires_at,
        KeyRow.id,
        KeyRow.scopes,
        KeyRow.models,
        KeyRow.networks,
        KeyRow.requests_per_minute,
        KeyRow.rows_per_day,
        KeyRow.counted_with,
        AccountRow.id.label("account_id"),
        AccountRow.name,
        AccountRow.role,
        AccountRow.disabled,
        *_OF_ACCOUNT,
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
        *_OF_ACCOUNT,
    )
    .join(AccountRow, AccountRow.id == SessionRow.account_id)
    .where(SessionRow.hash == bindparam("hash"))
)
_FIND: dict[Kind, Select[*tuple[Any, ...]]] = {"key": _KEY, "session": _SESSION}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What accounts are limited to that have no limits of their own; None for no limit."""

    requests_per_minute: int | None = None
    rows_per_day: int | None = None

    def of(self, account_id: str, requests_per_minute: int | None, rows_per_day: int | None) -> Budget:
        """Return an account's budget; of its own limits None is the default, and 0 is none."""
        requests = self.requests_per_minute if requests_per_minute is None else requests_per_minute
        rows = self.rows_per_day if rows_per_day is None else rows_per_day
        return Budget("account", f"account {account_id}", requests or None, rows or None)


NO_DEFAULTS = Defaults()


@dataclass(frozen=True, slots=True)
class Use:
    """When and from where a key was used."""

    at: datetime
    address: str


def find_caller(db: Database, credential: Credential, *, defaults: Defaults = NO_DEFAULTS) -> Caller | None:
    """Return who a credential speaks for, or None when it does not hold.

    It does not hold when it is unknown, expired, revoked or rotated away, or when the account is disabled.
    """
    if credential.kind not in _FIND:
        return None
    with db.read() as session:
        row = session.execute(_FIND[credential.kind], {"hash": credential.hash}).first()
    if row is None or not credential.matches(row.hash) or row.disabled:
        return None
    if any(end is not None and end <= db.clock() for end in _ends(credential.kind, row)):
        return None
    limits = UNLIMITED if credential.kind == "session" else to_limits(row)
    account = defaults.of(row.account_id, row.account_requests_per_minute, row.account_rows_per_day)
    return Caller(
        account_id=row.account_id,
        account_name=row.name,
        role=row.role,
        credential_id=row.id,
        kind=credential.kind,
        scopes=ALL_SCOPES if credential.kind == "session" else frozenset(row.scopes),
        limits=limits,
        budgets=(*limits.budgets, *([account] if account.holds else [])),
    )


def touch(db: Database, used: Mapping[str, Use]) -> None:
    """Write when and from where keys were last used, in one transaction; a later time already there stays.

    Args:
        db: The store.
        used: Uses by key id; ids of keys that are gone are passed over.
    """
    if not used:
        return
    earlier = or_(KeyRow.last_used_at.is_(None), KeyRow.last_used_at < bindparam("at"))
    statement = (
        update(KeyRow)
        .where(KeyRow.id == bindparam("key"), earlier)
        .values(last_used_at=bindparam("at"), last_used_from=bindparam("address"))
    )
    values = [{"key": key, "at": use.at, "address": use.address[:_ADDRESS]} for key, use in used.items()]
    with db.write() as session:
        session.connection().execute(statement, values)


def _ends(kind: Kind, row: Row[*tuple[Any, ...]]) -> tuple[datetime | None, ...]:
    return (row.expires_at,) if kind == "session" else (row.expires_at, row.valid_until)
