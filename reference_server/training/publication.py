"""The version that a fine-tune becomes, with all that tells how it was made."""

from __future__ import annotations

import io
import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from maas_client.types import MAX_LINEAGE_BYTES, PublishQuery
from reference_server.registry import audit, names, publishing
from reference_server.runtime.probe import probe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from maas_client.types import Evaluation, FineTuneBase, TrainingOptions, TrainingPoint, Version
    from reference_server.jobs.context import Context
    from reference_server.registry.versions import ServingTarget

# What of a curve is kept with a version: its shape.
_MOST_POINTS = 40
_DIGITS = 6


def query_of(options: TrainingOptions, lineage: Mapping[str, JsonValue] | None = None) -> PublishQuery:
    """Return the publish that a fine-tune ends with."""
    return PublishQuery.model_validate(
        {
            "notes": options.notes,
            "visibility": options.visibility,
            "set_default": options.set_default,
            "origin": "trained",
            "lineage": json.dumps(lineage or {}),
        }
    )


def publish(
    context: Context,
    package: bytes,
    options: TrainingOptions,
    lineage: Mapping[str, JsonValue],
    *,
    base: ServingTarget | None,
) -> tuple[Version, bool]:
    """Publish a package for a job's account, as a call would; see `publishing.publish`."""
    services, caller = context.services, context.caller
    with services.database.read() as session:
        before = names.find(session, caller, options.name)
    found, is_new = publishing.publish(
        services.database,
        services.artifacts,
        caller,
        options.name,
        io.BytesIO(package),
        query=query_of(options, lineage),
        inspect=probe,
        max_bytes=services.settings.max_package_bytes,
        base=None if base is None else (base.model_id, base.version),
    )
    if is_new:
        _tell(context, options, found, is_first=before is None)
    return found, is_new


def lineage_of(  # noqa: PLR0917 - what is told
    job: str,
    base: FineTuneBase | None,
    data_sha256: str,
    rows: Mapping[str, int],
    options: Mapping[str, JsonValue],
    curve: Sequence[TrainingPoint],
    best_epoch: int,
    measured: tuple[str, Evaluation] | None,
) -> dict[str, JsonValue]:
    """Return what is told of how a version was made; of what would be too much, the shape."""
    told: dict[str, Any] = {
        "job": job,
        "base": base and base.model_dump(mode="json"),
        "data_sha256": data_sha256,
        "rows": dict(rows),
        "options": dict(options),
        "best_epoch": best_epoch,
        "curve": [_point(point) for point in thinned(curve, _MOST_POINTS)],
        "software": {name: version(name) for name in ("numpy", "onnx")},
    }
    if measured is not None:
        part, evaluation = measured
        told["measured_on"] = part
        told["metrics"] = {
            metric.name: {"value": metric.value, "interval": metric.interval} for metric in evaluation.metrics
        }
        told["calibration"] = [
            [each.rows, each.confidence, each.accuracy] for each in evaluation.calibration or []
        ]
    if len(json.dumps(told)) > MAX_LINEAGE_BYTES and isinstance(
        weights := options.get("class_weights"), dict
    ):
        told["options"]["class_weights"] = f"of {len(weights):,} labels"
    return told


def thinned(curve: Sequence[TrainingPoint], most: int) -> list[TrainingPoint]:
    """Return evenly chosen points of a curve, the last among them."""
    step = -(-len(curve) // most) or 1
    return list(curve[::-1][::step][::-1])


def _point(point: TrainingPoint) -> list[float | None]:
    loss = point.validation_loss
    return [
        point.epoch,
        round(point.loss, _DIGITS),
        None if loss is None else round(loss, _DIGITS),
    ]


def _tell(context: Context, options: TrainingOptions, found: Version, *, is_first: bool) -> None:
    """Write into the audit log what the pipeline writes for a publish by a call."""
    database, caller = context.services.database, context.caller
    acts = ["version_published"]
    acts += ["model_made"] * is_first + ["alias_moved"] * options.set_default
    with database.write() as session:
        row = names.visible(session, caller, found.model).row
        for act in acts:
            audit.record(
                session,
                audit.Act(
                    act,  # type: ignore[arg-type] # of the three above
                    account=row.account_id,
                    actor=caller.account_id,
                    subject=row.id,
                    version=found.version,
                    personal=audit.Personal(model=found.model),
                ),
            )
