"""The audit log: one's own entries, and all of them for operators."""

from __future__ import annotations

from maas_client.types import AdminAuditQuery, AuditEntry, AuditHead, AuditQuery, Page
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call
from reference_server.registry import audit

routes = Routes("audit")


@routes.route("GET", "/v1/audit", access="audit")
def list_own(call: Call, query: AuditQuery) -> Page[AuditEntry]:
    """List what the account did and what was done to it, newest first: changes, log-ins, denials, downloads.

    Denials and downloads are counted by the minute and come within a second or two. Predictions are usage,
    under `GET /v1/usage`.
    """
    return audit.list_own(call.services.database, call.by.account_id, query)


@routes.route("GET", "/v1/admin/audit", access="operator", audit="audit_read")
def list_all(call: Call, query: AdminAuditQuery) -> Page[AuditEntry]:
    """List everybody's entries, newest first; it needs the scope `audit` too: addresses are in them."""
    call.by.require("audit")
    return audit.list_all(call.services.database, query, account_id=query.account)


@routes.route("GET", "/v1/admin/audit/head", access="operator")
def head(call: Call) -> AuditHead:
    """Return the number and the hash of the last entry, to be written down where this server cannot reach.

    `maas-server audit verify --head SEQ:HASH` then tells whether the log was cut off or written anew.
    """
    call.by.require("audit")
    return audit.head(call.services.database)
