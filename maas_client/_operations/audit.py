"""Calls about what one's own account did, and what was done to it."""

from __future__ import annotations

from maas_client._operations._contract import reader
from maas_client._operations._operation import Operation, fill
from maas_client.types import AuditEntry, AuditQuery, Page

_AUDIT = "/v1/audit"


def list_page(query: AuditQuery) -> Operation[Page[AuditEntry]]:
    """Ask for a page of the audit log."""
    return Operation(method="GET", template=_AUDIT, path=fill(_AUDIT, query), read=reader(Page[AuditEntry]))
