"""Calls about what happened to a model."""

from __future__ import annotations

from maas_client._operations import _names
from maas_client._operations._contract import build, reader
from maas_client._operations._operation import Operation, fill
from maas_client.types import HistoryQuery, ModelEvent, Page

_HISTORY = "/v1/models/{model}/history"


def history_page(
    model: str,
    *,
    kind: str | None = None,
    after: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page[ModelEvent]]:
    """Ask for a page of what happened to a model, newest first."""
    query = build(HistoryQuery, kind=kind, after=after, limit=limit, cursor=cursor)
    path = fill(_HISTORY, query, model=_names.model(model))
    return Operation(method="GET", template=_HISTORY, path=path, read=reader(Page[ModelEvent]))
