"""API keys: what they are called and may do, and the hashes of the secrets that open them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select, update

from maas_client.types import Key, Page, PageQuery
from reference_server.errors import NotFound, Unprocessable
from reference_server.registry.ids import new_id
from reference_server.registry.pages import Keyset
from reference_server.registry.tables import KeyRow, KeySecretRow
from reference_server.security.limits import UNLIMITED, Budget, Limits, WantedLimits, parse_networks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from pydantic import JsonValue
    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.credentials import Credential

_NO_LIMITS = WantedLimits()
_NEWEST_FIRST = Keyset("keys", (KeyRow.created_at, KeyRow.id), descending=True)


def create(
    db: Database,
    account_id: str,
    credential: Credential,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    limits: WantedLimits = _NO_LIMITS,
    maker: Limits = UNLIMITED,
) -> Key:
    """Keep a new key: of its secret the hash, the public prefix and the last four characters.

    Args:
        db: The store.
        account_id: Whose it is.
        credential: Its secret.
        name: What it is for.
        scopes: What it may do.
        expires_at: When it ends.
        limits: What it is limited to beside that, as the maker may grant it.
        maker: The limits of who makes it, whose budgets it is counted with.

    Raises:
        Unprocessable: When `expires_at` has no offset or is not in the future.
    """
    now = db.clock()
    _check_expiry(expires_at, now)
    row = KeyRow(
        id=new_id("key"),
        account_id=account_id,
        name=name,
        prefix=credential.prefix,
        last4=credential.last4,
        scopes=list(scopes),
        created_at=now,
        expires_at=expires_at,
        models=None if limits.models is None else list(limits.models),
        networks=None if limits.networks is None else list(limits.networks),
        requests_per_minute=limits.requests_per_minute,
        rows_per_day=limits.rows_per_day,
        counted_with=[_stored(budget) for budget in maker.budgets if budget.holds] or None,
    )
    with db.write() as session:
        session.add(row)
        session.flush()
        session.add(KeySecretRow(hash=credential.hash, key_id=row.id))
    return to_key(row)


def limits_of(db: Database, account_id: str, key_id: str) -> Limits:
    """Return what one key of an account is limited to.

    Raises:
        NotFound: When the account has no such key.
    """
    with db.read() as session:
        return to_limits(_row_of(session, account_id, key_id))


def list_keys(db: Database, account_id: str, query: PageQuery) -> Page[Key]:
    """Return a page of an account's keys, newest first, expired ones included."""
    theirs = select(KeyRow).where(KeyRow.account_id == account_id)
    with db.read() as session:
        return _NEWEST_FIRST.page(session, theirs, query, lambda rows: [to_key(row[0]) for row in rows])


def get(db: Database, account_id: str, key_id: str) -> Key:
    """Return one key of an account.

    Raises:
        NotFound: When the account has no such key.
    """
    with db.read() as session:
        return to_key(_row_of(session, account_id, key_id))


def rotate(
    db: Database, account_id: str, key_id: str, credential: Credential, *, overlap_seconds: float
) -> Key:
    """Give a key a new secret; every older one holds until the overlap ends, or its own if that is earlier.

    Raises:
        NotFound: When the account has no such key.
    """
    until = db.clock() + timedelta(seconds=overlap_seconds)
    with db.write() as session:
        row = _row_of(session, account_id, key_id)
        outlasts = or_(KeySecretRow.valid_until.is_(None), KeySecretRow.valid_until > until)
        session.execute(
            update(KeySecretRow).where(KeySecretRow.key_id == key_id, outlasts).values(valid_until=until)
        )
        session.add(KeySecretRow(hash=credential.hash, key_id=key_id))
        row.prefix, row.last4 = credential.prefix, credential.last4
        return to_key(row)


def revoke(db: Database, account_id: str, key_id: str) -> None:
    """End a key at once, with every secret it ever had.

    Raises:
        NotFound: When the account has no such key.
    """
    with db.write() as session:
        _row_of(session, account_id, key_id)
        session.execute(delete(KeyRow).where(KeyRow.id == key_id))


def to_key(row: KeyRow) -> Key:
    """Return the wire form of a row."""
    return Key(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        last4=row.last4,
        scopes=row.scopes,
        created_at=row.created_at,
        expires_at=row.expires_at,
        models=row.models,
        networks=row.networks,
        requests_per_minute=row.requests_per_minute,
        rows_per_day=row.rows_per_day,
        last_used_at=row.last_used_at,
        last_used_from=row.last_used_from,
    )


def to_limits(row: KeyRow | Row[*tuple[Any, ...]]) -> Limits:
    """Return the limits of a row that has a key's columns."""
    own = Budget("key", f"key {row.id}", row.requests_per_minute, row.rows_per_day)
    return Limits(
        models=None if row.models is None else tuple(row.models),
        networks=None if row.networks is None else parse_networks(row.networks),
        expires_at=row.expires_at,
        budgets=(*([own] if own.holds else []), *(_read(each) for each in row.counted_with or ())),
    )


def _stored(budget: Budget) -> dict[str, JsonValue]:
    return {
        "subject": budget.subject,
        "requests_per_minute": budget.requests_per_minute,
        "rows_per_day": budget.rows_per_day,
    }


def _read(stored: dict[str, Any]) -> Budget:
    return Budget("maker", **stored)


def _row_of(session: Session, account_id: str, key_id: str) -> KeyRow:
    row = session.scalar(select(KeyRow).where(KeyRow.id == key_id, KeyRow.account_id == account_id))
    if row is None:
        raise NotFound(f"you have no key {key_id[:100]!r}", code="key_not_found")
    return row


def _check_expiry(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is None:
        return
    if expires_at.tzinfo is None:
        raise Unprocessable(
            "expires_at has no offset; write it as 2030-01-31T12:00:00Z",
            code="expiry_without_offset",
            param="expires_at",
        )
    if expires_at <= now:
        raise Unprocessable(
            f"expires_at is {expires_at.isoformat()}, which is past; give a later time or none",
            code="expiry_in_the_past",
            param="expires_at",
        )
