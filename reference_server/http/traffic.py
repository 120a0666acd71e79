"""Traffic: which versions share the calls that name none, which get copies, and how they compare."""

from __future__ import annotations

from contextlib import suppress

from maas_client.types import (
    Comparison,
    ComparisonQuery,
    Served,
    ServedQuery,
    Traffic,
    TrafficUpdate,
    TrafficWithdrawal,
)
from reference_server.errors import Conflict
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call, Replied
from reference_server.http.preconditions import etag, expected_revision
from reference_server.http.warming import warm_together
from reference_server.registry import comparisons, served, traffic, versions

routes = Routes("traffic")


@routes.route("GET", "/v1/models/<model>/traffic", access="models:read")
def get(call: Call, model: str) -> Replied[Traffic]:
    """Return who serves calls that name no version; its ETag is the revision that `If-Match` compares."""
    return _tagged(traffic.get(call.services.database, call.by, model))


@routes.route(
    "PUT", "/v1/models/<model>/traffic", access="models:write", one_transaction=True, audit="traffic_changed"
)
def change(call: Call, model: str, body: TrafficUpdate) -> Replied[Traffic]:
    """Let versions share the calls that name none, give others copies, or promote one; all are loaded first.

    A caller stays with one version as long as the weights allow it, by `X-Sticky-Id` or else by credential.
    With `If-Match` only if nobody changed it since.
    """
    services = call.services
    expected = expected_revision(call, "traffic")
    traffic.check(services.database, call.by, model, body, expected_revision=expected)
    numbers = {split.version for split in body.splits} | set(body.shadows)
    warm_together(services, call.by, model, [str(number) for number in sorted(numbers)])
    changed = traffic.change(services.database, call.by, model, body, expected_revision=expected)
    services.forget_targets()
    return _tagged(changed)


@routes.route(
    "DELETE",
    "/v1/models/<model>/traffic",
    access="models:write",
    one_transaction=True,
    audit="traffic_withdrawn",
)
def withdraw(call: Call, model: str, query: TrafficWithdrawal) -> Replied[Traffic]:
    """End the split and the shadows: the alias `default` serves alone again."""
    services, expected = call.services, expected_revision(call, "traffic")
    with suppress(Conflict):  # a model without versions has no traffic to end
        warm_together(services, call.by, model, [versions.DEFAULT])
    left = traffic.withdraw(services.database, call.by, model, note=query.note, expected_revision=expected)
    services.forget_targets()
    return _tagged(left)


@routes.route("GET", "/v1/models/<model>/served", access="models:read")
def served_at(call: Call, model: str, query: ServedQuery) -> Served:
    """Tell which versions served calls that named none at a time, and who had made it so, when and why."""
    return served.at(call.services.database, call.by, model, query.at)


@routes.route("GET", "/v1/models/<model>/comparison", access="models:read")
def compare(call: Call, model: str, query: ComparisonQuery) -> Comparison:
    """Compare two versions by live traffic, with 95 % intervals; for the model's owner and publishers.

    What other workers saw in the last second is not in it yet.
    """
    services = call.services
    # Who may not read them must not make the store write either.
    comparisons.check(services.database, call.by, model)
    comparisons.flush(services.database, services.traffic.sums)
    return comparisons.read(services.database, call.by, model, query)


def _tagged(found: Traffic) -> Replied[Traffic]:
    return Replied(found, headers=etag(found.revision))
