"""Fine-tunes: a head trained on an account's own labelled rows, as a job that ends with a new version."""

from __future__ import annotations

from typing import IO

import orjson

from maas_client.types import FineTuneCreate, FineTuneOptions, FineTuneQuery, JobReply, LabelledRows
from reference_server.errors import InvalidRequest, TooLarge
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call, Replied
from reference_server.http.jobs import queued
from reference_server.http.limiting import count_rows
from reference_server.registry import data_keys, publishing, versions
from reference_server.registry.jobs import NewJob
from reference_server.registry.sealed_artifacts import keep
from reference_server.runtime.pool import model_unloaded
from reference_server.training.bases import require_embedding
from reference_server.training.job import KIND, BaseTask, FineTuneTask, check_weights
from reference_server.training.publication import query_of
from reference_server.training.rows import PARTS, check_rows
from reference_server.training.splits import split

routes = Routes("fine-tunes")


@routes.route(
    "POST",
    "/v1/fine-tunes",
    access="jobs",
    status=202,
    one_transaction=True,
    audit="fine_tune_asked",
)
def create(call: Call, body: FineTuneCreate) -> Replied[JobReply]:
    """Train a head on labelled rows and publish it as a version of `name`: a job does it, at `Location`.

    It needs the scope `models:write` too. What comes of a base that the caller may use but not download is
    withheld: it serves, and its package goes only to those who may download the base. All rows are checked at
    once; the job's `interim` has the loss curve while it falls, its result is a `FineTune`.
    """
    parts, shares = {"train": body.train}, {}
    for part in PARTS[1:]:
        given: float | LabelledRows = getattr(body, part)
        if isinstance(given, LabelledRows):
            parts[part] = given
        else:
            shares[part] = given
    rows = sum(len(part.inputs) for part in parts.values())
    if rows > call.services.settings.max_instances:
        raise TooLarge(
            f"there are {rows:,} rows, and a call takes {call.services.settings.max_instances:,}; send them "
            "to POST /v1/fine-tunes/large, whose body is a stream",
            code="too_many_rows",
            param="train",
        )
    told = body.model_dump(mode="json", exclude=set(PARTS))
    options = FineTuneOptions.model_validate({**told, **shares})
    data = check_rows(parts, loss=options.loss, has_base=options.base is not None)
    check_weights(options, data)
    split(data, validation=options.validation, test=options.test, seed=options.seed)
    content = orjson.dumps({part: each.model_dump(mode="json") for part, each in parts.items()})
    return _queued(call, options, content, rows)


@routes.route(
    "POST",
    "/v1/fine-tunes/large",
    access="jobs",
    status=202,
    one_transaction=True,
    streamed="application/json",
    limit="max_fine_tune_bytes",
    audit="fine_tune_asked",
)
def create_large(call: Call, query: FineTuneQuery, body: IO[bytes]) -> Replied[JobReply]:
    """Train on many rows, which the body holds as a `FineTuneRows`; `options` has everything else.

    It needs what `POST /v1/fine-tunes` needs. The job is the first to read the rows: what is wrong with them
    is its error.
    """
    content = body.read()
    if not content or content.isspace():
        raise InvalidRequest("the body is empty; send a JSON object", code="empty_body")
    return _queued(call, query.options, content, query.rows)


def _queued(call: Call, options: FineTuneOptions, content: bytes, rows: int) -> Replied[JobReply]:
    call.by.require("models:write")
    services = call.services
    most = services.settings.max_fine_tune_rows
    if rows > most:
        raise TooLarge(
            f"a fine-tune takes {most:,} rows here, and there are {rows:,}; the server's operator sets "
            "max_fine_tune_rows",
            code="too_many_rows",
            param="rows",
        )
    name = publishing.check(services.database, services.artifacts, call.by, options.name, query_of(options))
    base = _base(call, options)
    if base is not None:
        # Each row is run through the base once.
        count_rows(call, rows)
    task = FineTuneTask(options=options, base=base, rows=rows)
    key = data_keys.fresh()
    job = queued(
        call,
        lambda: NewJob(
            kind=KIND,
            request=task.model_dump(mode="json"),
            model=name,
            input=keep(services.artifacts, key.key, "job-input", content),
            key=key,
            total=rows,
            unit="row",
        ),
    )
    return Replied(job, headers={"location": f"/v1/jobs/{job.id}"})


def _base(call: Call, options: FineTuneOptions) -> BaseTask | None:
    """Return the version that a caller means by their base, and may use."""
    if options.base is None:
        if options.base_version is not None:
            raise InvalidRequest(
                "base_version goes with base; name the model too, or leave both out", param="base_version"
            )
        return None
    services = call.services
    target = services.targets.now(call.by, options.base, options.base_version)
    version = versions.get(services.database, call.by, target.exact, str(target.version))
    require_embedding(version.task, options.base)
    if target.unloaded:
        # A job would load it in a process of its own.
        raise model_unloaded()
    return BaseTask(model=target.exact, version=target.version, digest=target.digest)
