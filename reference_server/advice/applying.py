"""A variant of an advice as a new version of the same model: a job makes it anew and publishes it.

What was measured is what is published: a graph that does not come out the same, to the byte, is refused.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

from pydantic import Field

from maas_client._advice_choice import ORIGINAL
from maas_client._package import GRAPH, pack
from maas_client.types import (
    Advice,
    AdviceMachine,
    AdviceSetting,
    AdviceVariant,
    AppliedAdvice,
    Metric,
    PublishQuery,
    Request,
)
from maas_client.types.fields import Notes  # noqa: TC001 - pydantic reads it
from reference_server.advice import job as advising
from reference_server.advice.graphs import CannotBeMade
from reference_server.advice.making import make
from reference_server.advice.settings import changes_of
from reference_server.errors import Conflict, Unprocessable
from reference_server.jobs.models import find_version
from reference_server.jobs.publications import publish
from reference_server.loadables import loadable
from reference_server.manifest_files import manifest_file
from reference_server.registry import publishing

if TYPE_CHECKING:
    from pydantic import JsonValue

    from maas_client._package import Package
    from maas_client.types import AdviceQuality, JobReply, Manifest, Serving
    from reference_server.jobs.context import Context

KIND = "apply-advice"
_DATASET = "sample of an advice"
_STEPS = 2


class ApplyTask(Request):
    """What such a job is asked."""

    advice: str = Field(description="The id of the job that measured.")
    digest: str = Field(description="Of the version that it measured.")
    original: AdviceSetting
    variant: AdviceVariant
    machine: AdviceMachine
    notes: Notes = ""


def task_of(job: JobReply, variant: str | None, notes: str) -> ApplyTask:
    """Return what is to be done to apply an advice.

    Args:
        job: The job that measured.
        variant: The name of the variant; the recommended one when None.
        notes: What is new in the version.

    Raises:
        Unprocessable: With code `not_advice`, `unknown_variant` or `variant_not_applicable`.
        Conflict: With code `advice_not_ready` or `nothing_recommended`.
    """
    if job.kind != advising.KIND:
        raise Unprocessable(
            f"the job is of the kind {job.kind!r}; advice is applied, which jobs of the kind "
            f"{advising.KIND!r} make",
            code="not_advice",
            param="job",
        )
    if job.state != "succeeded" or job.result is None:
        raise Conflict(
            f"the job is {job.state}; an advice can be applied when its job has succeeded",
            code="advice_not_ready",
        )
    advice = Advice.model_validate(job.result)
    found = _chosen(advice, variant)
    return ApplyTask(
        advice=job.id,
        digest=advice.digest,
        original=advice[ORIGINAL].setting,
        variant=found,
        machine=advice.machine,
        notes=notes or derived_from(advice.version, found),
    )


def derived_from(version: int, variant: AdviceVariant) -> str:
    """Return in words what a version is: `derived from 3: weight-only int8`."""
    return f"derived from {version}: {variant.title}"


def query_of(task: ApplyTask, version: int) -> PublishQuery:
    """Return the publish that an apply ends with; it moves no alias."""
    return PublishQuery.model_validate(
        {
            "notes": task.notes,
            "parent": version,
            "origin": "tuned" if _keeps_weights(task) else "quantized",
            "lineage": json.dumps(_lineage(task, version)),
        }
    )


def run(context: Context) -> AppliedAdvice:
    """Make the variant, and publish it.

    Raises:
        ServiceError: The version is gone or another, the account may not publish, or the variant does not
            come out as it was measured.
    """
    task = ApplyTask.model_validate(context.request)
    claim, services = context.claim, context.services
    target = find_version(context, claim.model or "", str(claim.version), digest=task.digest)
    query = query_of(task, target.version)
    # What was withdrawn meanwhile is told before the work and not after it.
    publishing.check(services.database, services.artifacts, context.caller, target.exact, query)
    context.begin(0, _STEPS, unit="step")
    with loadable(target, services.database, services.artifacts, {}).open_package() as package:
        content = package_of(package, task)
    context.progress(1, _STEPS)
    version, is_new = publish(context, target.exact, content, query, base=target)
    context.progress(_STEPS, _STEPS)
    return AppliedAdvice(
        model=version.model,
        version=version.version,
        digest=version.digest,
        is_new=is_new,
        parent=target.version,
        variant=task.variant.name,
    )


def package_of(package: Package, task: ApplyTask) -> bytes:
    """Return the package of a variant, a zip.

    Raises:
        Conflict: With code `advice_outdated`: its graph does not come out as it was measured.
    """
    graph = package.read(GRAPH)
    if not _keeps_weights(task):
        weights = task.variant.setting.weights
        made = make(graph, [weights])[weights]
        if isinstance(made, CannotBeMade):
            raise _outdated(str(made)) from made
        graph = made
    if hashlib.sha256(graph).hexdigest() != task.variant.graph_sha256:
        raise _outdated("the graph comes out otherwise than it was measured")
    files = {name: package.read(name) for name in package.sizes}
    return pack({**files, **manifest_file(_manifest(package.manifest, task)), GRAPH: graph})


def _chosen(advice: Advice, name: str | None) -> AdviceVariant:
    wanted = name or advice.recommendation.variant
    if wanted is None:
        raise Conflict(
            f"nothing is recommended ({advice.recommendation.reason}); name a variant to apply it still",
            code="nothing_recommended",
        )
    found = next((each for each in advice.variants if each.name == wanted), None)
    if found is None:
        there = ", ".join(each.name for each in advice.variants if each.applicable)
        raise Unprocessable(
            f"the advice has no variant {wanted[:64]!r}; it can apply {there or 'none'}",
            code="unknown_variant",
            param="variant",
        )
    if not found.applicable:
        why = "; ".join(found.notes) or "it is the version as it is"
        raise Unprocessable(
            f"{found.name} cannot be applied: {why}", code="variant_not_applicable", param="variant"
        )
    return found


def _manifest(manifest: Manifest, task: ApplyTask) -> Manifest:
    """Return the variant's manifest: metrics of other weights are not its own."""
    metrics = manifest.metrics
    if not _keeps_weights(task):
        quality = task.variant.quality
        metrics = [] if quality is None else _metrics(quality)
    return manifest.model_copy(update={"serving": _serving(manifest.serving, task), "metrics": metrics})


def _metrics(quality: AdviceQuality) -> list[Metric]:
    return [
        Metric(name=each.name, value=each.variant, dataset=_DATASET, rows=quality.rows)
        for each in quality.metrics
    ]


def _serving(serving: Serving, task: ApplyTask) -> Serving:
    changes = changes_of(task.original, task.variant.setting)
    setting, update = task.variant.setting, dict[str, object]()
    if "lanes" in changes:
        update["lanes"] = setting.lanes
    if "intra_op_threads" in changes:
        update["intra_op_threads"] = setting.intra_op_threads
    if "device" in changes:
        update["provider"] = setting.device.partition(":")[0]
    if "batch_rows" in changes:
        update["batching"] = setting.batch_rows > 1
        update["max_batch_rows"] = setting.batch_rows
    return serving.model_copy(update=update)


def _keeps_weights(task: ApplyTask) -> bool:
    return task.variant.setting.weights == task.original.weights


def _lineage(task: ApplyTask, version: int) -> dict[str, JsonValue]:
    """Return what is told of how a version was made: from what, as what, and what was measured of it."""
    variant = task.variant
    measured = {"p50_ms", "p99_ms", "throughput_rows_per_second", "memory_bytes", "latency", "time_per_row"}
    return {
        "derived_from": derived_from(version, variant),
        "job": task.advice,
        "base": {"version": version, "digest": task.digest},
        "variant": variant.name,
        "setting": variant.setting.model_dump(mode="json"),
        "measured": variant.model_dump(mode="json", include={*measured, "quality"}),
        "machine": task.machine.model_dump(mode="json"),
        "software": {"onnx": installed("onnx"), "onnxruntime": task.machine.onnxruntime},
    }


def _outdated(why: str) -> Conflict:
    return Conflict(
        f"{why}; the server's software has changed since: ask for the advice anew", code="advice_outdated"
    )
