"""Advice as a job: a version and its variants measured in this process, and what follows from it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field, JsonValue, ValidationError

from maas_client import _advice_choice as choice
from maas_client._package import GRAPH
from maas_client.errors import describe_validation
from maas_client.types import (
    Advice,
    AdviceMachine,
    AdviceObjective,
    AdviceProgress,
    AdviceSetting,
    Request,
)
from reference_server.advice.findings import look
from reference_server.advice.hardware import elsewhere
from reference_server.advice.measuring import Bench
from reference_server.advice.sample import Sample
from reference_server.advice.trials import Meter
from reference_server.errors import Unavailable, Unprocessable
from reference_server.evaluation.targets import targets_for
from reference_server.evaluation.work import decode
from reference_server.jobs.models import find_version
from reference_server.loadables import loadable, operators_options
from reference_server.metrics import Asked, Measured
from reference_server.registry import packages, versions
from reference_server.runtime.pool import estimate_memory, model_unloaded
from reference_server.runtime.runner import ExecutionProviderError
from reference_server.runtime.tasks import build_task
from reference_server.settings import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maas_client._package import Package
    from maas_client.types import AdviceRequest, AdviceVariant, Serving, Version
    from reference_server.jobs.context import Context
    from reference_server.registry.versions import ServingTarget
    from reference_server.runtime.execution_providers import ExecutionProvider

KIND = "advise"
# What was shared when a job began may be withdrawn while it runs.
_LOOK_SECONDS = 0.5
# Two sessions of it are loaded at a time.
_SESSIONS = 2
_BUSY = 0.5
_FEW_CALLS = 100
_RUNS_OF_EACH_ROW = 10


class AdviceTask(Request):
    """What such a job is asked; its sample is in its artifact."""

    objective: AdviceObjective
    max_quality_loss: float
    time_budget_seconds: float
    budget: int
    rows: int = Field(ge=0, description="How many rows the sample has.")
    digest: str = Field(description="Of the version that was meant.")


class AdviceSample(Request):
    """The sample of such a job, as it was sent."""

    inputs: list[dict[str, JsonValue]] = Field(default_factory=list)
    targets: list[JsonValue] | None = None
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


@dataclass(slots=True)
class _Watch:
    """Hears whether a job is to end, and now and then whether its account still sees the version."""

    context: Context
    task: AdviceTask
    looked: float = field(init=False)

    def __post_init__(self) -> None:
        self.looked = self.context.timer()

    def __call__(self) -> None:
        context = self.context
        context.check()
        if context.timer() - self.looked >= _LOOK_SECONDS:
            _target(context, self.task)
            self.looked = context.timer()


def check(asked: AdviceRequest) -> None:
    """Refuse what could not be measured, before there is a job.

    Raises:
        Unprocessable: With code `wrong_length` or `budget_too_small`.
    """
    rows = len(asked.inputs)
    if asked.targets is not None and len(asked.targets) != rows:
        raise Unprocessable(
            f"there are {rows:,} inputs and {len(asked.targets):,} targets; send one target for each input, "
            "in the same order",
            code="wrong_length",
            param="targets",
        )
    if asked.budget < (needed := _RUNS_OF_EACH_ROW * rows):
        raise Unprocessable(
            f"a sample of {rows:,} rows takes a budget of at least {needed:,}: each is run by the original "
            "and by each change of weights, and then for its time; raise the budget, or send fewer rows",
            code="budget_too_small",
            param="budget",
        )


def run(context: Context) -> Advice:
    """Measure a version and its variants.

    Raises:
        ServiceError: The version is gone, or cannot run the sample.
    """
    task = AdviceTask.model_validate(context.request)
    given = _given(context)
    target = _target(context, task)
    if target.unloaded:
        raise model_unloaded()
    version = versions.get(context.services.database, context.caller, target.exact, str(target.version))
    services = context.services
    busy = _busy()
    meter = Meter(task.budget, _Watch(context, task))
    with loadable(target, services.database, services.artifacts, {}).open_package() as package:
        _require_room(context, package)
        overrides = operators_options(services.settings, target)
        serving = package.manifest.serving.model_copy(update=overrides)
        provider = services.pool.provider(serving.provider or "auto")
        bench = Bench(
            package=package,
            graph=package.read(GRAPH),
            provider=_providers(context, provider),
            sample=_sample(package, version, given, provider, target.batch_invariant),
            meter=meter,
            timer=context.timer,
            cores=usable_cores(),
            overridden=frozenset(overrides),
            seconds=task.time_budget_seconds,
        )
        try:
            return _advice(context, task, target, version, bench, _setting(context, serving, provider), busy)
        finally:
            context.spent = meter.rows


def _advice(  # noqa: PLR0917 - what an advice is made of
    context: Context,
    task: AdviceTask,
    target: ServingTarget,
    version: Version,
    bench: Bench,
    setting: AdviceSetting,
    busy: float | None,
) -> Advice:
    began = context.timer()
    bench.begin(setting, batch_invariant=target.batch_invariant)
    try:
        machine = _machine(context, bench, busy)
        warnings = _warnings(bench, machine)
        for warning in warnings:
            context.log(f"note: {warning}")
        variants = _measured(context, bench, machine, warnings)
        loss = task.max_quality_loss
        if (both := bench.together(variants, task.objective, max_quality_loss=loss)) is not None:
            variants.append(both)
        variants[0] = bench.original_variant()
        recommendation = bench.decide(variants, task.objective, max_quality_loss=loss)
        variants[0] = bench.original_variant()
    finally:
        bench.close()
    _target(context, task)
    _count(context, target, bench)
    context.log(recommendation.reason)
    names = packages.may_download(context.services.database, context.caller, target.exact, target.version)
    _, _, findings = look(bench.package, names=names)
    reasons = {each.name: each.reason for each in bench.not_measured}
    few = [f"{variants[0].calls} calls of the original are few: their 99th percentile is their slowest"]
    total = len(variants) + len(bench.not_measured)
    context.begin(total, total, unit="setting")
    return Advice(
        model=target.model,
        version=target.version,
        digest=target.digest,
        task=version.task,
        objective=task.objective,
        max_quality_loss=loss,
        machine=machine,
        sample_rows=len(bench.sample),
        rows_run=bench.meter.rows,
        seconds=round(context.timer() - began, 3),
        variants=choice.front(variants),
        not_measured=bench.not_measured,
        recommendation=recommendation,
        hardware=elsewhere(variants, machine, reasons, version.performance),
        findings=findings,
        warnings=[*warnings, *(few if variants[0].calls < _FEW_CALLS else [])],
    )


def _measured(
    context: Context, bench: Bench, machine: AdviceMachine, warnings: Sequence[str]
) -> list[AdviceVariant]:
    """Measure one setting after the other, telling what is known."""
    wanted = bench.candidates(machine.devices)
    variants = [bench.original_variant()]
    context.begin(0, len(wanted), unit="setting")
    for number, found in enumerate(bench.measure(wanted), 1):
        if found is not None:
            variants.append(found)
        variants[0] = bench.original_variant()
        told = AdviceProgress(variants=variants, warnings=list(warnings))
        context.tell(told.model_dump(mode="json"))
        context.progress(number, len(wanted))
    return variants


def _given(context: Context) -> AdviceSample:
    with context.input() as file:
        content = file.read()
    try:
        return AdviceSample.model_validate_json(content)
    except ValidationError as error:
        told = describe_validation(error)
        raise Unprocessable(f"the sample cannot be used: {told}", code="invalid_field") from None


def _target(context: Context, task: AdviceTask) -> ServingTarget:
    claim = context.claim
    return find_version(context, claim.model or "", str(claim.version), digest=task.digest)


def _require_room(context: Context, package: Package) -> None:
    """Refuse what does not fit into memory twice."""
    needed, budget = _SESSIONS * estimate_memory(package), context.services.pool.memory[2]
    if needed > budget:
        raise Unavailable(
            f"the original and a variant take about {needed:,} bytes together, more than the server's budget "
            f"of {budget:,}; its operator can raise memory_budget_bytes",
            code="model_too_large",
            should_retry=False,
        )


def _setting(context: Context, serving: Serving, provider: ExecutionProvider) -> AdviceSetting:
    """Return how the version is served now."""
    settings = context.services.settings
    return AdviceSetting(
        device=provider.device,
        lanes=serving.lanes or settings.lanes,
        intra_op_threads=serving.intra_op_threads or settings.intra_op_threads,
        batch_rows=serving.max_batch_rows if serving.batching else 1,
    )


def _providers(context: Context, now: ExecutionProvider) -> Callable[[str], ExecutionProvider]:
    from reference_server.runtime.execution_providers import CPU

    def of(device: str) -> ExecutionProvider:
        if device == now.device:
            return now
        return CPU if device == CPU.device else context.services.pool.provider("cuda")

    return of


def _sample(
    package: Package,
    version: Version,
    given: AdviceSample,
    provider: ExecutionProvider,
    batch_invariant: bool | None,  # noqa: FBT001 - as it was found when it was published
) -> Sample:
    """Return the sample, checked as the version's own instances are.

    Raises:
        Unprocessable: Naming every row at fault.
    """
    from reference_server.runtime.sessions import OnnxRunner

    inputs = given.inputs or [package.manifest.example]
    runner = OnnxRunner(package.read(GRAPH), provider=provider, batch_invariant=batch_invariant)
    try:
        batch = decode(build_task(package, runner), inputs, given.parameters)
    finally:
        runner.close()
    targets = None
    if given.targets is not None:
        targets = targets_for(version.task, version.manifest.labels, given.targets, len(inputs))
    return Sample(batch, targets, is_given=bool(given.inputs))


def _machine(context: Context, bench: Bench, busy: float | None) -> AdviceMachine:
    import onnxruntime as ort

    devices = list(dict.fromkeys(["cpu", bench.original.setting.device]))
    if devices == ["cpu"]:
        try:
            devices.append(context.services.pool.provider("cuda").device)
        except ExecutionProviderError as error:
            bench.not_found("cuda", str(error))
    return AdviceMachine(
        cores=bench.cores,
        architecture=platform.machine(),
        devices=devices,
        onnxruntime=ort.__version__,
        busy=busy,
    )


def _busy() -> float | None:
    """Return the share of the cores that was busy in the last minute (getloadavg(3)); None on Windows."""
    if not hasattr(os, "getloadavg"):
        return None
    return round(os.getloadavg()[0] / usable_cores(), 2)


def _warnings(bench: Bench, machine: AdviceMachine) -> list[str]:
    warnings = []
    rows = bench.given_rows
    if not rows:
        warnings.append(
            "there is no sample: times are those of the manifest's example alone, and no change of weights "
            "is recommended; give rows such as your callers send"
        )
    elif rows < choice.LEAST_SAMPLE_ROWS:
        warnings.append(
            f"{rows} rows are few: no change of weights is recommended below {choice.LEAST_SAMPLE_ROWS}"
        )
    if machine.busy is not None and machine.busy > _BUSY:
        warnings.append(
            f"the machine was busy when this began ({machine.busy:.1f} processes for each core): pairs keep "
            "that out of ratios, and milliseconds and rows a second are worse than on an idle machine"
        )
    return warnings


def _count(context: Context, target: ServingTarget, bench: Bench) -> None:
    asked = {context.caller.account_id: Asked(calls=1, rows=bench.meter.rows)}
    key = (target.exact, target.version, bench.original.runner.device)
    context.counted[key] = Measured(evaluations=asked)
