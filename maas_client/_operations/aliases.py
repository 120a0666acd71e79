"""Calls about a model's aliases."""

from __future__ import annotations

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader
from maas_client._operations._operation import Operation, fill
from maas_client.types import Alias, AliasChange, AliasMove, AliasRollback, Page, PageQuery

_ALIASES = "/v1/models/{model}/aliases"
_ALIAS = "/v1/models/{model}/aliases/{alias}"
_ROLLBACK = "/v1/models/{model}/aliases/{alias}/rollback"
_HISTORY = "/v1/models/{model}/aliases/{alias}/history"


def list_page(model: str, *, limit: int | None = None, cursor: str | None = None) -> Operation[Page[Alias]]:
    """Ask for a page of a model's aliases."""
    path = fill(_ALIASES, build(PageQuery, limit=limit, cursor=cursor), model=_names.model(model))
    return Operation(method="GET", template=_ALIASES, path=path, read=reader(Page[Alias]))


def get(model: str, alias: str) -> Operation[Alias]:
    """Ask where an alias points."""
    path = fill(_ALIAS, model=_names.model(model), alias=_names.alias(alias))
    return Operation(method="GET", template=_ALIAS, path=path, read=reader(Alias))


def move(
    model: str,
    alias: str,
    *,
    version: int,
    note: str,
    expected_revision: int | None,
    force: bool = False,
) -> Operation[Alias]:
    """Point an alias to a version. With an expected revision it is not repeatable."""
    return Operation(
        method="PUT",
        template=_ALIAS,
        path=fill(_ALIAS, model=_names.model(model), alias=_names.alias(alias)),
        body=encode(build(AliasMove, version=version, note=note, force=force or None)),
        headers=_if_match(expected_revision),
        read=reader(Alias),
        repeatable=expected_revision is None,
    )


def rollback(
    model: str, alias: str, *, note: str, expected_revision: int | None, force: bool = False
) -> Operation[Alias]:
    """Point an alias back to where it pointed before."""
    return Operation(
        method="POST",
        template=_ROLLBACK,
        path=fill(_ROLLBACK, model=_names.model(model), alias=_names.alias(alias)),
        body=encode(build(AliasRollback, note=note, force=force or None)),
        headers=_if_match(expected_revision),
        read=reader(Alias),
        keyed=True,
    )


def history_page(
    model: str, alias: str, *, limit: int | None = None, cursor: str | None = None
) -> Operation[Page[AliasChange]]:
    """Ask for a page of an alias's moves, newest first."""
    query = build(PageQuery, limit=limit, cursor=cursor)
    path = fill(_HISTORY, query, model=_names.model(model), alias=_names.alias(alias))
    return Operation(method="GET", template=_HISTORY, path=path, read=reader(Page[AliasChange]))


def _if_match(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"If-Match": f'"{revision}"'}
