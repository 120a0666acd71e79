"""Evaluate: a model's answers held against what is true, at once or as a job."""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING, TypeAlias

import orjson
import pydantic_core

from maas_client.types import EvaluateRequest, Evaluation, EvaluationQuery, JobReply, Reply
from reference_server.errors import InvalidRequest
from reference_server.evaluation.job import KIND, subject_of
from reference_server.evaluation.targets import targets_for
from reference_server.evaluation.work import EvaluationWork, decode
from reference_server.http import idempotency
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call, Cold, Replied
from reference_server.http.inference import Pending, Times
from reference_server.http.jobs import queued
from reference_server.http.limiting import count_rows
from reference_server.http.notices import with_notices
from reference_server.registry import data_keys, versions
from reference_server.registry.jobs import NewJob
from reference_server.registry.sealed_artifacts import keep
from reference_server.runtime.pool import model_unloaded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from reference_server.registry.versions import ServingTarget

routes = Routes("evaluate")

Begun: TypeAlias = Pending | Answer
_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}
_ANSWERS: dict[int, type[Reply]] = {200: Evaluation, 202: JobReply}
_OTHERS = {202: "There are many rows, or `background` was asked for: a job does it, at `Location`."}


@routes.route(
    "POST",
    "/v1/models/<model>/evaluate",
    access="predict",
    inference=True,
    others=_OTHERS,
    answers=_ANSWERS,
)
def evaluate(call: Call, model: str, body: EvaluateRequest) -> Begun:
    """Hold the `default` version's answers against what is true, and measure how good they are.

    Nothing of it is kept. More rows than a call takes become a job, which needs the scope `jobs` too; its
    creation honours `Idempotency-Key`.
    """
    return _evaluate(call, model, None, body)


@routes.route(
    "POST",
    "/v1/models/<model>/versions/<version>/evaluate",
    access="predict",
    inference=True,
    others=_OTHERS,
    answers=_ANSWERS,
)
def evaluate_version(call: Call, model: str, version: str, body: EvaluateRequest) -> Begun:
    """Evaluate one version, by its number, an alias or `latest`."""
    return _evaluate(call, model, version, body)


@routes.route(
    "POST",
    "/v1/models/<model>/evaluations",
    access="predict",
    status=202,
    one_transaction=True,
    unaudited="an evaluation is usage, by a job as in a call",
    streamed="application/json",
    holds=EvaluateRequest,
    limit="max_evaluation_bytes",
)
def evaluate_many(call: Call, model: str, query: EvaluationQuery, body: IO[bytes]) -> Replied[JobReply]:
    """Let a job evaluate many rows, which the body holds as that of `evaluate` does; the way for large sets.

    It needs the scope `jobs` too. The job is the first to read the rows: what is wrong with them is its
    error.
    """
    target = call.services.targets.now(call.by, model, query.version)
    content = body.read()
    if not content or content.isspace():
        raise InvalidRequest("the body is empty; send a JSON object", code="empty_body")
    call.by.require("jobs")
    if target.unloaded:
        raise model_unloaded()
    count_rows(call, query.rows)
    request: dict[str, JsonValue] = {"rows": query.rows, "checked": False, "digest": target.digest}
    job = _queued(call, target, content, request, rows=query.rows)
    return Replied(job, headers=with_notices({"location": f"/v1/jobs/{job.id}"}, target))


def _evaluate(call: Call, model: str, selector: str | None, body: EvaluateRequest) -> Begun:
    if call.may_wait == "nothing":
        # The store is asked, and a thousand rows are no work for an event loop.
        raise Cold
    services = call.services
    began = services.timer()
    # What was known a moment ago may have been deleted by another worker, and more is to be read of it.
    asked = services.targets.now(call.by, model, selector)
    version = versions.get(services.database, call.by, asked.exact, str(asked.version))
    rows = len(body.inputs)
    targets = targets_for(version.task, version.manifest.labels, body.targets, rows)
    if body.background or rows > services.settings.max_instances:
        return _in_background(call, asked, body)
    target, loaded = services.serve(call, asked.exact, str(asked.version))
    batch = decode(loaded.task, body.inputs, body.parameters)
    work = EvaluationWork(loaded.task, batch, targets, subject_of(target, version, loaded))

    def encode(evaluation: Evaluation, _times: Times) -> Answer:
        return Answer(200, with_notices(_HEADERS, asked), pydantic_core.to_json(evaluation))

    key = (target.exact, target.version, loaded.runner.device)
    return Pending(key, loaded, work, encode, began, services.timer(), is_evaluation=True)


def _in_background(call: Call, target: ServingTarget, body: EvaluateRequest) -> Answer:
    call.by.require("jobs")
    if target.unloaded:
        # A job would load it in a process of its own.
        raise model_unloaded()
    key = call.request.headers.get(idempotency.HEADER.lower())
    if key is None:
        return _create(call, target, body)
    said = f"{call.request.method} {call.request.path}\n".encode() + _sent(call)
    return idempotency.once(
        lambda: _create(call, target, body),
        database=call.services.database,
        claims=call.services.claims,
        key=key,
        owner=call.by.account_id,
        fingerprint=hashlib.sha256(said).digest(),
        one_transaction=True,
    )


def _create(call: Call, target: ServingTarget, body: EvaluateRequest) -> Answer:
    content = orjson.dumps({"inputs": body.inputs, "targets": body.targets})
    rows = len(body.inputs)
    count_rows(call, rows)
    request: dict[str, JsonValue] = {"rows": rows, "parameters": body.parameters, "digest": target.digest}
    job = _queued(call, target, content, request, rows=rows)
    headers = {**_HEADERS, "location": f"/v1/jobs/{job.id}"}
    return Answer(202, with_notices(headers, target), pydantic_core.to_json(job))


def _queued(
    call: Call, target: ServingTarget, content: bytes, request: Mapping[str, JsonValue], *, rows: int
) -> JobReply:
    key = data_keys.fresh()
    return queued(
        call,
        lambda: NewJob(
            kind=KIND,
            request=request,
            model=target.exact,
            version=target.version,
            input=keep(call.services.artifacts, key.key, "job-input", content),
            key=key,
            total=rows,
            unit="row",
        ),
    )


def _sent(call: Call) -> bytes:
    body = call.request.body
    if not isinstance(body, bytes | bytearray):
        raise TypeError(f"{call.endpoint.name} takes no upload")
    return bytes(body)
