"""Packages that come in chunks, so that an interruption costs one chunk and not the whole."""

from __future__ import annotations

import hashlib
import re

from maas_client.types import Upload, UploadCreate
from reference_server.errors import InvalidRequest
from reference_server.http import bodies, spool
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call, Replied
from reference_server.registry import uploads

routes = Routes("uploads")

_UNAUDITED = "nobody can use an upload before it is published, and that is written"
_OFFSET = re.compile(r"[0-9]{1,18}")


@routes.route(
    "POST",
    "/v1/uploads",
    access="models:write",
    status=201,
    others={200: "There is an unfinished upload of the same content; go on with it."},
    unaudited=_UNAUDITED,
)
def begin(call: Call, body: UploadCreate) -> Replied[Upload]:
    """Begin to upload a package in chunks, or find the unfinished upload of the same content.

    Then send the chunks in order, and publish with `POST /v1/models/{model}/versions?upload=ID`.
    """
    settings = call.services.settings
    if body.size > settings.max_package_bytes:
        raise bodies.body_too_large(settings.max_package_bytes)
    upload, new = uploads.begin(
        call.services.database,
        call.by.account_id,
        size=body.size,
        sha256=body.sha256.removeprefix("sha256:"),
        chunk_bytes=_chunk_bytes(call),
    )
    return Replied(upload, status=201 if new else 200)


@routes.route("GET", "/v1/uploads/<upload>", access="models:write")
def get(call: Call, upload: str) -> Upload:
    """Return how far one of the account's uploads has come."""
    return uploads.get(call.services.database, call.by.account_id, upload, chunk_bytes=_chunk_bytes(call))


@routes.route("PUT", "/v1/uploads/<upload>/chunks/<offset>", access="models:write", unaudited=_UNAUDITED)
def add_chunk(call: Call, upload: str, offset: str, body: bytes) -> Upload:
    """Add the next chunk, raw bytes; one that is there already changes nothing.

    It is lasting when this answers. Each begins where the one before has ended, at `received`.
    """
    headers = call.request.headers
    bodies.require_type(headers, "application/octet-stream")
    if (declared := spool.declared_digest(headers)) is not None:
        spool.check_digest(declared, hashlib.sha256(body).digest())
    if _OFFSET.fullmatch(offset) is None:
        raise InvalidRequest(
            f"{offset[:40]!r} is no offset; give a whole number of bytes",
            code="invalid_offset",
            param="offset",
        )
    return uploads.add_chunk(
        call.services.database,
        call.services.artifacts,
        call.by.account_id,
        upload,
        offset=int(offset),
        chunk=body,
        chunk_bytes=_chunk_bytes(call),
    )


@routes.route("DELETE", "/v1/uploads/<upload>", access="models:write", unaudited=_UNAUDITED)
def abandon(call: Call, upload: str) -> None:
    """Give an upload up, and forget its chunks."""
    uploads.delete(call.services.database, call.services.artifacts, call.by.account_id, upload)


def _chunk_bytes(call: Call) -> int:
    settings = call.services.settings
    return min(settings.upload_chunk_bytes, settings.max_body_bytes)
