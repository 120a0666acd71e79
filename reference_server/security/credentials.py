"""API keys, session tokens and invitations: how they look, how a typo is told, and what is stored of them.

`maas_key_`, `maas_ses_` or `maas_inv_`, then 40 random base62 characters, then a CRC-32 of all that in 6 such
characters. The fixed prefix lets leak scanners find a secret, the checksum lets anyone tell offline whether
it can be one (the scheme of GitHub's tokens, github.blog 2021-04-05). Of the 238 random bits the stored
prefix shows 48 and the last four characters of the checksum at most 24, so 166 stay unknown even to whoever
reads the database.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["key", "session", "invitation"]

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_MARKS: dict[Kind, str] = {"key": "maas_key_", "session": "maas_ses_", "invitation": "maas_inv_"}
_KINDS = {mark: kind for kind, mark in _MARKS.items()}
_FORM = re.compile(r"(maas_key_|maas_ses_|maas_inv_)[0-9A-Za-z]{46}")
_RANDOM_CHARACTERS = 40
_CHECKSUM_CHARACTERS = 6
_SHOWN_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Credential:
    """A key, a session token or an invitation in clear; only what it derives is ever stored."""

    kind: Kind
    secret: str = field(repr=False)

    @property
    def prefix(self) -> str:
        """The public part by which it is looked up and shown."""
        return self.secret[: len(_MARKS[self.kind]) + _SHOWN_CHARACTERS]

    @property
    def last4(self) -> str:
        """Its last four characters, for people to tell keys apart."""
        return self.secret[-4:]

    @property
    def hash(self) -> str:
        """Its SHA-256 in hexadecimal: a random secret of this size needs no slow hash."""
        return hashlib.sha256(self.secret.encode("ascii")).hexdigest()

    def matches(self, stored_hash: str) -> bool:
        """Compare with a stored hash in constant time."""
        return hmac.compare_digest(self.hash, stored_hash)


def issue(kind: Kind) -> Credential:
    """Make a new credential from the system's random source."""
    body = _MARKS[kind] + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
    return Credential(kind, body + _checksum(body))


def parse(secret: str) -> Credential | None:
    """Return the credential that a text can be, or None for one that no server ever issued."""
    form = _FORM.fullmatch(secret)
    if form is None:
        return None
    body, checksum = secret[:-_CHECKSUM_CHARACTERS], secret[-_CHECKSUM_CHARACTERS:]
    return Credential(_KINDS[form[1]], secret) if checksum == _checksum(body) else None


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode("ascii"))
    characters = []
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join(reversed(characters))
