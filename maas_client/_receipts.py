"""Receipts: statements in DSSE envelopes (Dead Simple Signing Envelope 1.0.2), by Ed25519 (RFC 8032)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from pydantic import ValidationError

from maas_client.errors import ArgumentError, ReceiptError
from maas_client.types import ErasureStatement, Receipt

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ERASURE = "application/vnd.maas.erasure+json"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed (DSSE 1.0.2, "PAE")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def verify_receipt(receipt: Receipt, *, key: str | None = None, name: str | None = None) -> ErasureStatement:
    """Check the signature of a receipt, and return what it says.

    Args:
        receipt: The receipt.
        key: The server's public key in base64, as `GET /` tells it (`receipt_key`). Without it the one that
            the receipt itself names is taken: then the receipt is whole, but whose it is remains to be seen.
        name: What was erased, by the name that its owner knew: `model`, `model version 3`, or the e-mail.

    Raises:
        ReceiptError: When the signature does not hold, or it is not about that.
        ArgumentError: When the key is none, or the package `cryptography` is not installed.
    """
    try:
        payload = base64.b64decode(receipt.payload, validate=True)
        statement = ErasureStatement.model_validate_json(payload)
        signatures = [base64.b64decode(each.sig, validate=True) for each in receipt.signatures]
    except (binascii.Error, ValidationError) as error:
        raise ReceiptError(f"this is no receipt of an erasure: {error}") from error
    public = _public_key(key or statement.public_key)
    signed = pre_authentication_encoding(receipt.payloadType, payload)
    if receipt.payloadType != ERASURE or not any(_holds(public, each, signed) for each in signatures):
        raise ReceiptError("the receipt does not hold: it was changed, or another server's key has signed it")
    if name is not None and statement.name_sha256 != name_sha256(statement.erasure, name):
        raise ReceiptError(f"the receipt is not about {name!r}; its owner knew it by another name")
    return statement


def name_sha256(erasure: str, name: str) -> str:
    """Return by what a receipt tells which thing it is about to those who know its name."""
    return hashlib.sha256(f"{erasure}\n{name}".encode()).hexdigest()


def _public_key(key: str) -> Ed25519PublicKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise ArgumentError(
            "checking receipts needs the package cryptography: pip install 'maas-client[receipts]'"
        ) from None
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ArgumentError(
            f"the key is not 32 bytes in base64, as receipt_key of GET / is: {error}"
        ) from error


def _holds(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True
