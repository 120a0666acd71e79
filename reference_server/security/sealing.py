"""Sealing of replies that hold a secret, so that only who sent the idempotency key can have them again.

AES-256-GCM under a key that HKDF-SHA256 (RFC 5869) derives from the Idempotency-Key itself; the server keeps
only a hash of that key, and so cannot open what it stored.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


def seal(plain: bytes, *, secret: str, bound_to: bytes) -> bytes:
    """Encrypt under a secret, bound to a context that must be the same on opening."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_derive(secret)).encrypt(nonce, plain, bound_to)


def unseal(sealed: bytes, *, secret: str, bound_to: bytes) -> bytes:
    """Decrypt what `seal` made.

    Raises:
        ValueError: If the secret, the context or the bytes are not the ones of the sealing.
    """
    nonce, box = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(_derive(secret)).decrypt(nonce, box, bound_to)
    except InvalidTag:
        raise ValueError("the sealed reply does not open with this key") from None


def _derive(secret: str) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=b"maas idempotent reply").derive(secret.encode())
