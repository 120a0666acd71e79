"""The one place where failures become answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import orjson

from maas_client.types import ErrorDetail
from reference_server.errors import (
    Gone,
    InvalidRequest,
    MethodNotAllowed,
    PreconditionFailed,
    RangeNotSatisfiable,
    ServiceError,
    Unauthenticated,
    Unprocessable,
)
from reference_server.http.exchange import Answer

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from reference_server.http.exchange import Request

MOST_DETAILS = 100
_OPEN_INFERENCE = "/v2/"
_JSON = "application/json"


def answer_for(error: ServiceError, request: Request) -> Answer:
    """Serialise a failure in the error shape of the OpenAI API, or as the text that `/v2` requires."""
    if f"{request.path}/".startswith(_OPEN_INFERENCE):
        return Answer(error.status, _headers(error), orjson.dumps({"error": error.message}))
    body: dict[str, object] = {
        "type": error.type,
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "request_id": request.id,
    }
    if error.details:
        body["errors"] = [detail.model_dump() for detail in error.details[:MOST_DETAILS]]
    if isinstance(error, PreconditionFailed) and error.current is not None:
        body["current"] = error.current.model_dump(mode="json")
    if isinstance(error, Gone) and error.replacement is not None:
        body["replacement"] = error.replacement
    return Answer(error.status, _headers(error), orjson.dumps({"error": body}))


def internal_error() -> ServiceError:
    """Return what a caller sees of a defect of ours: that there was one, and nothing of its inside."""
    return ServiceError("the server failed to handle this request; the fault is ours and has been logged")


def invalid_fields(error: ValidationError, *, where: str = "") -> ServiceError:
    """Turn pydantic's findings into a 422 that names each field, what was expected and what came."""
    details = [_detail(finding, where) for finding in error.errors(include_url=False)[:MOST_DETAILS]]
    first, *more = details
    message = first.message if not more else f"{first.message} (and {len(more)} more, see errors)"
    kind = InvalidRequest if where == "query" else Unprocessable
    return kind(message, code="invalid_field", param=first.param, details=details if more else ())


def _detail(finding: ErrorDetails, where: str) -> ErrorDetail:
    param = _param(finding["loc"]) or where or None
    subject = f"{param}: " if param else ""
    if finding["type"] == "extra_forbidden":
        return ErrorDetail(
            code="unknown_field", message=f"{subject}there is no such field; check its spelling", param=param
        )
    return ErrorDetail(code=finding["type"], message=f"{subject}{finding['msg']}", param=param)


def _param(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:200]


def _headers(error: ServiceError) -> dict[str, str]:
    headers = {"content-type": _JSON}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
        headers["retry-after-ms"] = str(max(1, math.ceil(error.retry_after * 1000)))
    if error.should_retry is not None:
        headers["x-should-retry"] = "true" if error.should_retry else "false"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.allowed)
    if isinstance(error, RangeNotSatisfiable):
        headers["content-range"] = f"bytes */{error.size}"
    if isinstance(error, PreconditionFailed) and error.etag is not None:
        headers["etag"] = error.etag
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return headers
