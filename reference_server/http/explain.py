"""Explain: why a model says what it says, of one instance at once, or of many as a job."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import pydantic_core

from maas_client.types import (
    ExplainReply,
    ExplainRequest,
    ExplanationsQuery,
    ExplanationsRequest,
    JobReply,
    Reply,
)
from reference_server.errors import InvalidRequest, Unprocessable
from reference_server.explain.job import KIND
from reference_server.explain.replies import Source, reply
from reference_server.explain.subjects import prepare
from reference_server.explain.work import ExplanationWork
from reference_server.http import bodies
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call, Cold, Replied
from reference_server.http.inference import Pending
from reference_server.http.jobs import queued
from reference_server.http.limiting import count_rows, give_back_rows, taken_rows
from reference_server.http.notices import with_notices
from reference_server.registry import data_keys
from reference_server.registry.jobs import NewJob
from reference_server.registry.sealed_artifacts import keep
from reference_server.runtime.pool import model_unloaded

if TYPE_CHECKING:
    from pydantic import JsonValue

    from reference_server.explain.explaining import Explained
    from reference_server.http.inference import Times
    from reference_server.registry.versions import ServingTarget

routes = Routes("explain")

_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}
_ANSWERS: dict[int, type[Reply]] = {200: ExplainReply}
# A job process does one job at a time: some hours are enough for one.
_MOST_EVALUATIONS = 10_000_000


@routes.route("POST", "/v1/models/<model>/explain", access="predict", inference=True, answers=_ANSWERS)
def explain(call: Call, model: str, body: ExplainRequest) -> Pending:
    """Say what each part of an instance adds to the score that the `default` version gives its target.

    Where traffic is split it is the version that predicts for this caller. Each evaluation of the model
    counts as a row of usage and of the rows of a day, of which `budget` are taken and what was not needed is
    given back.
    """
    return _explain(call, model, None, body)


@routes.route(
    "POST",
    "/v1/models/<model>/versions/<version>/explain",
    access="predict",
    inference=True,
    answers=_ANSWERS,
)
def explain_version(call: Call, model: str, version: str, body: ExplainRequest) -> Pending:
    """Explain what one version says, by its number, an alias or `latest`."""
    return _explain(call, model, version, body)


@routes.route(
    "POST",
    "/v1/models/<model>/explanations",
    access="predict",
    status=202,
    one_transaction=True,
    unaudited="an explanation is usage, by a job as in a call",
    streamed="application/json",
    holds=ExplanationsRequest,
    limit="max_evaluation_bytes",
)
def explain_many(call: Call, model: str, query: ExplanationsQuery, body: IO[bytes]) -> Replied[JobReply]:
    """Let a job explain many instances, and say what counts over all of them.

    The body is an `ExplanationsRequest`. It needs the scope `jobs` too. Of the rows of a day it takes as many
    as the job may evaluate at most, `rows` times `budget`, and gives back what it has not evaluated when it
    ends, however it ends.
    """
    target = call.services.targets.now(call.by, model, query.version)
    content = body.read()
    if not content or content.isspace():
        raise InvalidRequest("the body is empty; send a JSON object", code="empty_body")
    call.by.require("jobs")
    asked = _read_many(call, content, query.rows)
    if target.unloaded:
        raise model_unloaded()
    evaluations = query.rows * asked.budget
    if evaluations > _MOST_EVALUATIONS:
        raise Unprocessable(
            f"{query.rows:,} rows with a budget of {asked.budget:,} are {evaluations:,} evaluations, a job "
            f"makes at most {_MOST_EVALUATIONS:,}; lower the budget, or send the rows in parts",
            code="too_many_evaluations",
            param="budget",
        )
    count_rows(call, evaluations)
    job = _queued(call, target, asked)
    return Replied(job, headers=with_notices({"location": f"/v1/jobs/{job.id}"}, target))


def _explain(call: Call, model: str, selector: str | None, body: ExplainRequest) -> Pending:
    if call.may_wait == "nothing":
        # Pictures are scaled and texts parted: that is no work for an event loop.
        raise Cold
    services = call.services
    began = services.timer()
    target, loaded = services.serve(call, model, selector)
    # What is explained was said before: it is no traffic of its own, and no shadow need repeat it.
    call.route = None
    work = ExplanationWork(prepare(loaded.task, body.inputs, body), loaded, services.lanes, services.timer)
    most_rows = work.rows
    device = loaded.runner.device
    source = Source(target.model, target.version, target.digest, device)

    def encode(explained: Explained, _times: Times) -> Answer:
        give_back_rows(call, most_rows - work.rows)
        answered = reply(explained, source, id_=services.new_explanation_id(), seed=body.seed)
        return Answer(200, with_notices(_HEADERS, target), pydantic_core.to_json(answered))

    key = (target.exact, target.version, device)
    return Pending(key, loaded, work, encode, began, services.timer(), is_explanation=True)


def _read_many(call: Call, content: bytes, rows: int) -> ExplanationsRequest:
    asked = bodies.json_body(ExplanationsRequest, content, call.request.headers)
    if len(asked.inputs) != rows:
        raise Unprocessable(
            f"there are {len(asked.inputs):,} inputs, and rows={rows} was said", code="wrong_rows"
        )
    return asked


def _queued(call: Call, target: ServingTarget, asked: ExplanationsRequest) -> JobReply:
    # What is asked may be a secret too, such as what a text is compared with: all of it is sealed.
    key, content = data_keys.fresh(), asked.model_dump_json().encode()
    request: dict[str, JsonValue] = {"rows": len(asked.inputs), "digest": target.digest}
    taken = taken_rows(call)
    return queued(
        call,
        lambda: NewJob(
            kind=KIND,
            request=request,
            model=target.exact,
            version=target.version,
            input=keep(call.services.artifacts, key.key, "job-input", content),
            key=key,
            total=len(asked.inputs),
            unit="row",
            taken=taken,
        ),
    )
