"""Who is calling: `Authorization: Bearer …` (RFC 6750), looked up once a second at most."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from reference_server.errors import Unauthenticated
from reference_server.recent import Recent
from reference_server.registry import callers
from reference_server.registry.callers import NO_DEFAULTS, Use
from reference_server.security import credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.registry.callers import Defaults
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

# A key revoked in another process must stop within a second here too.
_SECONDS = 1.0
_MOST = 10_000


class Authenticator:
    """Finds the account behind a credential.

    Args:
        database: Where hashes of credentials are.
        defaults: What accounts without limits of their own are limited to.
        timer: Seconds, monotonic.
    """

    def __init__(
        self, database: Database, *, defaults: Defaults = NO_DEFAULTS, timer: Callable[[], float]
    ) -> None:
        self._database = database
        self._defaults = defaults
        self._timer = timer
        self._changes = 0
        # By a hash of the whole header, which spares a call the parsing of its credential. It is the only
        # cache: of two, one could hold what the other takes from it just before it ends, again and again.
        self._recent: Recent[bytes, Caller] = Recent(_MOST, _SECONDS, timer=timer)
        self._used: dict[str, Use] = {}
        self._lock = threading.Lock()

    def __call__(self, authorization: str | None, address: str) -> Caller:
        """Return the caller.

        Args:
            authorization: The header.
            address: Where the request came from.

        Raises:
            Unauthenticated: Saying whether the header is missing, malformed or its credential invalid.
            Forbidden: When the key cannot be used from there.
        """
        credential = credentials.parse(_bearer(authorization))
        if credential is None:
            raise Unauthenticated(
                "this is not a credential of this service: its form or its checksum is wrong; check that all "
                "of it was copied",
                code="malformed_credential",
            )
        changes, read_at = self._changes, self._timer()
        caller = callers.find_caller(self._database, credential, defaults=self._defaults)
        if caller is None:
            raise Unauthenticated(
                "this credential is unknown, expired or revoked; log in or make a new key",
                code="invalid_credential",
            )
        self._recent.put(hash_of(authorization or ""), caller, read_at=read_at)
        if changes != self._changes:
            # It was read before a change that was made here, and written after everything was forgotten.
            self._recent.clear()
        caller.require_address(address)
        if caller.kind == "key":
            with self._lock:
                self._used[caller.credential_id] = Use(self._database.clock(), address)
        return caller

    def holds(self, authorization: str | None, address: str) -> bool:
        """Tell whether a credential that was good a moment ago still is; this asks the store."""
        try:
            self(authorization, address)
        except Unauthenticated:
            return False
        return True

    def known(self, authorization: str | None) -> Caller | None:
        """Return the caller if it was looked up a moment ago; never waits."""
        if authorization is None:
            return None
        return self._recent.get(hash_of(authorization))

    def forget(self) -> None:
        """Look everybody up again, as after a change to keys, sessions or accounts."""
        self._database.when_committed(self._clear)

    def _clear(self) -> None:
        self._changes += 1
        self._recent.clear()

    def flush(self) -> None:
        """Store when and from where keys were last used."""
        with self._lock:
            used, self._used = self._used, {}
        if used:
            callers.touch(self._database, used)


def hash_of(authorization: str) -> bytes:
    """Return what a header is kept by: no secret stays in memory in clear."""
    return hashlib.sha256(authorization.encode()).digest()


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise Unauthenticated(
            "no credential was sent; send the header `Authorization: Bearer YOUR_API_KEY`",
            code="missing_credential",
        )
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthenticated(
            "the Authorization header must read `Bearer YOUR_API_KEY`", code="malformed_credential"
        )
    return secret.strip()
