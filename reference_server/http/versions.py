"""Versions: immutable packages under a model's name."""

from __future__ import annotations

from typing import IO

from maas_client.types import Page, PageQuery, PublishQuery, Version
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call, Replied
from reference_server.registry import publishing, versions
from reference_server.runtime.probe import probe

routes = Routes("versions")


@routes.route("GET", "/v1/models/<model>/versions", access="models:read")
def list_versions(call: Call, model: str, query: PageQuery) -> Page[Version]:
    """List a model's versions, newest first."""
    return versions.list_versions(call.services.database, call.by, model, query)


@routes.route("GET", "/v1/models/<model>/versions/<version>", access="models:read")
def get(call: Call, model: str, version: str) -> Version:
    """Return a version by its number, an alias, or `latest`."""
    return versions.get(call.services.database, call.by, model, version)


@routes.route(
    "POST",
    "/v1/models/<model>/versions",
    access="models:write",
    status=201,
    others={200: "The model had a version of the same content."},
)
def publish(call: Call, model: str, query: PublishQuery, body: IO[bytes]) -> Replied[Version]:
    """Publish a package, a zip, as the next version; 200 and the version there is if its content is the same.

    A model of this name is made if the caller has none.
    """
    services = call.services
    version, new = publishing.publish(
        services.database,
        services.artifacts,
        call.by,
        model,
        body,
        query=query,
        inspect=probe,
        max_bytes=services.settings.max_package_bytes,
    )
    services.forget_targets()
    return Replied(version, status=201 if new else 200)
