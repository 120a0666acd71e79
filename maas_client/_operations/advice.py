"""Calls that have a version measured in other settings, and apply what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._operations import _names
from maas_client._operations._contract import build, encode, reader
from maas_client._operations._operation import Operation, fill
from maas_client._operations.predict import as_json, instance_json
from maas_client.types import AdviceApply, AdviceRequest, JobReply, StaticAdvice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client.types import AdviceObjective

_ADVICE = "/v1/models/{model}/advice"
_ADVICE_VERSION = "/v1/models/{model}/versions/{version}/advice"
_APPLY = "/v1/jobs/{job}/apply"
KIND = "advise"
TIMEOUT = 60.0
_read_job = reader(JobReply)


def advise(
    model: str,
    sample: Sequence[Mapping[str, object]],
    targets: Sequence[object] | None,
    *,
    version: int | str | None,
    objective: AdviceObjective,
    max_quality_loss: float,
    time_budget: float,
    budget: int,
    parameters: Mapping[str, object] | None,
) -> Operation[JobReply]:
    """Ask for a job that measures.

    Raises:
        ArgumentError: An option is not one of the contract, or a row cannot be sent.
    """
    options = build(
        AdviceRequest,
        objective=objective,
        max_quality_loss=max_quality_loss,
        time_budget_seconds=time_budget,
        budget=budget,
    )
    told = options.model_dump(mode="json", include=options.model_fields_set)
    if parameters:
        told["parameters"] = dict(parameters)
    if targets is not None:
        told["targets"] = list(targets)
    rows = b",".join(instance_json(row, what=f"sample[{index}]") for index, row in enumerate(sample))
    name = _names.model(model)
    if version is None:
        template, path = _ADVICE, fill(_ADVICE, model=name)
    else:
        template = _ADVICE_VERSION
        path = fill(template, model=name, version=_names.selector(version))
    return Operation(
        method="POST",
        template=template,
        path=path,
        body=as_json(told, "an option")[:-1] + b',"inputs":[' + rows + b"]}",
        read=_read_job,
        # Each would make a job of its own; the key lets the server tell a repeat.
        repeatable=False,
        keyed=True,
        timeout=TIMEOUT,
    )


def apply(job: str, *, variant: str | None, notes: str) -> Operation[JobReply]:
    """Ask for the job that publishes a variant as a new version."""
    request = build(AdviceApply, variant=variant, notes=notes or None)
    return Operation(
        method="POST",
        template=_APPLY,
        path=fill(_APPLY, job=_names.identifier(job)),
        body=encode(request),
        read=_read_job,
        repeatable=False,
        keyed=True,
    )


def look(model: str, version: int | str) -> Operation[StaticAdvice]:
    """Ask what a look at a version's package shows, without running it."""
    path = fill(_ADVICE_VERSION, model=_names.model(model), version=_names.selector(version))
    return Operation(method="GET", template=_ADVICE_VERSION, path=path, read=reader(StaticAdvice))
