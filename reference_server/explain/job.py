"""Explanations of many instances as a job: one after the other, then what counts over all of them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import orjson
from pydantic import Field

from maas_client.types import (
    ExplainOptions,
    ExplainReply,
    ExplanationsReply,
    ExplanationsRequest,
    FeatureImportance,
    Request,
)
from reference_server.errors import Conflict, Unprocessable
from reference_server.explain.importance import importance
from reference_server.explain.replies import Source, reply
from reference_server.explain.scoring import Turns
from reference_server.explain.subjects import prepare
from reference_server.loadables import loadable, operators_options
from reference_server.metrics import Asked, Measured
from reference_server.registry import versions
from reference_server.registry.job_runs import Explanations
from reference_server.runtime.pool import model_unloaded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reference_server.explain.explaining import Explained
    from reference_server.jobs.context import Context
    from reference_server.registry.versions import ServingTarget
    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.tasks import Batch, Outputs

KIND = "explain"
# What was shared when a job began may be withdrawn while it runs.
_LOOK_SECONDS = 0.5
# In texts most words are met once; whoever reads the list wants its head.
_MOST_IMPORTANT = 1000
_FAST = 1
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class _Made:
    """What was explained so far, and how many seconds each took."""

    explanations: list[ExplainReply]
    seconds: list[float]


class ExplanationsTask(Request):
    """What such a job is asked; the instances and how to explain them are in its artifact."""

    rows: int = Field(ge=1)
    digest: str = Field(description="Of the version that was meant.")


def run(context: Context) -> ExplanationsReply:
    """Explain the instances of a job.

    Raises:
        ServiceError: The version is gone, or an instance cannot be explained.
    """
    task = ExplanationsTask.model_validate(context.request)
    with context.input() as file:
        asked = ExplanationsRequest.model_validate_json(file.read())
    target = _target(context, task)
    loaded = _load(context, target)
    source = Source(target.model, target.version, target.digest, loaded.runner.device)
    made = _explained(context, task, asked, loaded, source)
    done = made.explanations
    evaluations = sum(each.evaluations for each in done)
    key = (target.exact, target.version, loaded.runner.device)
    context.counted[key] = Measured(evaluations={context.caller.account_id: Asked(calls=1, rows=evaluations)})
    took = zip(made.seconds, (each.evaluations for each in done), strict=True)
    context.explained = Explanations(key, tuple(took))
    important = _important(done, seed=asked.seed, context=context)
    notes = []
    if len(important) > _MOST_IMPORTANT:
        notes.append(
            f"Of {len(important):,} features the {_MOST_IMPORTANT:,} most important ones are listed."
        )
    return ExplanationsReply(
        model=source.model,
        version=source.version,
        digest=source.digest,
        device=source.device,
        rows=len(done),
        explanations=done,
        importance=important[:_MOST_IMPORTANT],
        evaluations=evaluations,
        notes=notes,
    )


def _explained(
    context: Context,
    task: ExplanationsTask,
    asked: ExplanationsRequest,
    loaded: LoadedModel,
    source: Source,
) -> _Made:
    saved = context.restored()
    made = _Made([], []) if saved is None else _unpacked(saved)
    done = made.explanations
    context.spent = sum(each.evaluations for each in done)
    if done:
        context.log(f"goes on after {len(done):,} of {task.rows:,} rows")
    context.begin(len(done), task.rows, unit="row")
    options = ExplainOptions(**asked.model_dump(exclude={"inputs"}))
    looked = context.timer()
    for row in range(len(done), task.rows):
        if context.timer() - looked >= _LOOK_SECONDS:
            _target(context, task)
            looked = context.timer()
        began = context.timer()
        explained = _explain(context, loaded, row, asked.inputs[row], options)
        made.seconds.append(round(context.timer() - began, _DIGITS))
        done.append(reply(explained, source, id_=f"{context.claim.job_id}.{row}", seed=asked.seed))
        context.save(lambda: _packed(made), done=len(done))
        context.progress(len(done), task.rows)
    _target(context, task)
    return made


def _explain(
    context: Context, loaded: LoadedModel, row: int, inputs: Mapping[str, object], options: ExplainOptions
) -> Explained:
    """Explain one instance, between two runs hearing whether the job is to end."""

    def predict(batch: Batch) -> tuple[Outputs, float]:
        context.check()
        began = context.timer()
        outputs = loaded.task.predict(batch)
        context.spent += len(batch)
        return outputs, context.timer() - began

    turns = Turns(predict, row_seconds=loaded.compute_ms / 1000)
    try:
        explaining = prepare(loaded.task, inputs, options)
        return explaining.run(turns, timer=context.timer, check=context.check)
    except Unprocessable as error:
        raise Unprocessable(
            f"inputs[{row}] cannot be explained: {error.message}", code=error.code, param=f"inputs[{row}]"
        ) from error


def _important(done: Sequence[ExplainReply], *, seed: int, context: Context) -> list[FeatureImportance]:
    rows = [_by_feature(each) for each in done]
    found = importance(rows, rng=np.random.default_rng(seed), check=context.check)
    return [
        FeatureImportance(
            feature=each.feature[1],
            input=each.feature[0],
            mean_absolute=each.mean_absolute,
            interval=each.interval,
            mean=each.mean,
            rows=each.rows,
        )
        for each in found
    ]


def _by_feature(explanation: ExplainReply) -> dict[tuple[str, str], float]:
    """Return an instance's attributions by input and feature, of a word that is there twice their sum."""
    values: dict[tuple[str, str], float] = {}
    for name, input_, value in _countable(explanation):
        values[input_, name] = values.get((input_, name), 0.0) + value
    return values


def _countable(explanation: ExplainReply) -> Iterator[tuple[str, str, float]]:
    for each in explanation.attributions:
        if each.start is None:
            yield each.feature, each.input, each.value
        elif len(each.feature.split()) == 1:
            yield each.feature.casefold(), each.input, each.value


def _packed(made: _Made) -> bytes:
    told = {
        "explanations": [each.model_dump(mode="json") for each in made.explanations],
        "seconds": made.seconds,
    }
    return zlib.compress(orjson.dumps(told), _FAST)


def _unpacked(saved: bytes) -> _Made:
    told = orjson.loads(zlib.decompress(saved))
    found = [ExplainReply.model_validate(each) for each in told["explanations"]]
    return _Made(found, told["seconds"])


def _target(context: Context, task: ExplanationsTask) -> ServingTarget:
    """Return the version that was meant, which its account may still see."""
    model, number = context.claim.model or "", str(context.claim.version)
    target = versions.serving_target(context.services.database, context.caller, model, number)
    if task.digest != target.digest:
        # A model that was deleted and made again counts from 1 again.
        raise Conflict(
            f"version {number} of {model!r} is another than when this was asked for: the model was deleted "
            "and made again; explain it anew",
            code="version_replaced",
        )
    return target


def _load(context: Context, target: ServingTarget) -> LoadedModel:
    services = context.services
    if target.unloaded:
        raise model_unloaded()
    # One thread, whatever the manifest wants: serving comes first.
    options = {**operators_options(services.settings, target), "lanes": 1, "intra_op_threads": 1}
    return services.pool.get(loadable(target, services.database, services.artifacts, options))
