"""Calls about one's own account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._operations._contract import build, encode, reader, secrets_of
from maas_client._operations._operation import Operation, fill
from maas_client.types import Account, AccountCreate, AccountExport, PasswordChange

if TYPE_CHECKING:
    from maas_client._masking import Masked

_ACCOUNTS = "/v1/accounts"
_ACCOUNT = "/v1/account"
_EXPORT = "/v1/account/export"


def create(
    *,
    email: str,
    password: Masked,
    accept_policy: str,
    name: str | None = None,
    invitation: Masked | None = None,
) -> Operation[Account]:
    """Register."""
    request = build(
        AccountCreate,
        email=email,
        password=password,
        accept_policy=accept_policy,
        name=name,
        invitation=invitation,
    )
    return Operation(
        method="POST",
        template=_ACCOUNTS,
        path=fill(_ACCOUNTS),
        body=encode(request),
        read=reader(Account),
        keyed=True,
        credential="none",
        secrets=secrets_of(request),
    )


def get() -> Operation[Account]:
    """Ask for one's own account."""
    return Operation(method="GET", template=_ACCOUNT, path=_ACCOUNT, read=reader(Account))


def change_password(*, current_password: Masked, new_password: Masked) -> Operation[Account]:
    """Change one's password. Not repeatable: after the first time the old one no longer holds."""
    request = build(PasswordChange, current_password=current_password, new_password=new_password)
    return Operation(
        method="PATCH",
        template=_ACCOUNT,
        path=_ACCOUNT,
        body=encode(request),
        read=reader(Account),
        repeatable=False,
        secrets=secrets_of(request),
    )


def export() -> Operation[AccountExport]:
    """Ask for everything that the service holds about the account."""
    return Operation(method="GET", template=_EXPORT, path=_EXPORT, read=reader(AccountExport))
