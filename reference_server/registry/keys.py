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

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.credentials import Credential

_NEWEST_FIRST = Keyset("keys", (KeyRow.created_at, KeyRow.id), descending=True)


def create(
    db: Database,
    account_id: str,
    credential: Credential,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
) -> Key:
    """Keep a new key: of its secret the hash, the public prefix and the last four characters.

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
    )
    with db.write() as session:
        session.add(row)
        session.flush()
        session.add(KeySecretRow(hash=credential.hash, key_id=row.id))
    return to_key(row)


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
        last_used_at=row.last_used_at,
    )


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
