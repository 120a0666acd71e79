"""Aliases: names that point to a version, move, and remember."""

from __future__ import annotations

from maas_client.types import Alias, AliasChange, AliasMove, AliasRollback, Page, PageQuery
from reference_server.errors import NotFound, PreconditionFailed
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call, Replied
from reference_server.http.preconditions import etag, expected_revision, must_exist
from reference_server.http.warming import warm
from reference_server.registry import aliases

routes = Routes("aliases")


@routes.route("GET", "/v1/models/<model>/aliases", access="models:read")
def list_aliases(call: Call, model: str, query: PageQuery) -> Page[Alias]:
    """List a model's aliases, `latest` among them."""
    return aliases.list_aliases(call.services.database, call.by, model, query)


@routes.route("GET", "/v1/models/<model>/aliases/<alias>", access="models:read")
def get(call: Call, model: str, alias: str) -> Replied[Alias]:
    """Return an alias; its ETag is the revision that `If-Match` compares."""
    return _tagged(aliases.get(call.services.database, call.by, model, alias))


@routes.route(
    "PUT",
    "/v1/models/<model>/aliases/<alias>",
    access="models:write",
    one_transaction=True,
    audit="alias_moved",
)
def move(call: Call, model: str, alias: str, body: AliasMove) -> Replied[Alias]:
    """Point an alias to a version; with `If-Match` only if nobody moved it since."""
    services, expected = call.services, expected_revision(call, "alias")
    if must_exist(call):
        _check_there(call, model, alias)
    aliases.check_move(
        services.database,
        call.by,
        model,
        alias,
        version=body.version,
        note=body.note,
        expected_revision=expected,
        force=body.force,
    )
    warm(services, call.by, model, alias=alias, to=body.version)
    moved = aliases.move(
        services.database,
        call.by,
        model,
        alias,
        version=body.version,
        note=body.note,
        expected_revision=expected,
        force=body.force,
    )
    services.forget_targets()
    return _tagged(moved)


@routes.route(
    "POST",
    "/v1/models/<model>/aliases/<alias>/rollback",
    access="models:write",
    one_transaction=True,
    audit="alias_rolled_back",
)
def roll_back(call: Call, model: str, alias: str, body: AliasRollback) -> Replied[Alias]:
    """Point an alias to where it pointed before its last move."""
    services, expected = call.services, expected_revision(call, "alias")
    earlier = aliases.earlier_version(
        services.database, call.by, model, alias, expected_revision=expected, force=body.force
    )
    warm(services, call.by, model, alias=alias, to=earlier)
    moved = aliases.rollback(
        services.database,
        call.by,
        model,
        alias,
        note=body.note,
        expected_revision=expected,
        force=body.force,
    )
    services.forget_targets()
    return _tagged(moved)


@routes.route("GET", "/v1/models/<model>/aliases/<alias>/history", access="models:read")
def history(call: Call, model: str, alias: str, query: PageQuery) -> Page[AliasChange]:
    """List where an alias pointed, since when, by whom and why; newest first."""
    return aliases.history(call.services.database, call.by, model, alias, query)


def _check_there(call: Call, model: str, alias: str) -> None:
    # An alias that is there stays, so nothing comes between this look and the move.
    try:
        aliases.get(call.services.database, call.by, model, alias)
    except NotFound as error:
        if error.code != "alias_not_found":
            raise
        raise PreconditionFailed(
            f"there is no alias {alias!r} yet; leave If-Match out to make it", code="revision_mismatch"
        ) from error


def _tagged(alias: Alias) -> Replied[Alias]:
    return Replied(alias, headers=etag(alias.revision))
