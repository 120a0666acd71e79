"""Requests that carry an Idempotency-Key: run once, answered again from the stored reply for 24 hours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, update

from reference_server.errors import Conflict
from reference_server.registry import in_clear
from reference_server.registry.tables import IdempotencyRow

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database

_KEPT = timedelta(hours=24)
# A call in flight usually ends long before its lease does.
_LONGEST_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply as it went out; `sealed` when the body is encrypted because it holds a secret."""

    status: int
    body: bytes = field(repr=False)
    sealed: bool


def begin(
    db: Database, *, owner: str, key_hash: str, fingerprint: str, lease_seconds: float
) -> StoredReply | None:
    """Claim the right to run a request, or get the reply that it had.

    Args:
        db: The store.
        owner: Whose key it is; keys of different owners never meet.
        key_hash: The hash of the Idempotency-Key.
        fingerprint: What the request asks for; the same key must always come with the same.
        lease_seconds: How long the claim holds if none of `renew`, `complete` and `abandon` follows.

    Returns:
        None when the caller may run, else the reply to send again.

    Raises:
        Conflict: With code `idempotency_key_reused`, `idempotency_in_flight` or
            `idempotency_reply_lost`.
    """
    now = db.clock()
    leased_until = now + timedelta(seconds=lease_seconds)
    with db.write() as session:
        row = session.get(IdempotencyRow, (owner, key_hash))
        if row is not None and row.created_at > now - _KEPT:
            if row.status is not None and not row.sealed and not in_clear.is_permitted(session):
                raise reply_lost()
            return _again(row, fingerprint, now, leased_until)
        if row is not None:
            session.delete(row)
            session.flush()
        session.add(
            IdempotencyRow(
                owner=owner,
                key_hash=key_hash,
                fingerprint=fingerprint,
                created_at=now,
                leased_until=leased_until,
            )
        )
    return None


def reply_lost() -> Conflict:
    """Make the answer where a stored reply is not the one that was stored: it is told to nobody."""
    return Conflict(
        "the call with this Idempotency-Key was made before, and its answer cannot be told again; look "
        "whether it had its effect, and make a new key",
        code="idempotency_reply_lost",
        should_retry=False,
    )


def renew(db: Database, claims: Collection[tuple[str, str]], *, lease_seconds: float) -> None:
    """Let claims, each an owner and a key's hash, hold for so long from now on; ended ones stay ended."""
    leased_until = db.clock() + timedelta(seconds=lease_seconds)
    with db.write() as session:
        for owner, key_hash in claims:
            session.execute(
                update(IdempotencyRow).where(*_claim(owner, key_hash)).values(leased_until=leased_until)
            )


def complete(db: Database, *, owner: str, key_hash: str, reply: StoredReply) -> None:
    """Store the reply of a claimed request; the first one stored stays."""
    with db.write() as session:
        session.execute(
            update(IdempotencyRow)
            .where(*_claim(owner, key_hash))
            .values(status=reply.status, body=reply.body, sealed=reply.sealed)
        )


def abandon(db: Database, *, owner: str, key_hash: str) -> None:
    """Give the claim back without a reply, so that a repeat runs."""
    with db.write() as session:
        session.execute(delete(IdempotencyRow).where(*_claim(owner, key_hash)))


def stranger(email: str, address: str) -> str:
    """Return the owner that somebody without an account is; neither address stands in it in clear."""
    return f"{_stranger(email)}{hashlib.sha256(address.encode()).hexdigest()[:32]}"


def forget(session: Session, *, account_id: str, email: str) -> None:
    """Delete every reply to an account, and those to whoever registered or logged in with its address."""
    theirs = IdempotencyRow.owner.startswith(_stranger(email))
    session.execute(delete(IdempotencyRow).where(or_(IdempotencyRow.owner == account_id, theirs)))


def _stranger(email: str) -> str:
    return f"sha256:{hashlib.sha256(email.strip().lower().encode()).hexdigest()[:32]}|"


def purge(db: Database) -> None:
    """Forget every request that is older than 24 hours."""
    with db.write() as session:
        session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at <= db.clock() - _KEPT))


def _again(
    row: IdempotencyRow, fingerprint: str, now: datetime, leased_until: datetime
) -> StoredReply | None:
    if row.fingerprint != fingerprint:
        raise Conflict(
            "this Idempotency-Key was sent with another request before; make a new key for each request",
            code="idempotency_key_reused",
            should_retry=False,
        )
    if row.status is not None:
        return StoredReply(row.status, row.body or b"", row.sealed)
    if (left := (row.leased_until - now).total_seconds()) > 0:
        raise Conflict(
            "the first request with this Idempotency-Key is still under way; repeat this one in a moment",
            code="idempotency_in_flight",
            retry_after=min(left, _LONGEST_WAIT_SECONDS),
            should_retry=True,
        )
    row.leased_until = leased_until
    return None


def _claim(owner: str, key_hash: str) -> tuple[ColumnElement[bool], ...]:
    mine = (IdempotencyRow.owner == owner, IdempotencyRow.key_hash == key_hash)
    return (*mine, IdempotencyRow.status.is_(None))
