"""Password hashing with argon2id (RFC 9106, the second recommended setting: 64 MiB, 3 passes)."""

from __future__ import annotations

import threading
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from reference_server.errors import Unavailable

_WAIT_SECONDS = 10.0


class Passwords:
    """Hash and verify passwords, a bounded number at a time.

    Args:
        concurrency: How many hashes may be computed at once; each takes 64 MiB and about 50 ms of a core.
    """

    def __init__(self, *, concurrency: int = 2) -> None:
        self._hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._lanes = threading.BoundedSemaphore(concurrency)

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash("the password of an account that does not exist")

    def hash(self, password: str) -> str:
        """Return the encoded hash, salt and parameters included."""
        with self._lane():
            return self._hasher.hash(_encoded(password))

    def verify(self, stored_hash: str | None, password: str) -> bool:
        """Tell whether a password fits; for an unknown account (None) spend the same time and say no."""
        expected = stored_hash or self._nobody
        with self._lane():
            try:
                self._hasher.verify(expected, _encoded(password))
            except (VerifyMismatchError, InvalidHashError):
                return False
        return stored_hash is not None

    def _lane(self) -> _Lane:
        return _Lane(self._lanes)


class _Lane:
    """A place among the hashes under way, or 503 when none comes free."""

    def __init__(self, lanes: threading.BoundedSemaphore) -> None:
        self._lanes = lanes

    def __enter__(self) -> None:
        if not self._lanes.acquire(timeout=_WAIT_SECONDS):
            raise Unavailable("too many log-ins at once; try again in a moment", code="busy", retry_after=1.0)

    def __exit__(self, *_: object) -> None:
        self._lanes.release()


def _encoded(password: str) -> bytes:
    # JSON can carry lone surrogates, which UTF-8 cannot: they are as good in a password as anything.
    return password.encode("utf-8", "surrogatepass")
