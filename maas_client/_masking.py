"""Secrets that do not show: in logs, reprs, tracebacks with locals, and in what a server echoes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "**********"

# How our keys, session tokens and invitations look, so that one we were never told of is masked as well.
_CREDENTIAL = re.compile(r"\bmaas_(?:key|ses|inv)_[0-9A-Za-z]{8,}")
# Shorter ones would blank out innocent text.
_MIN_SCRUBBED = 6


class Masked(str):
    """A secret text: `.encode()` gives what it is, every way of showing it gives a mask.

    It stays a `str` because HTTP libraries put header values on the wire through `encode`.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        return super().__new__(cls, value.reveal() if isinstance(value, Masked) else value)

    def __repr__(self) -> str:
        return f"'{MASK}'"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def reveal(self) -> str:
        """Return the secret itself, for the wire and the profile file only."""
        return str.__str__(self)


def scrub(text: str, secrets: Iterable[Masked] = ()) -> str:
    """Return text without the given secrets and without anything that looks like a credential."""
    for secret in secrets:
        if len(secret) >= _MIN_SCRUBBED:
            text = text.replace(secret.reveal(), MASK)
    return _CREDENTIAL.sub(MASK, text)
