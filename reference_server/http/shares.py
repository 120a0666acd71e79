"""With whom a model is shared."""

from __future__ import annotations

from maas_client.types import Page, PageQuery, Share, ShareUpdate
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call
from reference_server.registry import shares

routes = Routes("shares")


@routes.route("GET", "/v1/models/<model>/shares", access="models:read")
def list_shares(call: Call, model: str, query: PageQuery) -> Page[Share]:
    """List the accounts that a model is shared with, and as what; for its owners."""
    return shares.list_shares(call.services.database, call.by, model, query)


@routes.route("PUT", "/v1/models/<model>/shares/<account>", access="models:write")
def put(call: Call, model: str, account: str, body: ShareUpdate) -> Share:
    """Share a model with an account, or change its role; for the model's owners."""
    made = shares.put(call.services.database, call.by, model, account, role=body.role)
    call.services.forget_targets()
    return made


@routes.route("DELETE", "/v1/models/<model>/shares/<account>", access="models:write")
def delete(call: Call, model: str, account: str) -> None:
    """Withdraw a share, which holds on every worker within a second; one may give up one's own."""
    shares.remove(call.services.database, call.by, model, account)
    call.services.forget_targets()
