"""Calls about API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader
from maas_client._operations._operation import Operation, fill, nothing
from maas_client.types import Key, KeyCreate, KeyCreated, KeyRotate, Page, PageQuery

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from maas_client.types import Scope

_KEYS = "/v1/keys"
_KEY = "/v1/keys/{key}"
_ROTATE = "/v1/keys/{key}/rotate"


def create(
    *,
    name: str,
    scopes: Iterable[Scope] | None = None,
    expires_at: datetime | None = None,
    models: Iterable[str] | None = None,
    networks: Iterable[str] | None = None,
    requests_per_minute: int | None = None,
    rows_per_day: int | None = None,
) -> Operation[KeyCreated]:
    """Make a key."""
    request = build(
        KeyCreate,
        name=name,
        scopes=scopes,
        expires_at=expires_at,
        models=None if models is None else list(models),
        networks=None if networks is None else list(networks),
        requests_per_minute=requests_per_minute,
        rows_per_day=rows_per_day,
    )
    return Operation(
        method="POST",
        template=_KEYS,
        path=_KEYS,
        body=encode(request),
        read=reader(KeyCreated),
        keyed=True,
    )


def list_page(*, limit: int | None = None, cursor: str | None = None) -> Operation[Page[Key]]:
    """Ask for a page of one's keys."""
    query = build(PageQuery, limit=limit, cursor=cursor)
    return Operation(method="GET", template=_KEYS, path=fill(_KEYS, query), read=reader(Page[Key]))


def get(key: str) -> Operation[Key]:
    """Ask for one key."""
    path = fill(_KEY, key=_names.identifier(key))
    return Operation(method="GET", template=_KEY, path=path, read=reader(Key))


def rotate(key: str, *, overlap_seconds: int) -> Operation[KeyCreated]:
    """Replace a key's secret."""
    return Operation(
        method="POST",
        template=_ROTATE,
        path=fill(_ROTATE, key=_names.identifier(key)),
        body=encode(build(KeyRotate, overlap_seconds=overlap_seconds)),
        read=reader(KeyCreated),
        keyed=True,
    )


def revoke(key: str) -> Operation[None]:
    """End a key."""
    path = fill(_KEY, key=_names.identifier(key))
    return Operation(method="DELETE", template=_KEY, path=path, read=nothing)
