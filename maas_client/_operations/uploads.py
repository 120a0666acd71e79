"""Calls about uploads: packages that are sent in chunks."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader
from maas_client._operations._operation import Operation, fill
from maas_client._operations.versions import TRANSFER_TIMEOUT
from maas_client.types import Upload, UploadCreate

if TYPE_CHECKING:
    from typing import IO

_UPLOADS = "/v1/uploads"
_UPLOAD = "/v1/uploads/{upload}"
_CHUNK = "/v1/uploads/{upload}/chunks/{offset}"

# What a lost connection costs at most when a package goes in one request.
SINGLE_REQUEST_BYTES = 8 * 2**20
# Whatever a server would take: a chunk lies in memory while it is sent.
LARGEST_CHUNK_BYTES = 8 * 2**20


def begin(package: IO[bytes], size: int) -> Operation[Upload]:
    """Begin an upload of a seekable file, or find the unfinished one of its content.

    Doing it twice finds what the first time made, so it needs no idempotency key.
    """
    package.seek(0)
    sha256 = hashlib.file_digest(package, "sha256").hexdigest()  # type: ignore[arg-type]  # any file will do
    return Operation(
        method="POST",
        template=_UPLOADS,
        path=_UPLOADS,
        body=encode(build(UploadCreate, size=size, sha256=sha256)),
        read=reader(Upload),
        timeout=TRANSFER_TIMEOUT,
    )


def add_chunk(upload: Upload, package: IO[bytes]) -> Operation[Upload]:
    """Send the chunk of a seekable file that an upload needs next."""
    package.seek(upload.received)
    chunk = package.read(min(upload.chunk_bytes, LARGEST_CHUNK_BYTES))
    digest = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
    return Operation(
        method="PUT",
        template=_CHUNK,
        path=fill(_CHUNK, upload=_names.identifier(upload.id), offset=str(upload.received)),
        body=chunk,
        content_type="application/octet-stream",
        headers={"Content-Digest": f"sha-256=:{digest}:"},
        read=reader(Upload),
        timeout=TRANSFER_TIMEOUT,
    )
