"""Advice of a `FakeMaas`: the model's function and its variants timed beside each other, for real.

What is recommended, and why, is decided by the code by which a server decides it.
"""

from __future__ import annotations

import os
import platform
from time import perf_counter
from typing import TYPE_CHECKING, Any

from maas_client import _advice_choice as choice
from maas_client._fake_bench import Bench, NotMeasuredError, digest_of
from maas_client._fake_models import new_version
from maas_client._fake_predictions import check
from maas_client.errors import ConflictError, MaasError, UnprocessableError
from maas_client.types import Advice, AdviceApply, AdviceMachine, AdviceRequest, NotMeasured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client._fake_calls import RecordedCall
    from maas_client._fake_world import FakeModel, Handler, World
    from maas_client.types import AdviceRecommendation, AdviceVariant

KIND = "advise"
_WARNING = (
    "Made by FakeMaas: functions were timed in this process, and memory is what Python allocated meanwhile; "
    "nothing was loaded, no package was looked at, and digests are of names."
)
# As a server asks for: the original and each variant run the whole sample, and then parts of it for time.
_RUNS_OF_EACH_ROW = 10
_MOST_AGAIN = 2


def _advise(world: World, made: RecordedCall) -> object:
    model, number = world.asked(made)
    asked = AdviceRequest.model_validate(made.json)
    _check(model, asked)
    began = perf_counter()
    rows = asked.inputs or [model.versions[number - 1]["manifest"]["example"]]
    told = model.told(number)
    bench = Bench(
        original=model.run(number),
        digest=told["digest"],
        rows=rows,
        targets=asked.targets,
        budget=asked.budget,
        seconds=asked.time_budget_seconds / (len(model.variants) + _MOST_AGAIN),
    )
    variants, left_out = _measured(model, bench)
    recommendation = _decided(model, bench, variants, asked)
    variants[0] = bench.as_it_is()
    advice = Advice(
        **told,
        task=model.description["task"],
        objective=asked.objective,
        max_quality_loss=asked.max_quality_loss,
        machine=_machine(),
        sample_rows=len(asked.inputs),
        rows_run=bench.rows_run,
        seconds=perf_counter() - began,
        variants=choice.front(variants),
        not_measured=left_out,
        recommendation=recommendation,
        warnings=[_WARNING],
    )
    result = advice.model_dump(mode="json")
    interim = {name: result[name] for name in ("variants", "warnings")}
    return world.done(KIND, result, total=len(model.variants), unit="setting", interim=interim)


def _check(model: FakeModel, asked: AdviceRequest) -> None:
    """Refuse what a server refuses."""
    check(asked.inputs, model.inputs, many=True, field="inputs")
    rows = len(asked.inputs)
    if asked.targets is not None and len(asked.targets) != rows:
        told = f"there are {rows:,} inputs and {len(asked.targets):,} targets"
        raise UnprocessableError(told, code="wrong_length", param="targets")
    if asked.budget < (needed := _RUNS_OF_EACH_ROW * rows):
        told = f"a sample of {rows:,} rows takes a budget of at least {needed:,}"
        raise UnprocessableError(told, code="budget_too_small", param="budget")


def _measured(model: FakeModel, bench: Bench) -> tuple[list[AdviceVariant], list[NotMeasured]]:
    variants, left_out = [bench.as_it_is()], []
    for name, answer in model.variants.items():
        try:
            variants.append(bench.beside(name, model.running(answer)))
        except (NotMeasuredError, MaasError) as error:
            left_out.append(NotMeasured(name=name, reason=str(error)))
    variants[0] = bench.as_it_is()
    return variants, left_out


def _decided(
    model: FakeModel, bench: Bench, variants: list[AdviceVariant], asked: AdviceRequest
) -> AdviceRecommendation:
    """Measure what seems best once more, as a server does, and recommend it if it is."""
    loss, rows, tried = asked.max_quality_loss, len(asked.inputs), []
    found = choice.ranked(variants, asked.objective, max_quality_loss=loss, sample_rows=rows)
    for before in found[:_MOST_AGAIN]:
        try:
            again = bench.beside(before.name, model.running(model.variants[before.name]), known=before)
        except NotMeasuredError:
            break
        variants[variants.index(before)] = again
        if choice.is_certain(again, variants[0], asked.objective):
            return choice.recommended(again, variants[0], asked.objective)
        tried.append(again)
    return choice.left_as_it_is(
        variants, asked.objective, max_quality_loss=loss, sample_rows=rows, tried=tried
    )


def _machine() -> AdviceMachine:
    return AdviceMachine(
        cores=os.cpu_count() or 1, architecture=platform.machine(), devices=["cpu"], onnxruntime="none"
    )


def _apply(world: World, made: RecordedCall) -> object:
    job, asked = world.job(made.parts["job"]), AdviceApply.model_validate(made.json)
    if job["kind"] != KIND:
        told = f"the job is of the kind {job['kind']!r}; advice is applied, of the kind {KIND!r}"
        raise UnprocessableError(told, code="not_advice", param="job")
    advice = Advice.model_validate(job["result"])
    variant, model = _chosen(advice, asked.variant), world.model(advice.model)
    digest = f"sha256:{digest_of(advice.digest, variant.name)}"
    known = next((each["version"] for each in model.versions if each["digest"] == digest), None)
    result = {
        "model": advice.model,
        "version": known or _published(model, advice, variant, digest, asked.notes),
        "digest": digest,
        "is_new": known is None,
        "parent": advice.version,
        "variant": variant.name,
    }
    return world.done("apply-advice", result, total=1, unit="step")


def _chosen(advice: Advice, name: str | None) -> AdviceVariant:
    wanted = name or advice.recommendation.variant
    if wanted is None:
        told = f"nothing is recommended ({advice.recommendation.reason}); name a variant to apply it still"
        raise ConflictError(told, code="nothing_recommended")
    found = next((each for each in advice.variants if each.name == wanted), None)
    if found is None or not found.applicable:
        there = ", ".join(each.name for each in advice.variants if each.applicable) or "none"
        code = "unknown_variant" if found is None else "variant_not_applicable"
        raise UnprocessableError(f"{wanted!r} cannot be applied, but {there}", code=code, param="variant")
    return found


def _published(model: FakeModel, advice: Advice, variant: AdviceVariant, digest: str, notes: str) -> int:
    """Make a variant the next version, which no alias points to, and return its number."""
    told, derived = model.description, f"derived from {advice.version}: {variant.title}"
    made: dict[str, Any] = {
        **new_version(told["name"], len(model.versions) + 1, told["task"], told["labels"], model.inputs),
        "digest": digest,
        "notes": notes or derived,
        "origin": "quantized",
        "parent": advice.version,
        "lineage": {
            "derived_from": derived,
            "variant": variant.name,
            "measured": variant.model_dump(mode="json"),
        },
    }
    return model.published(made, model.variants[variant.name])


ROUTES: Mapping[str, Handler] = {
    "POST /v1/models/{model}/advice": _advise,
    "POST /v1/models/{model}/versions/{version}/advice": _advise,
    "POST /v1/jobs/{job}/apply": _apply,
}
