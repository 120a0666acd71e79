"""A large body on its way to disk, so that a package never lies in memory; and what bodies must hash to.

On disk it is sealed, under a key that only this process has for as long as it handles the body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Self

from reference_server.errors import InvalidRequest
from reference_server.http import bodies
from reference_server.registry.faults import storage_faults
from reference_server.security.streams import SealedTemporary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_CHUNK = 2**20
_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):")


class Spool:
    """A body that is kept in a temporary file while it is handled.

    Args:
        max_bytes: The most that it may hold.
        media_type: What it must say that it is.
        source: Where the bytes come from if nobody writes them.
    """

    def __init__(
        self, *, max_bytes: int, media_type: str = "application/zip", source: IO[bytes] | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self._media_type = media_type
        self._source = source
        self._size = 0
        self._digest = hashlib.sha256()
        with storage_faults():
            self._spool = SealedTemporary()

    def write(self, chunk: bytes) -> None:
        """Add the next bytes.

        Raises:
            TooLarge: If they are too many.
            StorageFull: If the disk of temporary files has no room for them.
        """
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise bodies.body_too_large(self._max_bytes)
        self._digest.update(chunk)
        with storage_faults():
            self._spool.write(chunk)

    def receive(self, headers: Mapping[str, str]) -> tuple[IO[bytes], bytes]:
        """Return the whole body as a file at its start, and its sha256.

        Raises:
            UnsupportedMediaType: If it is not of its media type, unless it is empty.
            TooLarge: If it is too long.
            InvalidRequest: If it does not fit its `Content-Digest` (RFC 9530).
        """
        bodies.require_type(headers, self._media_type, absent=True)
        declared = declared_digest(headers)
        if self._source is not None:
            while chunk := self._source.read(_CHUNK):
                self.write(chunk)
        if self._size:
            bodies.require_type(headers, self._media_type)
        digest = self._digest.digest()
        check_digest(declared, digest)
        with storage_faults():  # what was buffered is written now
            return self._spool.reader(), digest

    def close(self) -> None:
        """Give the file up."""
        # What is still buffered goes nowhere anyway; a full disk refuses it here once more.
        with suppress(OSError):
            self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def declared_digest(headers: Mapping[str, str]) -> bytes | None:
    """Return the sha256 that a body's `Content-Digest` tells (RFC 9530), or None without one.

    Raises:
        InvalidRequest: If it is malformed, or of other algorithms only.
    """
    header = headers.get("content-digest")
    if header is None:
        return None
    found = _SHA256.search(header)
    try:
        digest = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise InvalidRequest(
            "Content-Digest must hold sha-256=:BASE64: (RFC 9530)",
            code="invalid_header",
            param="Content-Digest",
        )
    return digest


def check_digest(declared: bytes | None, digest: bytes) -> None:
    """Refuse a body whose sha256 is not the one that was declared.

    Raises:
        InvalidRequest: With code `digest_mismatch`.
    """
    if declared not in (None, digest):
        raise InvalidRequest(
            "the body does not fit its Content-Digest; it was damaged on the way, send it again",
            code="digest_mismatch",
            param="Content-Digest",
            should_retry=True,
        )
