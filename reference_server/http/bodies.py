"""What a request carries, checked: its type, its size, its JSON, its digest."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import ValidationError

from maas_client import types
from reference_server.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from reference_server.http.errors import invalid_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RequestT = TypeVar("RequestT", bound=types.Request)

_CHUNK = 2**20
_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):")


def json_value(body: bytes, headers: Mapping[str, str]) -> object:
    """Return a JSON body's value.

    Raises:
        UnsupportedMediaType: If it says that it is something else, or is compressed.
        InvalidRequest: If it is empty or not JSON (RFC 8259, so no NaN and no infinity).
    """
    _require_type(headers, "application/json", absent=True)
    if not body.strip():
        raise InvalidRequest("the body is empty; send a JSON object", code="empty_body")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", code="invalid_json") from None


def json_body(model: type[RequestT], body: bytes, headers: Mapping[str, str]) -> RequestT:
    """Return a JSON body as a request type, checked without any coercion.

    Raises:
        UnsupportedMediaType, InvalidRequest: As `json_value`.
        Unprocessable: Naming every field at fault.
    """
    value = json_value(body or b"{}" if _all_optional(model) else body, headers)
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_json")
    try:
        return model.model_validate_json(body or b"{}", strict=True)
    except ValidationError as error:
        raise invalid_fields(error) from None


def query(model: type[RequestT], query_string: str) -> RequestT:
    """Return the query string as a request type; of a parameter given twice the last wins.

    Raises:
        InvalidRequest: Naming every parameter at fault.
    """
    try:
        return model.model_validate_strings(dict(parse_qsl(query_string, keep_blank_values=True)))
    except ValidationError as error:
        raise invalid_fields(error, where="query") from None


@contextmanager
def spooled(
    body: IO[bytes], headers: Mapping[str, str], *, max_bytes: int
) -> Iterator[tuple[IO[bytes], bytes]]:
    """Keep an uploaded zip in a temporary file for as long as it is handled.

    Yields:
        The file, at its start, and the sha256 of its bytes.

    Raises:
        UnsupportedMediaType: If it is not `application/zip`.
        TooLarge: If it is longer than `max_bytes`.
        InvalidRequest: If its `Content-Digest` (RFC 9530) does not fit.
    """
    _require_type(headers, "application/zip", absent=False)
    expected = _declared_digest(headers.get("content-digest"))
    with tempfile.TemporaryFile() as file:
        digest, size = hashlib.sha256(), 0
        while chunk := body.read(_CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise body_too_large(max_bytes)
            digest.update(chunk)
            file.write(chunk)
        if expected is not None and digest.digest() != expected:
            raise InvalidRequest(
                "the body does not have the declared Content-Digest; it was damaged on the way, send it again",
                code="digest_mismatch",
                param="Content-Digest",
                should_retry=True,
            )
        file.seek(0)
        yield file, digest.digest()


def body_too_large(max_bytes: int) -> TooLarge:
    """Return the failure of a body beyond a limit."""
    return TooLarge(f"the body is larger than the {max_bytes:,} bytes taken here; send less at a time")


def _require_type(headers: Mapping[str, str], expected: str, *, absent: bool) -> None:
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    suffix = expected.partition("/")[2]
    if not (given == expected or given.endswith(f"+{suffix}") or (absent and not given)):
        raise UnsupportedMediaType(
            f"the body's Content-Type is {given[:100] or 'missing'}; send {expected}", param="Content-Type"
        )
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMediaType(
            f"the body's Content-Encoding is {encoding[:100]}; send it as it is", param="Content-Encoding"
        )


def _declared_digest(header: str | None) -> bytes | None:
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


def _all_optional(model: type[types.Request]) -> bool:
    return not any(field.is_required() for field in model.model_fields.values())
