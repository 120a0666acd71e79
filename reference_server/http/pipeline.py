"""A request in, an answer out: every endpoint passes through here, whatever server or framework carries it.

find who calls → check what they may → read what they sent → run the handler → write what it returned
"""

from __future__ import annotations

import hashlib
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

import pydantic_core

from reference_server.errors import InvalidRequest, ServiceError
from reference_server.http import auditing, bodies, capturing, idempotency, inference, limiting
from reference_server.http.errors import answer_for, internal_error
from reference_server.http.exchange import Answer, Call, Cold, Loading, Replied
from reference_server.http.inference import Pending
from reference_server.http.spool import Spool
from reference_server.registry import models
from reference_server.registry.idempotency import stranger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client.types import Reply
    from reference_server.app import Services
    from reference_server.http.exchange import Request
    from reference_server.security.callers import Caller

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_TIMEOUT = TIMEOUT_HEADER.lower()
_JSON = {"content-type": "application/json", "cache-control": "no-store"}
_log = logging.getLogger(__name__)


def handle(call: Call, path: Mapping[str, str]) -> Answer:
    """Answer a call and log it.

    Args:
        path: The parts of the path, by the endpoint's names for them.
    """
    return finish(call, compute(call, path))


def compute(call: Call, path: Mapping[str, str]) -> Answer:
    """Answer a call; every failure becomes an answer too."""
    begun = begin(call, path)
    return inference.run_in_lane(call, begun) if isinstance(begun, Pending) else begun


def begin(call: Call, path: Mapping[str, str]) -> Answer | Pending:
    """Answer a call, or decode it up to what a lane is to run; every failure becomes an answer too.

    Raises:
        Cold, Loading: As the call says that it may not wait.
    """
    try:
        return _answer(call, path)
    except (Cold, Loading):
        raise
    except ServiceError as error:
        auditing.denied(call, path, error)
        return answer_for(error, call.request)
    except Exception:  # noqa: BLE001 - logged whole, shown to nobody
        # The last line of defence: a defect is logged whole and shown to nobody.
        _log.exception("the request failed", extra={"fields": {"request_id": call.request.id}})
        return answer_for(internal_error(), call.request)


def finish(call: Call, answer: Answer) -> Answer:
    """Log and count a call with its answer, and return the answer with the headers that all have."""
    _note(call.services, call.request, answer, template=call.endpoint.template, caller=call.caller)
    if call.services.tracing is not None:
        call.services.tracing.record(call, answer)
    return settle(call, answer)


def settle(call: Call, answer: Answer) -> Answer:
    """Capture a call that is over, if its model's owner wants that, and tell its caller's limits."""
    if call.capture is not None and answer.status == HTTPStatus.OK:
        answer.headers = {**answer.headers, capturing.HEADER: call.capture.header}
        call.services.captures.take(call.capture, call, answer)
    answer = _stamped(answer, call.request)
    if call.counted is not None:
        answer.headers = {**answer.headers, **limiting.settle(call, answer.status)}
    return answer


def refuse(services: Services, request: Request, error: ServiceError) -> Answer:
    """Answer a request that no endpoint takes: an unknown route, a wrong method, an oversized body."""
    answer = answer_for(error, request)
    _note(services, request, answer)
    return _stamped(answer, request)


def show(
    services: Services, request: Request, answer: Answer, *, template: str, caller: Caller | None
) -> Answer:
    """Log and count a page that is no endpoint, and return it with the headers that all answers have.

    Args:
        template: The path as the log writes it.
        caller: Who has logged in, if anybody has.
    """
    _note(services, request, answer, template=template, caller=caller)
    return _stamped(answer, request)


def authorize(call: Call) -> None:
    """Find who calls, and let only those on whom the endpoint lets.

    Raises:
        Unauthenticated, Forbidden: Saying what is missing.
    """
    access = call.endpoint.access
    if access == "open":
        return
    call.caller = _caller(call)
    if access == "session":
        call.caller.require_session()
    elif access == "operator":
        call.caller.require_operator()
    else:
        call.caller.require(access)


def budget(services: Services, headers: Mapping[str, str]) -> float:
    """Return the seconds that a prediction may take: the caller's own budget, capped by our limit.

    Raises:
        InvalidRequest: If the header is no positive number of milliseconds.
    """
    given = headers.get(_TIMEOUT)
    if given is None:
        return services.settings.request_seconds
    if not (given.isascii() and given.isdigit() and int(given[:12]) > 0):
        raise InvalidRequest(
            f"{TIMEOUT_HEADER} must be a positive whole number of milliseconds",
            code="invalid_header",
            param=TIMEOUT_HEADER,
        )
    return min(int(given[:12]) / 1000, services.settings.request_seconds)


def _caller(call: Call) -> Caller:
    authorization, address = call.request.headers.get("authorization"), call.request.address
    if (known := call.services.authenticate.known(authorization)) is not None:
        if known.limits.networks is not None:
            known.require_address(address)
        return known
    if call.may_wait == "nothing":
        raise Cold
    return call.services.authenticate(authorization, address)


def _answer(call: Call, path: Mapping[str, str]) -> Answer | Pending:
    endpoint, request = call.endpoint, call.request
    authorize(call)
    if call.caller is not None:
        limiting.count_request(call)
    if endpoint.inference:
        _set_deadline(call)
        if endpoint.body_kind == "raw":
            begun: Answer | Pending = endpoint.handler(call, **path, body=_whole(call))
            return _with_rows_counted(call, begun)
    arguments: dict[str, object] = dict(path)
    if endpoint.query is not None:
        arguments["query"] = bodies.query(endpoint.query, request.query)
    if endpoint.body_kind == "none":
        return _run(call, arguments)
    arguments["body"], digest = _body(call)
    key = request.headers.get(idempotency.HEADER.lower())
    if key is None or not endpoint.replayable:
        return _with_rows_counted(call, _run(call, arguments))
    return _once(call, path, arguments, key=key, digest=digest)


def _with_rows_counted(call: Call, begun: Answer | Pending) -> Answer | Pending:
    if isinstance(begun, Pending) and call.by.budgets:
        limiting.count_rows(call, begun.work.rows)
    return begun


def _set_deadline(call: Call) -> None:
    seconds = budget(call.services, call.request.headers)
    call.deadline = call.request.received + seconds
    # It may have waited for a lane longer than its caller will.
    if call.services.timer() >= call.deadline:
        raise inference.too_late(seconds)


def _body(call: Call) -> tuple[object, bytes]:
    body, headers = call.request.body, call.request.headers
    if isinstance(body, Spool):
        return body.receive(headers)
    _whole(call)
    if call.endpoint.body is None:
        return body, hashlib.sha256(body).digest() if call.endpoint.replayable else b""
    return bodies.json_body(call.endpoint.body, body, headers), hashlib.sha256(body).digest()


def _whole(call: Call) -> bytes | bytearray:
    body, limit = call.request.body, call.services.settings.max_body_bytes
    if isinstance(body, Spool):
        raise TypeError(f"{call.endpoint.name} takes no upload")
    if len(body) > limit:
        raise bodies.body_too_large(limit)
    return body


def _note(
    services: Services,
    request: Request,
    answer: Answer,
    *,
    template: str | None = None,
    caller: Caller | None = None,
) -> None:
    seconds = services.timer() - request.received
    services.request_log.write(request, answer.status, seconds, template=template, caller=caller)
    services.metrics.count_request(request.method[:16], template or "none", answer.status, seconds)


def _once(
    call: Call, path: Mapping[str, str], arguments: Mapping[str, object], *, key: str, digest: bytes
) -> Answer:
    request = call.request
    said = hashlib.sha256(f"{request.method} {request.path}?{request.query}\n".encode() + digest).digest()
    email = getattr(arguments["body"], "email", "")
    owner = call.caller.account_id if call.caller else stranger(email, request.address)

    def run() -> Answer:
        try:
            answer = _run(call, arguments)
        except ServiceError as error:
            auditing.denied(call, path, error)
            return answer_for(error, request)
        if isinstance(answer, Pending):
            raise TypeError(f"{call.endpoint.name} runs a model and cannot be replayed")
        return answer

    return idempotency.once(
        run,
        database=call.services.database,
        claims=call.services.claims,
        key=key,
        owner=owner,
        fingerprint=said,
        one_transaction=call.endpoint.one_transaction,
        before_replay=lambda: _require_sight(call, path),
    )


def _require_sight(call: Call, path: Mapping[str, str]) -> None:
    """Refuse to tell again of a model that the caller cannot see any more, such as one not shared now."""
    if "model" in path:
        models.require_visible(call.services.database, call.by, path["model"])


def _run(call: Call, arguments: Mapping[str, object]) -> Answer | Pending:
    audited = call.endpoint.audit is not None
    result = auditing.handled(call, arguments) if audited else call.endpoint.handler(call, **arguments)
    if isinstance(result, Answer | Pending):
        return result
    if result is None:
        return Answer(call.endpoint.status, {})
    replied: Replied[Reply] = result if isinstance(result, Replied) else Replied(result)
    body = pydantic_core.to_json(replied.reply, context={"reveal": True})
    return Answer(replied.status or call.endpoint.status, {**_JSON, **replied.headers}, body)


def _stamped(answer: Answer, request: Request) -> Answer:
    answer.headers = {**answer.headers, "x-request-id": request.id, "x-content-type-options": "nosniff"}
    return answer
