"""`/metrics`: what all workers counted, for Prometheus; for operators alone."""

from __future__ import annotations

from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call

routes = Routes("metrics")


@routes.route("GET", "/metrics", access="operator", produces="text/plain")
def metrics(call: Call) -> Answer:
    """Return what was asked, how long each stage took and what is in memory, as Prometheus reads it."""
    body, media_type = call.services.metrics.exposition(call.request.headers.get("accept", ""))
    return Answer(200, {"content-type": media_type, "cache-control": "no-store"}, body)
