"""An evaluation as a job: in chunks, with a checkpoint every few seconds."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import orjson
from pydantic import Field, JsonValue, ValidationError

from maas_client.errors import describe_validation
from maas_client.types import EvaluateRequest, Request
from reference_server.errors import Unprocessable
from reference_server.evaluation.bootstrap import RESAMPLES
from reference_server.evaluation.rows import Classified, Valued
from reference_server.evaluation.summary import Subject, summarise
from reference_server.evaluation.targets import targets_for
from reference_server.evaluation.work import EvaluationWork, decode, joined
from reference_server.jobs.models import find_version, load
from reference_server.metrics import Asked, Measured
from reference_server.registry import versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from maas_client.types import Evaluation, Version
    from reference_server.jobs.context import Context
    from reference_server.registry.versions import ServingTarget
    from reference_server.runtime.pool import LoadedModel

KIND = "evaluate"
# What was shared when a job began may be withdrawn while it runs.
_LOOK_SECONDS = 0.5


class EvaluationTask(Request):
    """What such a job is asked; inputs and targets are in its artifact.

    What is not `checked` nobody has looked at yet: it holds the parameters too, and `rows` is what was said.
    """

    rows: int = Field(ge=1)
    checked: bool = True
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    digest: str | None = Field(None, description="Of the version that was meant.")


def run(context: Context) -> Evaluation:
    """Evaluate a version on the rows of a job.

    Raises:
        ServiceError: The version is gone, or a row does not fit it.
    """
    task = EvaluationTask.model_validate(context.request)
    given = _given(context, task)
    target = _target(context, task)
    version = versions.get(context.services.database, context.caller, target.exact, str(target.version))
    loaded = load(context, target)
    work = EvaluationWork(
        loaded.task,
        decode(loaded.task, given.inputs, given.parameters),
        targets_for(version.task, version.manifest.labels, given.targets, len(given.inputs)),
        subject_of(target, version, loaded),
    )
    rows = _rows(context, work, still_there=lambda: _target(context, task))
    measured = Measured(evaluations={context.caller.account_id: Asked(calls=1, rows=work.rows)})
    context.counted[target.exact, target.version, loaded.runner.device] = measured
    return _summary(context, rows, work.subject)


def _given(context: Context, task: EvaluationTask) -> EvaluateRequest:
    with context.input() as file:
        content = file.read()
    if task.checked:
        # It was checked when it was asked for, and row by row that takes seconds.
        return EvaluateRequest.model_construct(**orjson.loads(content), parameters=task.parameters)
    try:
        given = EvaluateRequest.model_validate_json(content, strict=True)
    except ValidationError as error:
        told = describe_validation(error)
        raise Unprocessable(f"the rows cannot be evaluated: {told}", code="invalid_field") from None
    if len(given.inputs) != task.rows:
        # As many as were said have been counted by what the account may have in a day.
        raise Unprocessable(
            f"there are {len(given.inputs):,} inputs, and rows={task.rows} was said", code="wrong_rows"
        )
    return given


def subject_of(target: ServingTarget, version: Version, loaded: LoadedModel) -> Subject:
    """Return what an evaluation says that it is about."""
    return Subject(
        model=target.model,
        version=target.version,
        digest=target.digest,
        device=loaded.runner.device,
        task=version.task,
        labels=version.manifest.labels,
        unit=version.manifest.postprocessing.unit,
    )


def _rows(
    context: Context, work: EvaluationWork, *, still_there: Callable[[], object]
) -> Classified | Valued:
    parts: list[Classified | Valued] = []
    if (saved := context.restored()) is not None:
        kind = Classified if work.subject.task.endswith("-classification") else Valued
        parts.append(kind.unpacked(saved))
    done = sum(map(len, parts))
    if done:
        context.log(f"goes on after {done:,} of {work.rows:,} rows")
    context.begin(done, work.rows, unit="row")
    looked = context.timer()
    for part in work.parts(done, deadline=None):
        if context.timer() - looked >= _LOOK_SECONDS:
            still_there()
            looked = context.timer()
        parts.append(part)
        done += len(part)
        context.save(lambda: joined(parts).packed(), done=done)
        context.progress(done, work.rows)
    still_there()
    return joined(parts)


def _summary(context: Context, rows: Classified | Valued, subject: Subject) -> Evaluation:
    """Measure; of many rows the intervals take as long as the predictions."""
    drawn = count()
    context.begin(0, RESAMPLES, unit="bootstrap sample")
    found = summarise(rows, subject, each=lambda: context.progress(next(drawn), RESAMPLES))
    context.begin(len(rows), len(rows), unit="row")
    return found


def _target(context: Context, task: EvaluationTask) -> ServingTarget:
    """Return the version that was meant, which its account may still see."""
    claim = context.claim
    return find_version(context, claim.model or "", str(claim.version), digest=task.digest)
