"""A request in, an answer out: every endpoint passes through here, whatever server or framework carries it.

    find who calls → check what they may → read what they sent → run the handler → write what it returned
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING

import pydantic_core

from reference_server.errors import InvalidRequest, ServiceError
from reference_server.http import bodies, idempotency
from reference_server.http.errors import answer_for, internal_error
from reference_server.http.exchange import Answer, Call, Replied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client.types import Reply
    from reference_server.app import Services
    from reference_server.http.endpoints import Endpoint
    from reference_server.http.exchange import Request

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_JSON = {"content-type": "application/json", "cache-control": "no-store"}
_log = logging.getLogger(__name__)


def handle(services: Services, endpoint: Endpoint, request: Request, path: Mapping[str, str]) -> Answer:
    """Answer a request; every failure becomes an answer too.

    Args:
        path: The parts of the path, by the endpoint's names for them.
    """
    call = Call(services, endpoint, request, services.new_request_id())
    try:
        answer = _answer(call, path)
    except ServiceError as error:
        answer = answer_for(error, request_id=call.request_id)
    except Exception:
        # The last line of defence: a defect is logged whole and shown to nobody.
        _log.exception("request %s failed", call.request_id)
        answer = answer_for(internal_error(), request_id=call.request_id)
    return _finish(call, answer)


def refuse(services: Services, request: Request, error: ServiceError, *, template: str = "") -> Answer:
    """Answer a request that no endpoint takes: an unknown route, a wrong method, an oversized body."""
    request_id = services.new_request_id()
    answer = answer_for(error, request_id=request_id)
    services.request_log.write(request, answer, request_id=request_id, template=template, caller=None)
    return _with_id(answer, request_id)


def deadline(call: Call) -> float:
    """Return when the caller stops waiting, on the services' timer: its own budget, capped by ours.

    Raises:
        InvalidRequest: If the header is no positive number of milliseconds.
    """
    return call.request.received + budget(call.services, call.request.headers)


def budget(services: Services, headers: Mapping[str, str]) -> float:
    """Return the seconds that a request may take from its headers and our limit."""
    given = headers.get(TIMEOUT_HEADER.lower())
    if given is None:
        return services.settings.request_seconds
    if not (given.isascii() and given.isdigit() and int(given[:12]) > 0):
        raise InvalidRequest(
            f"{TIMEOUT_HEADER} must be a positive whole number of milliseconds",
            code="invalid_header",
            param=TIMEOUT_HEADER,
        )
    return min(int(given[:12]) / 1000, services.settings.request_seconds)


def _answer(call: Call, path: Mapping[str, str]) -> Answer:
    endpoint, request = call.endpoint, call.request
    _authorize(call)
    if endpoint.inference:
        call.deadline = deadline(call)
    with ExitStack() as stack:
        arguments: dict[str, object] = dict(path)
        if endpoint.query is not None:
            arguments["query"] = bodies.query(endpoint.query, request.query)
        if endpoint.body_kind != "none":
            arguments["body"], digest = _body(call, stack)
            key = request.headers.get(idempotency.HEADER.lower())
            if key is not None and endpoint.replayable:
                return _once(call, arguments, key=key, digest=digest)
        return _run(call, arguments)


def _authorize(call: Call) -> None:
    access = call.endpoint.access
    if access == "open":
        return
    call.caller = call.services.authenticate(call.request.headers.get("authorization"))
    if access == "session":
        call.caller.require_session()
    else:
        call.caller.require(access)


def _body(call: Call, stack: ExitStack) -> tuple[object, bytes]:
    request, settings = call.request, call.services.settings
    if call.endpoint.body_kind == "upload":
        upload = bodies.spooled(_stream(request.body), request.headers, max_bytes=settings.max_package_bytes)
        return stack.enter_context(upload)
    raw = _whole(request.body, settings.max_body_bytes)
    if call.endpoint.body is None:
        return raw, b""
    return bodies.json_body(call.endpoint.body, raw, request.headers), hashlib.sha256(raw).digest()


def _stream(body: bytes | IO[bytes]) -> IO[bytes]:
    if isinstance(body, bytes):
        raise TypeError("an upload comes as a stream")
    return body


def _whole(body: bytes | IO[bytes], limit: int) -> bytes:
    if not isinstance(body, bytes):
        body = body.read(limit + 1)
    if len(body) > limit:
        raise bodies.body_too_large(limit)
    return body


def _once(call: Call, arguments: Mapping[str, object], *, key: str, digest: bytes) -> Answer:
    request = call.request
    said = hashlib.sha256(f"{request.method} {request.path}?{request.query}\n".encode() + digest).digest()
    email = getattr(arguments["body"], "email", "")
    owner = call.caller.account_id if call.caller else f"{request.address}|{email}"

    def run() -> Answer:
        try:
            return _run(call, arguments)
        except ServiceError as error:
            if not idempotency.storable(error):
                raise
            return answer_for(error, request_id=call.request_id)

    return idempotency.once(
        run,
        database=call.services.database,
        key=key,
        owner=owner,
        fingerprint=said,
        secret=call.endpoint.secret,
    )


def _run(call: Call, arguments: Mapping[str, object]) -> Answer:
    result = call.endpoint.handler(call, **arguments)
    if isinstance(result, Answer):
        return result
    if result is None:
        return Answer(204, {})
    replied: Replied[Reply] = result if isinstance(result, Replied) else Replied(result)
    body = pydantic_core.to_json(replied.reply, context={"reveal": True})
    return Answer(replied.status or call.endpoint.status, {**_JSON, **replied.headers}, body)


def _finish(call: Call, answer: Answer) -> Answer:
    call.services.request_log.write(
        call.request,
        answer,
        request_id=call.request_id,
        template=call.endpoint.template,
        caller=call.caller,
    )
    return _with_id(answer, call.request_id)


def _with_id(answer: Answer, request_id: str) -> Answer:
    headers = {"x-request-id": request_id, "x-content-type-options": "nosniff", **answer.headers}
    headers["x-request-id"] = request_id
    return Answer(answer.status, headers, answer.body, answer.chunks)


