"""Accounts, sessions, keys and invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import Field, SecretStr

from maas_client.types.base import Reply, Request
from maas_client.types.fields import AccountName, Email, ModelPattern, Network, Password, Secret

Scope: TypeAlias = Literal["models:read", "models:write", "predict", "keys", "jobs", "audit"]
SCOPES: tuple[Scope, ...] = ("models:read", "models:write", "predict", "keys", "jobs", "audit")


class AccountCreate(Request):
    """Registration. `accept_policy` is the version of the usage policy that `GET /` shows."""

    email: Email
    password: Password
    accept_policy: str = Field(max_length=64)
    name: AccountName | None = Field(
        None, description="The public handle in `account~model`; one is made up when none is given."
    )
    invitation: SecretStr | None = Field(
        None, max_length=100, description="What the operator sent, where registration is by invitation."
    )


class Account(Reply):
    """An account as its owner sees it."""

    id: str
    name: str
    email: str
    role: str
    policy_version: str
    created_at: datetime


class Invitation(Reply):
    """An invitation to register, without its secret; `state` is `open`, `used` or `expired`."""

    id: str
    prefix: str
    email: str | None = None
    state: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    used_by: str | None = None


class PasswordChange(Request):
    """A change of password; it ends every other session of the account."""

    current_password: SecretStr = Field(max_length=1024)
    new_password: Password


class SessionCreate(Request):
    """Log in."""

    email: Email
    password: SecretStr = Field(max_length=1024)


class Session(Reply):
    """A log-in session."""

    id: str
    created_at: datetime
    expires_at: datetime
    current: bool = False


class SessionCreated(Session):
    """A new session with its token, which is shown this once."""

    token: Secret
    account: Account


class KeyCreate(Request):
    """A new API key; it may do no more than whoever makes it, whose limits are its own where it has none."""

    name: str = Field(min_length=1, max_length=100)
    scopes: list[Scope] = Field(
        default=["models:read", "predict"], min_length=1, description="What the key may be used for."
    )
    expires_at: datetime | None = Field(None, description="RFC 3339 with an offset; never when left out.")
    models: list[ModelPattern] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="The models that exist for the key: names or `account~name`, a `*` for any characters.",
    )
    networks: list[Network] | None = Field(
        None, min_length=1, max_length=64, description="Where it may be used from, in CIDR notation."
    )
    requests_per_minute: int | None = Field(None, ge=1, le=100_000_000)
    rows_per_day: int | None = Field(
        None, ge=1, le=10**15, description="Instances predicted from midnight to midnight, in UTC."
    )


class KeyRotate(Request):
    """A new secret for a key; the old one stops after the overlap."""

    overlap_seconds: int = Field(0, ge=0, le=7 * 86_400)


class Key(Reply):
    """An API key without its secret; a limit of None is none."""

    id: str
    name: str
    prefix: str
    last4: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    models: list[str] | None = None
    networks: list[str] | None = None
    requests_per_minute: int | None = None
    rows_per_day: int | None = None
    last_used_at: datetime | None = None
    last_used_from: str | None = Field(None, description="The address that it was last used from.")


class KeyCreated(Key):
    """A key with its secret, which is shown this once."""

    secret: Secret
