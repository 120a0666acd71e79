"""Calls about a model's versions."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import IO, TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader
from maas_client._operations._operation import Operation, fill, nothing
from maas_client._operations.erasures import told
from maas_client.errors import ArgumentError
from maas_client.types import Page, PageQuery, PublishQuery, Version, VersionUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from pydantic import JsonValue

    from maas_client._operations._operation import Sink
    from maas_client.types import Erasure, Metric, VersionState

_VERSIONS = "/v1/models/{model}/versions"
_VERSION = "/v1/models/{model}/versions/{version}"

_PACKAGE = "/v1/models/{model}/versions/{version}/package"

# The server probes a package for up to a minute; the rest is for its bytes.
TRANSFER_TIMEOUT = 600.0


def list_page(model: str, *, limit: int | None = None, cursor: str | None = None) -> Operation[Page[Version]]:
    """Ask for a page of a model's versions, newest first."""
    path = fill(_VERSIONS, build(PageQuery, limit=limit, cursor=cursor), model=_names.model(model))
    return Operation(method="GET", template=_VERSIONS, path=path, read=reader(Page[Version]))


def get(model: str, version: int | str) -> Operation[Version]:
    """Ask for one version, by number or alias."""
    path = fill(_VERSION, model=_names.model(model), version=_names.selector(version))
    return Operation(method="GET", template=_VERSION, path=path, read=reader(Version))


def update(
    model: str,
    version: int,
    *,
    state: VersionState | None = None,
    reason: str | None = None,
    replacement: int | str | None = None,
    sunset: datetime | None = None,
    documentation: str | None = None,
    metrics: Iterable[Metric] | None = None,
) -> Operation[Version]:
    """Change the state of a version, what its callers are told, and what was measured of it."""
    change = build(
        VersionUpdate,
        state=state,
        reason=reason,
        replacement=replacement,
        sunset=sunset,
        documentation=documentation,
        metrics=None if metrics is None else [metric.model_dump(exclude_none=True) for metric in metrics],
    )
    return Operation(
        method="PATCH",
        template=_VERSION,
        path=fill(_VERSION, model=_names.model(model), version=_names.number(version)),
        body=encode(change),
        read=reader(Version),
        repeatable=True,
    )


def delete(model: str, version: int) -> Operation[Erasure | None]:
    """Delete a version."""
    path = fill(_VERSION, model=_names.model(model), version=_names.number(version))
    return Operation(method="DELETE", template=_VERSION, path=path, read=told)


def download(model: str, version: int, sink: Sink) -> Operation[None]:
    """Ask for a version's package, whose zip goes into `sink`."""
    return Operation(
        method="GET",
        template=_PACKAGE,
        path=fill(_PACKAGE, model=_names.model(model), version=_names.selector(version)),
        read=nothing,
        timeout=TRANSFER_TIMEOUT,
        sink=sink,
    )


def publish_query(*, lineage: Mapping[str, JsonValue] | None, **options: object) -> PublishQuery:
    """Return how a package is to be published."""
    if lineage is None:
        return build(PublishQuery, **options)
    try:
        facts = json.dumps(dict(lineage), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"lineage cannot be written as JSON: {error}") from None
    return build(PublishQuery, lineage=facts, **options)


def publish(model: str, package: IO[bytes], query: PublishQuery) -> Operation[Version]:
    """Upload a version from a seekable file that holds the package's zip, read here once for its sha256."""
    return Operation(
        method="POST",
        template=_VERSIONS,
        path=fill(_VERSIONS, query, model=_names.model(model)),
        body=package,
        content_type="application/zip",
        headers={"Content-Digest": content_digest(package)},
        read=reader(Version),
        keyed=True,
        timeout=TRANSFER_TIMEOUT,
    )


def publish_upload(model: str, upload: str, query: PublishQuery) -> Operation[Version]:
    """Publish what an upload in chunks holds as a version."""
    query = query.model_copy(update={"upload": upload})
    return Operation(
        method="POST",
        template=_VERSIONS,
        path=fill(_VERSIONS, query, model=_names.model(model)),
        body=b"",
        content_type="application/zip",
        read=reader(Version),
        keyed=True,
        timeout=TRANSFER_TIMEOUT,
    )


def pack(path: Path, target: IO[bytes]) -> int:
    """Check the package at a path, write its zip to a file, and return how many bytes that has.

    Raises:
        PackageError: It is not a package that a server takes.
    """
    from maas_client._package import open_package, write_zip

    with open_package(path) as package:
        write_zip(package, target)
    return target.tell()


def content_digest(file: IO[bytes]) -> str:
    """Return the `Content-Digest` of a file's bytes (RFC 9530), and leave it at its start."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]  # any file will do
    file.seek(0)
    return f"sha-256=:{base64.b64encode(digest).decode()}:"
