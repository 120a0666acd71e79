"""What happened to a model."""

from __future__ import annotations

from maas_client.types import HistoryQuery, ModelEvent, Page
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call
from reference_server.registry import events

routes = Routes("events")


@routes.route("GET", "/v1/models/<model>/history", access="models:read")
def history(call: Call, model: str, query: HistoryQuery) -> Page[ModelEvent]:
    """List what happened to a model, when and by whom, newest first."""
    return events.history(call.services.database, call.by, model, query)
