"""The version that a fine-tune becomes, with all that tells how it was made."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from maas_client.types import MAX_LINEAGE_BYTES, PublishQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from maas_client.types import Evaluation, FineTuneBase, TrainingOptions, TrainingPoint

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
