"""Sealing bytes with AES-256-GCM (NIST SP 800-38D), bound to what they belong to.

A sealed text is a nonce of 96 random bits, the ciphertext and a tag of 128 bits. What it is bound to travels
not with it: it is said again on opening, so that a text that was put in the place of another does not open.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class SealBrokenError(Exception):
    """Something sealed does not open: another key, another place, or other bytes than were sealed."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that seals what belongs together, and is destroyed with it.

    Args:
        secret: 32 random bytes.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no key of AES-256."""
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, this one {len(self.secret)}")

    @classmethod
    def random(cls) -> DataKey:
        """Make a new key."""
        return cls(os.urandom(KEY_BYTES))

    def seal(self, plain: bytes, *, bound_to: str) -> bytes:
        """Encrypt bytes; one key seals at most 2³² texts (SP 800-38D, section 8.3).

        Args:
            plain: What is to be read by nobody else.
            bound_to: Whose it is and what; opening must say the same.
        """
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self.secret).encrypt(nonce, plain, bound_to.encode())

    def open(self, sealed: bytes, *, bound_to: str) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            SealBrokenError: Unless the key, the place and every byte are those of the sealing.
        """
        nonce, box = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return AESGCM(self.secret).decrypt(nonce, box, bound_to.encode())
        except (InvalidTag, ValueError):
            raise SealBrokenError(f"what is sealed as {bound_to!r} does not open with this key") from None

    def derive(self, purpose: str) -> DataKey:
        """Return the key for one purpose, by HKDF-Expand with SHA-256 (RFC 5869): one key has one use."""
        return DataKey(HKDFExpand(SHA256(), KEY_BYTES, f"maas {purpose}".encode()).derive(self.secret))
