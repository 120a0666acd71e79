"""Versions: immutable packages under a model's name."""

from __future__ import annotations

import base64
from typing import IO, TYPE_CHECKING

from maas_client._snippets import snippets
from maas_client.types import Erasure, Page, PageQuery, PublishQuery, Version, VersionUpdate
from reference_server.errors import InvalidRequest
from reference_server.http import bodies
from reference_server.http.addresses import base_url
from reference_server.http.endpoints import Routes
from reference_server.http.erasures import PENDING, told
from reference_server.http.exchange import Answer, Call, Replied
from reference_server.http.ranges import requested
from reference_server.http.warming import in_use, warm
from reference_server.registry import (
    aliases,
    deletion,
    facts,
    packages,
    publishing,
    states,
    uploads,
    versions,
)
from reference_server.runtime.probe import Inspection, probe

if TYPE_CHECKING:
    from maas_client._package import Package

routes = Routes("versions")


@routes.route("GET", "/v1/models/<model>/versions", access="models:read")
def list_versions(call: Call, model: str, query: PageQuery) -> Page[Version]:
    """List a model's versions, newest first."""
    return versions.list_versions(call.services.database, call.by, model, query)


@routes.route("GET", "/v1/models/<model>/versions/<version>", access="models:read")
def get(call: Call, model: str, version: str) -> Version:
    """Return a version by its number, an alias, or `latest`, with an example call of it."""
    found = versions.get(call.services.database, call.by, model, version)
    manifest = found.manifest
    can_be = facts.is_explainable(found.task, manifest.model_dump(mode="json"))
    example = snippets(
        found.model,
        manifest.example,
        base_url(call),
        version=found.version,
        explained=found.task if can_be else None,
    )
    return found.model_copy(update={"snippets": example})


@routes.route(
    "PATCH",
    "/v1/models/<model>/versions/<version>",
    access="models:write",
    one_transaction=True,
    audit="version_changed",
)
def update(call: Call, model: str, version: str, body: VersionUpdate) -> Version:
    """Deprecate a version with a notice to its callers, retire it, restore it, or say what it measured.

    Callers of a deprecated version are told by the headers `Deprecation`, `Sunset` and `Link`; a retired one
    answers 410.
    """
    updated = states.update(call.services.database, call.by, model, version, body)
    if updated.state == versions.RETIRED:
        call.services.forget_contents([updated.digest])
    call.services.forget_targets()
    return updated


@routes.route(
    "DELETE",
    "/v1/models/<model>/versions/<version>",
    access="models:write",
    others=PENDING,
    audit="version_deleted",
)
def delete(call: Call, model: str, version: str) -> Replied[Erasure]:
    """Erase a version that no alias and no traffic sends calls to; its number is never used again."""
    services = call.services
    deleted = deletion.delete_version(services.database, services.artifacts, call.by, model, version)
    services.forget_contents(content.digest for content in deleted.contents)
    return told(deleted.erasure)


@routes.route(
    "GET",
    "/v1/models/<model>/versions/<version>/package",
    access="models:read",
    others={206: "The range that was asked for."},
    produces="application/zip",
    audit="package_downloaded",
)
def download(call: Call, model: str, version: str) -> Answer:
    """Return a version's package as a zip, whole or a range of it; its owner and publishers get it.

    `Repr-Digest` is the sha256 of the whole zip (RFC 9530), and so is the `ETag`.
    """
    services = call.services
    found = packages.find(services.database, services.artifacts, call.by, model, version)
    stored, etag = found.stored, f'"{found.stored.sha256}"'
    part = requested(call.request.headers, etag=etag, size=stored.size)
    start, stop = part or (0, stored.size)
    digest = base64.b64encode(bytes.fromhex(stored.sha256)).decode()
    headers = {
        "content-type": "application/zip",
        "content-length": str(stop - start),
        "content-disposition": f'attachment; filename="{found.name}-{found.version}.zip"',
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "etag": etag,
        "repr-digest": f"sha-256=:{digest}:",
    }
    if part is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{stored.size}"
    return Answer(
        200 if part is None else 206,
        headers,
        chunks=packages.open_chunks(services.database, services.artifacts, found, start, stop),
    )


@routes.route(
    "POST",
    "/v1/models/<model>/versions",
    access="models:write",
    status=201,
    others={200: "The model had a version of the same content."},
    audit="version_published",
)
def publish(call: Call, model: str, query: PublishQuery, body: IO[bytes]) -> Replied[Version]:
    """Publish a package, a zip, as the next version; 200 and the version there is if its content is the same.

    A model of this name is made if the caller has none; to what another account shares one publishes by its
    exact name, `account~name`. The zip is the body, or what an upload in chunks holds: then `upload` names
    that, and the body is empty.
    """
    services = call.services
    if query.upload is None:
        bodies.require_type(call.request.headers, "application/zip")
        return _publish(call, model, query, body)
    if body.read(1):
        raise InvalidRequest("send the package as the body or name an upload, not both", param="upload")
    with uploads.whole(services.database, services.artifacts, call.by.account_id, query.upload) as package:
        return _publish(call, model, query, package)


def _publish(call: Call, model: str, query: PublishQuery, package: IO[bytes]) -> Replied[Version]:
    """Publish; a version that is to take the traffic of one in use is loaded before it does."""
    services = call.services

    def inspect(package: Package) -> Inspection:
        with services.trials.turn(call.by.account_id):
            return probe(package)

    takes_over = query.set_default and in_use(services, call.by, model, versions.DEFAULT) is not None
    version, new = publishing.publish(
        services.database,
        services.artifacts,
        call.by,
        model,
        package,
        query=query,
        inspect=inspect,
        max_bytes=services.settings.max_package_bytes,
        moves_default=not takes_over,
    )
    if takes_over:
        version = _make_default(call, model, version, query)
    services.forget_targets()
    return Replied(version, status=201 if new else 200)


def _make_default(call: Call, model: str, version: Version, query: PublishQuery) -> Version:
    database, number = call.services.database, version.version
    if versions.DEFAULT in version.aliases:
        return version
    warm(call.services, call.by, model, alias=versions.DEFAULT, to=number)
    aliases.move(
        database,
        call.by,
        model,
        versions.DEFAULT,
        version=number,
        note=query.notes,
        expected_revision=None,
        force=query.force,
    )
    return versions.get(database, call.by, model, str(number))
