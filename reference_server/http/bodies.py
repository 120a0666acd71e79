"""What a request carries, checked: its type, its size, its JSON, its query string."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, TypeVar, get_origin
from urllib.parse import parse_qsl

import orjson
from pydantic import ValidationError

from maas_client import types
from reference_server.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from reference_server.http.errors import invalid_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

RequestT = TypeVar("RequestT", bound=types.Request)

# zlib's window sizes: 16 more means gzip's header, as is means zlib's, which HTTP calls deflate.
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
# The fastest: floats hardly shrink more with others.
_LEVEL = 1
_JSON = "application/json"


def json_value(body: bytes | bytearray, headers: Mapping[str, str]) -> object:
    """Return a JSON body's value.

    Raises:
        UnsupportedMediaType: If it says that it is something else, or is compressed.
        InvalidRequest: If it is empty or not JSON (RFC 8259, so no NaN and no infinity).
    """
    if headers.get("content-type") != _JSON or "content-encoding" in headers:
        require_type(headers, _JSON, absent=True)
    if not body or body.isspace():
        raise InvalidRequest("the body is empty; send a JSON object", code="empty_body")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", code="invalid_json") from None


def json_body(model: type[RequestT], body: bytes | bytearray, headers: Mapping[str, str]) -> RequestT:
    """Return a JSON body as a request type, checked without any coercion.

    Raises:
        UnsupportedMediaType, InvalidRequest: As `json_value`.
        Unprocessable: Naming every field at fault.
    """
    if not body and not any(field.is_required() for field in model.model_fields.values()):
        body = b"{}"
    if not isinstance(json_value(body, headers), dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_json")
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise invalid_fields(error) from None


def query(model: type[RequestT], query_string: str) -> RequestT:
    """Return the query string as a request type; of a parameter given twice the last wins, lists take all.

    Raises:
        InvalidRequest: Naming every parameter at fault.
    """
    try:
        return model.model_validate(_parameters(model, query_string))
    except ValidationError as error:
        raise invalid_fields(error, where="query") from None


def _parameters(model: type[types.Request], query_string: str) -> dict[str, object]:
    given: dict[str, object] = {}
    lists: dict[str, list[str]] = {}
    for name, value in parse_qsl(query_string, keep_blank_values=True):
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is list:
            lists.setdefault(name, []).append(value)
        else:
            given[name] = value
    return given | lists


def body_too_large(max_bytes: int) -> TooLarge:
    """Return the failure of a body beyond a limit."""
    return TooLarge(f"the body is larger than the {max_bytes:,} bytes taken here; send less at a time")


def require_type(headers: Mapping[str, str], expected: str, *, absent: bool = False) -> None:
    """Check what a body says that it is.

    Args:
        absent: Whether it may say nothing.

    Raises:
        UnsupportedMediaType: If it is of another type, or compressed.
    """
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    suffix = expected.partition("/")[2]
    if not (given == expected or given.endswith(f"+{suffix}") or (absent and not given)):
        raise UnsupportedMediaType(
            f"the body's Content-Type is {given[:100] or 'missing'}; send {expected}", param="Content-Type"
        )
    require_identity(headers)


def require_identity(headers: Mapping[str, str]) -> None:
    """Check that a body is not compressed.

    Raises:
        UnsupportedMediaType: If it is.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMediaType(
            f"the body's Content-Encoding is {encoding[:100]}; send it as it is", param="Content-Encoding"
        )


def uncompressed(body: bytes, headers: Mapping[str, str], *, max_bytes: int) -> bytes:
    """Return a body as it was before its Content-Encoding, gzip or deflate (RFC 9110, section 8.4.1).

    Raises:
        UnsupportedMediaType: It is encoded otherwise.
        TooLarge: It would grow beyond `max_bytes`; no more than that is ever made.
        InvalidRequest: It is damaged.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in _WINDOWS:
        require_identity(headers)
    decoder = zlib.decompressobj(_WINDOWS[encoding])
    try:
        content = decoder.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the body is no {encoding}: {error}", code="invalid_encoding") from error
    if len(content) > max_bytes:
        raise body_too_large(max_bytes)
    if not decoder.eof or decoder.unused_data:
        raise InvalidRequest(f"the body is no whole {encoding} stream", code="invalid_encoding")
    return content


def compressed(body: bytes, encoding: str) -> bytes:
    """Return a body in gzip or deflate."""
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOWS[encoding])
    return encoder.compress(body) + encoder.flush()


def preferred_encoding(headers: Mapping[str, str]) -> str | None:
    """Return the encoding that the caller lists first of those that we write, unless it takes none.

    Clients that take anything list several; for those, tensors go as they are: on a fast network compressing
    them costs more than sending them.
    """
    given = headers.get("accept-encoding", "").strip().lower()
    return given if given in _WINDOWS else None
