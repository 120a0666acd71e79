"""Erasures and their receipts."""

from __future__ import annotations

from datetime import datetime

from maas_client.types.base import Reply, Request
from maas_client.types.fields import Password


class ReceiptSignature(Reply):
    """A signature of a receipt: which key made it, and the signature in base64."""

    keyid: str
    sig: str


class Receipt(Reply):
    """A signed statement in a DSSE envelope (Dead Simple Signing Envelope 1.0.2).

    `payload` is an `ErasureStatement` as JSON, in base64; `maas verify-receipt` checks and shows it.
    """

    payloadType: str  # noqa: N815 - DSSE's own name
    payload: str
    signatures: list[ReceiptSignature]


class ErasureStatement(Reply):
    """What a receipt says was erased, how, and what it does not cover.

    `object` is an opaque id; `name_sha256` is the SHA-256, in hexadecimal, of the erasure's id, a line feed
    and the name that the caller knew it by, so that it shows to its holder alone which thing it was.
    """

    erasure: str
    what: str
    object: str
    name_sha256: str
    counts: dict[str, int]
    requested_at: datetime
    erased_at: datetime
    how: list[str]
    not_covered: list[str]
    public_key: str


class Erasure(Reply):
    """An erasure: `pending` while a reader still holds the database's log, then `done`, with its receipt.

    The keys are destroyed and the rows gone in both states. Who knows its id may ask for it.
    """

    id: str
    what: str
    state: str
    counts: dict[str, int]
    requested_at: datetime
    finished_at: datetime | None = None
    receipt: Receipt | None = None


class AccountErase(Request):
    """The wish to erase one's account: the password again."""

    password: Password


class ErasurePlan(Reply):
    """What erasing the account would take along, and whom else it concerns.

    `public_models` and `shared_models` are those among `models` that others use too; they go all the same.
    `left_to_others` counts what the account did to models of others, which stays without its name.
    """

    models: list[str]
    public_models: list[str]
    shared_models: list[str] = []
    counts: dict[str, int]
    left_to_others: int
    not_covered: list[str]
