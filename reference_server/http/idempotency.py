"""`Idempotency-Key`: a repeated POST has one effect, and the first one's answer.

After draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import orjson

from reference_server.errors import InvalidRequest
from reference_server.http.exchange import Answer
from reference_server.registry import idempotency
from reference_server.registry.idempotency import StoredReply
from reference_server.security.sealing import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reference_server.registry.database import Database

HEADER = "Idempotency-Key"
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
# A server that died in the middle holds its callers up no longer than this; a living worker renews the leases
# of what it has under way.
_LEASE_SECONDS = 15.0
_RENEWED_AFTER_SECONDS = 3.0
_NEVER_STORED = 500
_TOO_MANY = 429


class Claims:
    """The keys of the requests that this worker has under way.

    Args:
        database: Where their leases are.
        timer: The clock of durations.
    """

    def __init__(self, database: Database, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._timer = timer
        self._lock = threading.Lock()
        self._leased_at: dict[tuple[str, str], float] = {}

    @contextmanager
    def held(self, owner: str, key_hash: str) -> Iterator[None]:
        """Hold a claim, just made, for as long as the block takes."""
        with self._lock:
            self._leased_at[owner, key_hash] = self._timer()
        try:
            yield
        finally:
            with self._lock:
                self._leased_at.pop((owner, key_hash), None)

    def renew(self) -> None:
        """Renew the leases that need it; called every second."""
        now = self._timer()
        with self._lock:
            due = [claim for claim, at in self._leased_at.items() if now - at > _RENEWED_AFTER_SECONDS]
        if not due:
            return
        idempotency.renew(self._database, due, lease_seconds=_LEASE_SECONDS)
        with self._lock:
            self._leased_at.update((claim, now) for claim in due if claim in self._leased_at)


def once(
    run: Callable[[], Answer],
    *,
    database: Database,
    claims: Claims,
    key: str,
    owner: str,
    fingerprint: bytes,
    one_transaction: bool,
    before_replay: Callable[[], None] = lambda: None,
) -> Answer:
    """Run a call once for its key and replay its answer afterwards; it is stored sealed under the key itself.

    Args:
        run: The call.
        database: Where replies are stored.
        claims: What this worker has under way.
        key: The Idempotency-Key.
        owner: Whose key it is; two owners never share one.
        fingerprint: What the call says: the same key with another fingerprint is a conflict.
        one_transaction: Whether what the call writes and its stored answer are committed together, so that no
            death comes between them.
        before_replay: Raises where the caller may not hear the stored answer any more.

    Raises:
        InvalidRequest: If the key is malformed.
        Conflict: If it was used for another call, or its first call is still under way.
    """
    if not _FORM.fullmatch(key):
        raise InvalidRequest(
            f"{HEADER} must be 1 to 255 visible ASCII characters", code="invalid_header", param=HEADER
        )
    key_hash = hashlib.sha256(key.encode()).hexdigest()
    bound_to = owner.encode() + fingerprint
    stored = idempotency.begin(
        database,
        owner=owner,
        key_hash=key_hash,
        fingerprint=fingerprint.hex(),
        lease_seconds=_LEASE_SECONDS,
    )
    if stored is not None:
        before_replay()
        return _unpacked(stored.status, _opened(stored, key, bound_to))

    def keep(answer: Answer) -> None:
        # All are sealed, and not those with a secret alone: replies hold addresses and results too.
        reply = StoredReply(answer.status, seal(_packed(answer), secret=key, bound_to=bound_to), sealed=True)
        idempotency.complete(database, owner=owner, key_hash=key_hash, reply=reply)

    with claims.held(owner, key_hash):
        try:
            with database.together() if one_transaction else nullcontext():
                answer = run()
                if one_transaction and _is_kept(answer):
                    keep(answer)
        except BaseException:
            idempotency.abandon(database, owner=owner, key_hash=key_hash)
            raise
        if not _is_kept(answer):
            idempotency.abandon(database, owner=owner, key_hash=key_hash)
        elif not one_transaction:
            keep(answer)
    return answer


def _is_kept(answer: Answer) -> bool:
    return answer.status < _NEVER_STORED and answer.status != _TOO_MANY


def _opened(stored: StoredReply, key: str, bound_to: bytes) -> bytes:
    if not stored.sealed:
        return stored.body
    try:
        return unseal(stored.body, secret=key, bound_to=bound_to)
    except ValueError as error:
        raise idempotency.reply_lost() from error


def _packed(answer: Answer) -> bytes:
    return orjson.dumps(dict(answer.headers)) + b"\n" + answer.body


def _unpacked(status: int, packed: bytes) -> Answer:
    headers, _, body = packed.partition(b"\n")
    return Answer(status, {**orjson.loads(headers), "idempotent-replayed": "true"}, body)
