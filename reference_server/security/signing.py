"""Signing statements: Ed25519 (RFC 8032) over DSSE's pre-authentication encoding, in its JSON envelope.

DSSE is the Dead Simple Signing Envelope, version 1.0.2, of the Secure Systems Lab; `maas verify-receipt`
checks its envelopes, and so does any other tool that knows them.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from maas_client._receipts import pre_authentication_encoding
from maas_client.types import Receipt, ReceiptSignature

if TYPE_CHECKING:
    from reference_server.security.encryption import DataKey


class Signer:
    """Signs with one key.

    Args:
        secret: 32 bytes, the seed of the private key.
    """

    def __init__(self, secret: DataKey) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret.secret)
        raw = self._key.public_key().public_bytes_raw()
        self.public_key = base64.b64encode(raw).decode()
        self.key_id = f"rk_{hashlib.sha256(raw).hexdigest()[:16]}"

    def sign(self, payload: bytes, *, payload_type: str) -> Receipt:
        """Return a payload in a signed envelope."""
        signature = self._key.sign(pre_authentication_encoding(payload_type, payload))
        return Receipt(
            payloadType=payload_type,
            payload=base64.b64encode(payload).decode(),
            signatures=[ReceiptSignature(keyid=self.key_id, sig=base64.b64encode(signature).decode())],
        )
