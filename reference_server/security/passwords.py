"""Password hashing with argon2id (RFC 9106, the second recommended setting: 64 MiB, 3 passes)."""

from __future__ import annotations

import base64
import os
import threading
from collections import Counter
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from reference_server.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from argon2 import Parameters

_WAIT_SECONDS = 10.0
_SALT_BYTES, _TAG_BYTES = 16, 32


class Passwords:
    """Hash and verify passwords, a bounded number at a time.

    Who waits holds a thread that others need, so few may wait; and no address has more than half of the
    places, so that nobody alone keeps everybody else from logging in.

    Args:
        concurrency: How many hashes may be computed at once; each takes 64 MiB and about 50 ms of a core.
        waiting: How many may wait beside those.
        cost: What a hash costs to compute, here and for whoever guesses.
    """

    def __init__(
        self, *, concurrency: int = 2, waiting: int = 4, cost: Parameters = RFC_9106_LOW_MEMORY
    ) -> None:
        self._hasher = PasswordHasher.from_parameters(cost)
        self._lanes = threading.BoundedSemaphore(concurrency)
        self._most = concurrency + waiting
        self._places: Counter[str] = Counter()
        self._lock = threading.Lock()

    @cached_property
    def _nobody(self) -> str:
        """A hash that no password has; made up, so that the first stranger waits no longer than others."""
        hasher, digits = self._hasher, [_base64(os.urandom(size)) for size in (_SALT_BYTES, _TAG_BYTES)]
        cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        return f"$argon2id$v=19${cost}${digits[0]}${digits[1]}"

    def hash(self, password: str, *, address: str = "") -> str:
        """Return the encoded hash, salt and parameters included.

        Raises:
            Unavailable: With code `busy`, when too many are under way.
        """
        with self._lane(address):
            return self._hasher.hash(_encoded(password))

    def verify(self, stored_hash: str | None, password: str, *, address: str = "") -> bool:
        """Tell whether a password fits; for an unknown account (None) spend the same time and say no.

        Raises:
            Unavailable: With code `busy`, when too many are under way.
        """
        expected = stored_hash or self._nobody
        with self._lane(address):
            try:
                self._hasher.verify(expected, _encoded(password))
            except (VerifyMismatchError, InvalidHashError):
                return False
        return stored_hash is not None

    @contextmanager
    def _lane(self, address: str) -> Iterator[None]:
        """Give a place among the hashes under way, or 503 where there is none."""
        with self._lock:
            if self._places.total() >= self._most or self._places[address] >= max(1, self._most // 2):
                raise _busy()
            self._places[address] += 1
        try:
            if not self._lanes.acquire(timeout=_WAIT_SECONDS):
                raise _busy()
            try:
                yield
            finally:
                self._lanes.release()
        finally:
            with self._lock:
                self._places[address] -= 1
                # Counters keep what has come to nothing.
                self._places += Counter()


def _busy() -> Unavailable:
    return Unavailable("too many log-ins at once; try again in a moment", code="busy", retry_after=1.0)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii").rstrip("=")


def _encoded(password: str) -> bytes:
    # JSON can carry lone surrogates, which UTF-8 cannot: they are as good in a password as anything.
    return password.encode("utf-8", "surrogatepass")
