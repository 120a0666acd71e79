"""`Idempotency-Key`: a repeated POST has one effect, and the first one's answer.

After draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import orjson

from reference_server.errors import InvalidRequest
from reference_server.http.exchange import Answer
from reference_server.registry import idempotency
from reference_server.registry.idempotency import StoredReply
from reference_server.security.sealing import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.registry.database import Database

HEADER = "Idempotency-Key"
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
# Longer than any request may take; a server that died in the middle holds its callers up no longer than this.
_LEASE_SECONDS = 120.0
_NEVER_STORED = 500
_TOO_MANY = 429


def once(
    run: Callable[[], Answer],
    *,
    database: Database,
    key: str,
    owner: str,
    fingerprint: bytes,
    secret: bool,
) -> Answer:
    """Run a call once for its key and replay its answer afterwards.

    Args:
        owner: Whose key it is; two owners never share one.
        fingerprint: What the call says: the same key with another fingerprint is a conflict.
        secret: Whether the answer holds a secret, so that it is stored sealed under the key itself.

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
        body = unseal(stored.body, secret=key, bound_to=bound_to) if stored.sealed else stored.body
        return _unpacked(stored.status, body)
    try:
        answer = run()
    except BaseException:
        idempotency.abandon(database, owner=owner, key_hash=key_hash)
        raise
    if answer.status >= _NEVER_STORED or answer.status == _TOO_MANY:
        idempotency.abandon(database, owner=owner, key_hash=key_hash)
        return answer
    body = _packed(answer)
    body = seal(body, secret=key, bound_to=bound_to) if secret else body
    idempotency.complete(
        database, owner=owner, key_hash=key_hash, reply=StoredReply(answer.status, body, secret)
    )
    return answer


def _packed(answer: Answer) -> bytes:
    return orjson.dumps(dict(answer.headers)) + b"\n" + answer.body


def _unpacked(status: int, packed: bytes) -> Answer:
    headers, _, body = packed.partition(b"\n")
    return Answer(status, {**orjson.loads(headers), "idempotent-replayed": "true"}, body)
