"""Two versions compared on inputs of your own: `client.model(name).compare(3, 4, inputs, targets)`."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from maas_client import _intervals
from maas_client.errors import ArgumentError
from maas_client.types import Estimate, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maas_client.predictions import AnyPrediction, Outcome

_VALUE_TOLERANCE = 0.01
_LEAST_COSINE = 0.99
# With fewer, an interval of a rate is wider than any rule could use.
_FEW = 100


class VersionsCompared(Reply):
    """How two versions of a model compare on a sample.

    Args:
        a: The version to compare with.
        b: The version that is compared.
        rows: Instances that both answered.
        failed_a: Instances that a did not answer.
        failed_b: Instances that b did not answer.
        measure: What tells two answers apart: `label`, `value`, `embedding` or `outputs`.
        agreement: The fraction of rows that agree: the same label; a value within 1 %; vectors of a cosine
            of 0.99 or more; equal outputs.
        metric: What was measured against targets: `accuracy`, or `mean absolute error`.
        metric_a: Of a, on the rows that both answered.
        metric_b: Of b, on the same rows.
        metric_difference: b's less a's, with the interval of a paired bootstrap.
        latency_ratio: b's compute time over a's, the geometric mean over calls of the same rows.
        caveats: Where the sample is too small to rely on a figure.
    """

    a: int
    b: int
    rows: int
    failed_a: int
    failed_b: int
    measure: str | None = None
    agreement: Estimate | None = None
    metric: str | None = None
    metric_a: Estimate | None = None
    metric_b: Estimate | None = None
    metric_difference: Estimate | None = None
    latency_ratio: Estimate | None = None
    caveats: list[str] = Field(default_factory=list)


def compared(
    a: int,
    b: int,
    outcomes: tuple[Sequence[Outcome], Sequence[Outcome]],
    targets: Sequence[object] | None,
    seed: int,
) -> VersionsCompared:
    """Compare what two versions made of the same instances, in the same order."""
    ones, others = outcomes
    pairs = [
        (index, one.prediction, other.prediction)
        for index, (one, other) in enumerate(zip(ones, others, strict=True))
        if one.prediction is not None and other.prediction is not None
    ]
    measure = _measure(pairs[0][1]) if pairs else None
    agreed = [_agree(measure, one, other) for _, one, other in pairs]
    result = VersionsCompared(
        a=a,
        b=b,
        rows=len(pairs),
        failed_a=sum(each.prediction is None for each in ones),
        failed_b=sum(each.prediction is None for each in others),
        measure=measure,
        agreement=_intervals.rate(sum(agreed), len(agreed)),
        latency_ratio=_latency_ratio([(one, other) for _, one, other in pairs]),
        caveats=[f"{len(pairs):,} rows; with fewer than {_FEW} agreement says little"]
        if len(pairs) < _FEW
        else [],
    )
    if targets is None or not pairs:
        return result
    return result.model_copy(update=_against_targets(measure, pairs, targets, seed))


def checked_sample(
    instances: Iterable[Any], targets: Iterable[object] | None
) -> tuple[list[Any], list[object] | None]:
    """Return a sample as lists.

    Raises:
        ArgumentError: It is empty, or has another number of targets.
    """
    rows = list(instances)
    if not rows:
        raise ArgumentError("inputs is empty; pass some, such as [{'text': '…'}]")
    wanted = None if targets is None else list(targets)
    if wanted is not None and len(wanted) != len(rows):
        raise ArgumentError(f"there are {len(rows):,} inputs and {len(wanted):,} targets; pass one for each")
    return rows, wanted


def _measure(prediction: AnyPrediction) -> str:
    names = set(prediction.outputs)
    if "label" in names:
        return "label"
    if names == {"value"}:
        return "value"
    return "embedding" if names == {"embedding"} else "outputs"


def _agree(measure: str | None, a: AnyPrediction, b: AnyPrediction) -> bool:
    if a.outputs.keys() != b.outputs.keys():
        return False
    if measure == "label":
        return bool(a["label"] == b["label"])
    if measure == "value":
        return bool(abs(b["value"] - a["value"]) <= _VALUE_TOLERANCE * abs(a["value"]))
    if measure == "embedding":
        return _cosine(a["embedding"], b["embedding"]) >= _LEAST_COSINE
    return a.outputs == b.outputs


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    if len(a) != len(b):
        return -1.0
    lengths = math.hypot(*a) * math.hypot(*b)
    return sum(map(operator.mul, a, b)) / lengths if lengths else float(list(a) == list(b))


def _against_targets(
    measure: str | None,
    pairs: Sequence[tuple[int, AnyPrediction, AnyPrediction]],
    targets: Sequence[object],
    seed: int,
) -> dict[str, object]:
    """Measure both against targets: right or wrong for labels, the absolute error for values."""
    if measure not in ("label", "value"):
        raise ArgumentError("targets go with models that return a label or a value; leave them out")
    name = "accuracy" if measure == "label" else "mean absolute error"
    scores = [
        tuple(_score(measure, prediction, targets[index]) for prediction in both) for index, *both in pairs
    ]
    first, second = [one for one, _ in scores], [other for _, other in scores]
    return {
        "metric": name,
        "metric_a": _metric(measure, first),
        "metric_b": _metric(measure, second),
        "metric_difference": _intervals.bootstrapped_mean(
            [other - one for one, other in zip(first, second, strict=True)], seed=seed
        ),
    }


def _metric(measure: str, scores: Sequence[float]) -> Estimate | None:
    if measure == "label":
        return _intervals.rate(round(sum(scores)), len(scores))
    return _intervals.mean(math.fsum(scores), math.fsum(each * each for each in scores), len(scores))


def _score(measure: str, prediction: AnyPrediction, target: object) -> float:
    if measure == "label":
        return float(prediction["label"] == target)
    if not isinstance(target, int | float):
        raise ArgumentError(f"the target {target!r:.100} is no number, and the model returns a value")
    return float(abs(prediction["value"] - target))


def _latency_ratio(pairs: Sequence[tuple[AnyPrediction, AnyPrediction]]) -> Estimate | None:
    """Estimate it from the calls: all rows of one were computed together, and count as one."""
    calls = {
        (one.id, other.id): (
            one.timing.compute_ms / one.usage.instances,
            other.timing.compute_ms / other.usage.instances,
        )
        for one, other in pairs
    }
    logarithms = [math.log(b / a) for a, b in calls.values() if a > 0 and b > 0]
    squares = math.fsum(each * each for each in logarithms)
    return _intervals.geometric_mean(math.fsum(logarithms), squares, len(logarithms))
