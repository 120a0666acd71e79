"""Calls about what one's own account asked for."""

from __future__ import annotations

from maas_client._operations._contract import reader
from maas_client._operations._operation import Operation, fill
from maas_client.types import Page, UsageEntry, UsageQuery

_USAGE = "/v1/usage"


def list_page(query: UsageQuery) -> Operation[Page[UsageEntry]]:
    """Ask for a page of usage."""
    return Operation(method="GET", template=_USAGE, path=fill(_USAGE, query), read=reader(Page[UsageEntry]))
