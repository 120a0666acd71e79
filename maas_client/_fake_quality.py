"""What one function says beside another, in plain Python, as `FakeMaas` tells it in an advice.

The measures are a server's: labels, values, directions, and for other outputs whether they are the same.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev, pvariance
from typing import Any, TypeAlias

from maas_client._intervals import bootstrapped_mean, rate
from maas_client.types import AdviceMetric, AdviceQuality, Estimate

Answers: TypeAlias = Sequence[Mapping[str, Any]]

_VALUE_TOLERANCE, _LEAST_COSINE, _TENSOR_TOLERANCE = 0.01, 0.99, 1e-3
_METRICS = {"label": "accuracy", "value": "r_squared"}


def compared(original: Answers, variant: Answers, targets: Sequence[object] | None) -> AdviceQuality | None:
    """Hold what a variant says against what the original says, row by row.

    Args:
        original: What it said of each row; at least one.
        variant: Likewise of the same rows.
        targets: What is true of each, if that is known.

    Returns:
        None where the two cannot be compared: other outputs, or vectors of other lengths.
    """
    measure = _measure(original[0])
    pairs = list(zip(original, variant, strict=True))
    if any(_measure(each) != measure or a.keys() != each.keys() for a, each in pairs):
        return None
    if measure == "embedding" and any(len(a["embedding"]) != len(b["embedding"]) for a, b in pairs):
        return None
    rows = [_BY_MEASURE[measure](a, b) for a, b in pairs]
    agreed, shifts = [row[0] for row in rows], [row[1] for row in rows]
    metric = None if targets is None else _metric(measure, original, variant, targets)
    loss, loss_of, interval = _loss(measure, agreed, shifts, _unit(measure, original), metric)
    return AdviceQuality(
        measure=measure,
        rows=len(rows),
        agreement=fmean(agreed),
        agreement_interval=_edges(rate(sum(agreed), len(agreed))),
        largest_shift=max(shifts),
        mean_shift=fmean(shifts),
        loss=loss,
        loss_of=loss_of,
        loss_interval=interval,
        metrics=[] if metric is None else [metric],
    )


def _measure(said: Mapping[str, Any]) -> str:
    names = set(said)
    if names == {"label", "score", "scores"}:
        return "label"
    return next((name for name in ("value", "embedding") if names == {name}), "tensor")


def _labels(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[bool, float]:
    return a["label"] == b["label"], abs(b["scores"].get(a["label"], 0.0) - a["score"])


def _values(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[bool, float]:
    shift = abs(float(b["value"]) - float(a["value"]))
    return shift <= _VALUE_TOLERANCE * abs(float(a["value"])), shift


def _embeddings(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[bool, float]:
    one, other = a["embedding"], b["embedding"]
    lengths = math.hypot(*one) * math.hypot(*other)
    cosine = math.fsum(map(operator.mul, one, other)) / lengths if lengths else float(one == other)
    return cosine >= _LEAST_COSINE, max(0.0, 1 - cosine)


def _tensors(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[bool, float]:
    shift = max((_shift(a[name], b[name]) for name in a), default=0.0)
    return shift <= _TENSOR_TOLERANCE, shift


def _shift(a: Any, b: Any) -> float:  # noqa: ANN401 - any JSON
    """Return by how much two outputs differ at most; what is no number, or of another shape, by 1."""
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max(map(_shift, a, b), default=0.0)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(float(a) - float(b))
    return float(a != b)


_BY_MEASURE = {"label": _labels, "value": _values, "embedding": _embeddings, "tensor": _tensors}


def _metric(measure: str, a: Answers, b: Answers, targets: Sequence[object]) -> AdviceMetric | None:
    """Return accuracy or R², each a mean over rows; its interval is a bootstrap of the same rows for both."""
    if measure not in ("label", "value"):
        return None
    before, after = (_figures(measure, said, targets) for said in (a, b))
    if not before:
        return None
    apart = bootstrapped_mean([later - earlier for earlier, later in zip(before, after, strict=True)])
    return AdviceMetric(
        name=_METRICS[measure],
        original=fmean(before),
        variant=fmean(after),
        difference=fmean(after) - fmean(before),
        interval=_edges(apart),
    )


def _figures(measure: str, said: Answers, targets: Sequence[object]) -> list[float]:
    """Return for each row what the metric is the mean of; nothing where targets do not differ."""
    pairs = zip(said, targets, strict=True)
    if measure == "label":
        return [float(each["label"] == target) for each, target in pairs]
    variance = pvariance(float(str(target)) for target in targets)
    if not variance:
        return []
    return [1 - (float(each["value"]) - float(str(target))) ** 2 / variance for each, target in pairs]


def _loss(
    measure: str, agreed: Sequence[bool], shifts: Sequence[float], unit: float, metric: AdviceMetric | None
) -> tuple[float, str, tuple[float, float] | None]:
    """Return the loss, what it is of, and its interval."""
    if metric is not None:
        edges = metric.interval
        return -metric.difference, metric.name, edges and (-edges[1], -edges[0])
    if measure in ("label", "tensor"):
        differing = agreed.count(False)
        return differing / len(agreed), measure, _edges(rate(differing, len(agreed)))
    losses = [shift / unit for shift in shifts]
    return fmean(losses), measure, _edges(bootstrapped_mean(losses))


def _unit(measure: str, original: Answers) -> float:
    """Return in what shifts are told as losses: of values, their deviation, or of equal ones their size."""
    if measure != "value":
        return 1.0
    values = [float(each["value"]) for each in original]
    return pstdev(values) or max(map(abs, values)) or 1.0


def _edges(estimate: Estimate | None) -> tuple[float, float] | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.low, estimate.high
