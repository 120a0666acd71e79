"""Calls about with whom a model is shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader
from maas_client._operations._operation import Operation, fill, nothing
from maas_client.types import Page, PageQuery, Share, ShareUpdate

if TYPE_CHECKING:
    from maas_client.types import ShareRole

_SHARES = "/v1/models/{model}/shares"
_SHARE = "/v1/models/{model}/shares/{account}"


def list_page(model: str, *, limit: int | None = None, cursor: str | None = None) -> Operation[Page[Share]]:
    """Ask for a page of the accounts that a model is shared with."""
    path = fill(_SHARES, build(PageQuery, limit=limit, cursor=cursor), model=_names.model(model))
    return Operation(method="GET", template=_SHARES, path=path, read=reader(Page[Share]))


def put(model: str, account: str, *, role: ShareRole) -> Operation[Share]:
    """Share a model with an account, or change its role."""
    return Operation(
        method="PUT",
        template=_SHARE,
        path=fill(_SHARE, model=_names.model(model), account=_names.account(account)),
        body=encode(build(ShareUpdate, role=role)),
        read=reader(Share),
    )


def remove(model: str, account: str) -> Operation[None]:
    """Withdraw a share."""
    path = fill(_SHARE, model=_names.model(model), account=_names.account(account))
    return Operation(method="DELETE", template=_SHARE, path=path, read=nothing)
