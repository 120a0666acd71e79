"""What one's own account asked for."""

from __future__ import annotations

from maas_client.types import Page, UsageEntry, UsageQuery
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call
from reference_server.registry import usage

routes = Routes("usage")


@routes.route("GET", "/v1/usage", access="audit")
def list_usage(call: Call, query: UsageQuery) -> Page[UsageEntry]:
    """List what the caller's account asked for by day in UTC, model and version, the newest day first.

    A call is counted within a second or two; only this account sees it.
    """
    return usage.list_usage(call.services.database, call.by, query)
