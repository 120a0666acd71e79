"""What the service tells of itself."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from maas_client.types.base import Reply

Registration: TypeAlias = Literal["open", "invitation", "closed"]


class UsagePolicy(Reply):
    """The terms that an account accepts at registration, by version."""

    version: str
    text: str


class ServiceInfo(Reply):
    """What `GET /` tells anyone."""

    name: str
    version: str
    usage_policy: UsagePolicy
    registration: str = Field(
        "open", description="Who may register: `open` for anybody, `invitation` or `closed`."
    )
    documentation: str = "/docs"
    openapi: str = "/openapi.json"
    receipt_key: str | None = Field(
        None, description="Public key, Ed25519 in base64, of the receipts for what was erased."
    )


class Health(Reply):
    """Whether the server takes new work: `ok` (200), `draining` or `stuck` (503)."""

    status: str
    instance: str
