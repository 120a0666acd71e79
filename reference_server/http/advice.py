"""Advice: a version measured in other settings by a job, applied by another; a look without a run."""

from __future__ import annotations

from typing import IO

from maas_client.types import AdviceApply, AdviceRequest, JobReply, StaticAdvice
from reference_server.advice import applying
from reference_server.advice.findings import look
from reference_server.advice.job import KIND, AdviceSample, AdviceTask, check
from reference_server.errors import InvalidRequest
from reference_server.http import bodies
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call, Replied
from reference_server.http.jobs import queued
from reference_server.http.limiting import count_rows, taken_rows
from reference_server.http.notices import with_notices
from reference_server.registry import data_keys, jobs, packages, publishing
from reference_server.registry.jobs import NewJob
from reference_server.registry.sealed_artifacts import keep
from reference_server.registry.versions import ServingTarget
from reference_server.runtime.pool import model_unloaded

routes = Routes("advice")


@routes.route(
    "POST",
    "/v1/models/<model>/advice",
    access="jobs",
    status=202,
    one_transaction=True,
    streamed="application/json",
    holds=AdviceRequest,
    limit="max_evaluation_bytes",
    audit="advice_asked",
)
def advise(call: Call, model: str, body: IO[bytes]) -> Replied[JobReply]:
    """Let a job measure the `default` version in other settings, and recommend one or none.

    The body is an `AdviceRequest`, `{}` for what it has when left out. It needs the scope `predict` too. The
    job's `interim` is an `AdviceProgress`, its result an `Advice`. Of the rows of a day it takes `budget`,
    and gives back what it has not run.
    """
    return _advise(call, model, None, body)


@routes.route(
    "POST",
    "/v1/models/<model>/versions/<version>/advice",
    access="jobs",
    status=202,
    one_transaction=True,
    streamed="application/json",
    holds=AdviceRequest,
    limit="max_evaluation_bytes",
    audit="advice_asked",
)
def advise_version(call: Call, model: str, version: str, body: IO[bytes]) -> Replied[JobReply]:
    """Let a job measure one version, by its number, an alias or `latest`, in other settings."""
    return _advise(call, model, version, body)


@routes.route("GET", "/v1/models/<model>/versions/<version>/advice", access="models:read")
def look_at(call: Call, model: str, version: str) -> StaticAdvice:
    """Tell what a look at a version's package shows, without running it.

    Names of nodes and tensors are told to those who may download the package. What is too large to be read in
    a call (422, `too_large`) the job of an advice looks at.
    """
    services = call.services
    target = services.targets.now(call.by, model, version)
    names = packages.may_download(services.database, call.by, target.exact, target.version)
    with services.trials.turn(call.by.account_id), services.loadable(target).open_package() as package:
        opset, ir_version, findings = look(package, names=names, most_bytes=_MOST_LOOKED_AT)
    return StaticAdvice(
        model=target.model,
        version=target.version,
        digest=target.digest,
        opset=opset,
        ir_version=ir_version,
        findings=findings,
    )


@routes.route(
    "POST",
    "/v1/jobs/<job>/apply",
    access="jobs",
    status=202,
    one_transaction=True,
    audit="advice_applied",
)
def apply(call: Call, job: str, body: AdviceApply) -> Replied[JobReply]:
    """Let a job publish a variant of an advice as a new version of the same model; no alias is moved.

    It needs the scope `models:write` too, and the role of a publisher. The job's result is an
    `AppliedAdvice`. The version's package is withheld from whom the original's is.
    """
    services = call.services
    jobs.require_permitted(services.database, call.by, job)
    found = jobs.get(services.database, call.by.account_id, job)
    task = applying.task_of(found, body.variant, body.notes)
    call.by.require("models:write")
    model, version = found.model or "", found.version or 0
    query = applying.query_of(task, version)
    exact = publishing.check(services.database, services.artifacts, call.by, model, query)
    made = queued(
        call,
        lambda: NewJob(
            kind=applying.KIND,
            request=task.model_dump(mode="json"),
            model=exact,
            version=version,
            unit="step",
        ),
    )
    return Replied(made, headers={"location": f"/v1/jobs/{made.id}"})


# Parsing takes twice the memory of a graph, in a worker that others wait for.
_MOST_LOOKED_AT = 512 * 2**20


def _advise(call: Call, model: str, selector: str | None, body: IO[bytes]) -> Replied[JobReply]:
    services = call.services
    target = services.targets.now(call.by, model, selector)
    content = body.read()
    if not content or content.isspace():
        raise InvalidRequest("the body is empty; send a JSON object, {} at least", code="empty_body")
    call.by.require("predict")
    asked = bodies.json_body(AdviceRequest, content, call.request.headers)
    check(asked)
    if target.unloaded:
        raise model_unloaded()
    count_rows(call, asked.budget)
    job = _queued(call, target, asked)
    return Replied(job, headers=with_notices({"location": f"/v1/jobs/{job.id}"}, target))


def _queued(call: Call, target: ServingTarget, asked: AdviceRequest) -> JobReply:
    sample = AdviceSample(inputs=asked.inputs, targets=asked.targets, parameters=asked.parameters)
    task = AdviceTask(
        objective=asked.objective,
        max_quality_loss=asked.max_quality_loss,
        time_budget_seconds=asked.time_budget_seconds,
        budget=asked.budget,
        rows=len(asked.inputs),
        digest=target.digest,
    )
    key, taken = data_keys.fresh(), taken_rows(call)
    return queued(
        call,
        lambda: NewJob(
            kind=KIND,
            request=task.model_dump(mode="json"),
            model=target.exact,
            version=target.version,
            input=keep(call.services.artifacts, key.key, "job-input", sample.model_dump_json().encode()),
            key=key,
            unit="setting",
            taken=taken,
        ),
    )
