"""A fine-tune as a job: features, descent, one graph, its proof, its metrics, a new version."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, ValidationError

from maas_client.errors import describe_validation
from maas_client.types import (
    FineTune,
    FineTuneBase,
    FineTuneOptions,
    FineTuneRows,
    LabelledRows,
    Request,
    TrainingPoint,
    TrainingProgress,
)
from reference_server.errors import Unprocessable
from reference_server.evaluation.bootstrap import RESAMPLES
from reference_server.evaluation.rows import Classified, Valued
from reference_server.evaluation.summary import Subject, summarise
from reference_server.jobs.publications import publish
from reference_server.metrics import Asked, Measured
from reference_server.registry import publishing
from reference_server.training import recipes
from reference_server.training.bases import OpenBase, embed, open_base, still_there
from reference_server.training.packaging import package_of, task_of
from reference_server.training.proof import prove
from reference_server.training.publication import lineage_of, query_of, thinned
from reference_server.training.row_warnings import warnings_of
from reference_server.training.rows import PARTS, check_rows
from reference_server.training.splits import split
from reference_server.training.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from maas_client.types import Evaluation
    from reference_server.jobs.context import Context
    from reference_server.training.fit import Fit
    from reference_server.training.optimizers import OptimizerName
    from reference_server.training.recipes import Source
    from reference_server.training.rows import Data, Part

KIND = "fine-tune"
_MOST_POINTS_TOLD = 200
_WITHHELD = (
    "the version holds the weights of a base that you may use but not download: it serves, and its package "
    "goes to those alone who may download the base too"
)


class BaseTask(Request):
    """The version that was meant as a base when the job was asked for."""

    model: str = Field(description="Its exact name.")
    version: int
    digest: str


class FineTuneTask(Request):
    """What such a job is asked; its rows are in its artifact."""

    options: FineTuneOptions
    base: BaseTask | None = None
    rows: int = Field(ge=1, description="How many rows there are, as was said.")


@dataclass(slots=True)
class _Run:
    """A fine-tune under way."""

    context: Context
    options: FineTuneOptions
    data: Data
    parts: Mapping[str, Part]
    opened: OpenBase | None
    state: State
    warnings: list[str]
    curve: list[TrainingPoint] = field(default_factory=list)


def run(context: Context) -> FineTune:
    """Train, join, prove, measure and publish.

    Raises:
        ServiceError: The rows cannot be trained on, the base is gone, or the version may not be published.
    """
    work = _begin(context)
    source = _features(work)
    targets = recipes.Targets.of(work.data, work.parts["train"])
    fit = recipes.begin(work.options, work.data, work.parts, source, targets)
    _train(work, fit, recipes.optimizer_of(work.options, source))
    head = recipes.head_of(fit, work.data, targets)
    outputs = {part: head.outputs(source.features[part]) for part in work.parts}
    measured = _measure(work, outputs, is_early=fit.patience is not None)
    opened = work.opened
    package = package_of(
        source.recipe.graph(head),
        work.data,
        source.means,
        work.options,
        opened.base if opened else None,
        measured,
    )
    proved = prove(
        context,
        package,
        work.parts,
        np.concatenate(list(outputs.values())),
        unit=targets.deviation,
        batch_invariant=opened.target.batch_invariant if opened else None,
    )
    return _published(work, source, fit, package, measured, proved)


def _begin(context: Context) -> _Run:
    task = FineTuneTask.model_validate(context.request)
    given, options = _given(context, task), task.options
    # A name that is taken, or a right that was withdrawn, is told before hours of work and not after them.
    database, artifacts = context.services.database, context.services.artifacts
    publishing.check(database, artifacts, context.caller, options.name, query_of(options))
    data = check_rows(given, loss=options.loss, has_base=task.base is not None)
    check_weights(options, data)
    parts = split(data, validation=options.validation, test=options.test, seed=options.seed)
    base, opened = task.base, None
    if base is not None:
        opened = open_base(context, base.model, str(base.version), base.digest)
    warnings = warnings_of(data, parts)
    for warning in warnings:
        context.log(f"note: {warning}")
    return _Run(context, options, data, parts, opened, State.unpacked(context.restored()), warnings)


def _given(context: Context, task: FineTuneTask) -> dict[str, LabelledRows]:
    with context.input() as file:
        content = file.read()
    try:
        given = FineTuneRows.model_validate_json(content, strict=True)
    except ValidationError as error:
        told = describe_validation(error)
        raise Unprocessable(f"the rows cannot be trained on: {told}", code="invalid_field") from None
    parts = {part: rows for part in PARTS if (rows := getattr(given, part)) is not None}
    found = sum(len(rows.inputs) for rows in parts.values())
    if found != task.rows:
        # As many as were said have been counted by what the account may have in a day.
        raise Unprocessable(f"there are {found:,} inputs, and rows={task.rows} was said", code="wrong_rows")
    return parts


def check_weights(options: FineTuneOptions, data: Data) -> None:
    """Refuse weights of labels that there are not.

    Raises:
        Unprocessable: Code `unknown_label`.
    """
    if isinstance(options.class_weights, dict) and (
        unknown := sorted(options.class_weights.keys() - set(data.labels))
    ):
        raise Unprocessable(
            f"class_weights names {unknown[0][:100]!r}, which no training row has; the labels are "
            f"{', '.join(data.labels[:20]) or 'none, with the loss mse'}",
            code="unknown_label",
            param="class_weights",
        )


def _features(work: _Run) -> Source:
    context, parts = work.context, work.parts
    if work.opened is not None:
        if work.state.rows > 0:
            context.log(f"goes on after {work.state.rows:,} embeddings")
        rows = embed(context, work.opened, parts, work.state)
        _count(work, len(rows))
        return recipes.from_embeddings(work.opened.base, rows, parts)
    if work.data.kind == "columns":
        return recipes.from_columns(work.data, parts)
    total = sum(map(len, parts.values()))
    context.begin(0, total, unit="text")
    return recipes.from_texts(work.data, parts, each=lambda done: context.progress(done, total))


def _count(work: _Run, rows: int) -> None:
    opened = work.opened
    if opened is not None:
        asked = {work.context.caller.account_id: Asked(calls=1, rows=rows)}
        key = (opened.target.exact, opened.target.version, opened.loaded.runner.device)
        work.context.counted[key] = Measured(evaluations=asked)


def _train(work: _Run, fit: Fit[Any], optimizer: OptimizerName) -> None:
    context, epochs = work.context, work.options.epochs
    if work.state.fit:
        fit.restore(work.state.fit, optimizer)
        context.log(f"goes on after epoch {len(fit.curve)}")
    context.begin(len(fit.curve), epochs, unit="epoch")
    while not fit.ended:
        fit.run_epoch(each=context.check)
        _tell(work, fit)
        context.save(lambda: _packed(work.state, fit), done=len(fit.curve))
        context.progress(len(fit.curve), epochs)
    work.curve = _curve(fit)
    ended = f"stopped early, best epoch {fit.best_epoch}" if fit.stopped_early else "all epochs seen"
    context.log(f"{ended}; the loss is {fit.curve[fit.best_epoch - 1].loss:.4g}")


def _packed(state: State, fit: Fit[Any]) -> bytes:
    state.fit = fit.packed()
    return state.packed()


def _tell(work: _Run, fit: Fit[Any]) -> None:
    curve = thinned(_curve(fit), _MOST_POINTS_TOLD)
    told = TrainingProgress(curve=curve, warnings=work.warnings)
    work.context.tell(told.model_dump(mode="json"))


def _curve(fit: Fit[Any]) -> list[TrainingPoint]:
    return [
        TrainingPoint(
            epoch=point.epoch,
            loss=point.loss,
            validation_loss=point.validation_loss,
            learning_rate=point.learning_rate,
            validation_accuracy=point.validation_accuracy,
        )
        for point in fit.curve
    ]


def _measure(
    work: _Run, outputs: Mapping[str, NDArray[np.float64]], *, is_early: bool
) -> tuple[str, Evaluation] | None:
    """Measure on the test rows, or where there are none on those for validation."""
    part = next((each for each in ("test", "validation") if each in work.parts), None)
    if part is None:
        return None
    given, targets = outputs[part], work.parts[part].targets
    rows = Valued(given[:, 0], targets) if work.data.is_regression else Classified.of(given, targets)
    # Whose figures these are is known once there is a version.
    subject = Subject(work.options.name, 0, "", "cpu", task_of(work.data), work.data.labels, "")
    drawn, context = count(), work.context
    context.begin(0, RESAMPLES, unit="bootstrap sample")
    found = summarise(rows, subject, each=lambda: context.progress(next(drawn), RESAMPLES))
    if part == "validation" and is_early:
        note = (
            "these rows also chose the epoch that was kept, which flatters them a little; give test rows for "
            "figures that nothing was decided by"
        )
        found = found.model_copy(update={"notes": [*found.notes, note]})
    return part, found


def _published(  # noqa: PLR0917 - what a result tells of
    work: _Run,
    source: Source,
    fit: Fit[Any],
    package: bytes,
    measured: tuple[str, Evaluation] | None,
    proved: tuple[int, float],
) -> FineTune:
    context, opened = work.context, work.opened
    base = None
    if opened is not None:
        target = opened.target
        still_there(context, target.exact, str(target.version), target.digest)
        base = FineTuneBase(model=target.exact, version=target.version, digest=target.digest)
    options = work.options.model_dump(mode="json", exclude={"notes", "visibility", "set_default"})
    options["learning_rate"] = recipes.rate_of(work.options, source)
    options["optimizer"] = recipes.optimizer_of(work.options, source)
    rows = {part: len(each) for part, each in work.parts.items()}
    sha256 = work.data.sha256
    lineage = lineage_of(
        context.claim.job_id, base, sha256, rows, options, work.curve, fit.best_epoch, measured
    )
    version, is_new = publish(
        context,
        work.options.name,
        package,
        query_of(work.options, lineage),
        base=opened.target if opened else None,
    )
    of_version = {"model": version.model, "version": version.version, "digest": version.digest}
    context.begin(sum(rows.values()), sum(rows.values()), unit="row")
    return FineTune(
        **of_version,
        is_new=is_new,
        base=base,
        task=version.task,
        features=source.name,
        labels=list(work.data.labels),
        rows=rows,
        data_sha256=sha256,
        options=options,
        curve=work.curve,
        best_epoch=fit.best_epoch,
        stopped_early=fit.stopped_early,
        evaluated_on=measured and measured[0],
        evaluation=measured and measured[1].model_copy(update=of_version),
        verified_rows=proved[0],
        largest_difference=proved[1],
        warnings=[*work.warnings, _WITHHELD] if version.withheld else work.warnings,
    )
