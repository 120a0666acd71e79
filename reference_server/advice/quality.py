"""What a variant says beside the original: agreement, shifts, and metrics where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maas_client._intervals import bootstrapped_mean, rate
from maas_client.types import AdviceMetric, AdviceQuality
from reference_server.advice.trials import chunks
from reference_server.errors import Unprocessable
from reference_server.evaluation.bootstrap import intervals
from reference_server.evaluation.work import joined
from reference_server.runtime.agreement import compare
from reference_server.runtime.tasks.outputs import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maas_client.types import Estimate
    from reference_server.advice.trials import Trial
    from reference_server.evaluation.rows import Classified, Valued
    from reference_server.runtime.agreement import Agreement

_CHUNK_ROWS = 16
# Of the metrics that the rows have, the one whose loss counts, and that more of it is better.
_LEADING = ("accuracy", "r_squared")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a trial said about each row of the sample, and how that fits what is true."""

    predictions: Sequence[Mapping[str, Any]]
    rows: Classified | Valued | None


def answers(trial: Trial) -> Answers:
    """Return what a trial says about the sample.

    Raises:
        Unprocessable: It fails on a row, or what it says is not finite.
    """
    predictions: list[Mapping[str, Any]] = []
    rows: list[Classified | Valued] = []
    for start, batch in chunks(trial.sample, _CHUNK_ROWS):
        trial.meter.counted(len(batch))
        outputs = trial.task.predict(batch)
        for tensor in outputs.tensors.values():
            if tensor.dtype.kind == "f":
                check_finite(tensor)
        predictions += trial.task.encode(outputs)
        if trial.sample.targets is not None:
            rows.append(trial.sample.targets.rows(outputs, start))
    return Answers(predictions, joined(rows) if rows else None)


def compared(
    original: Answers, variant: Answers, *, each: Callable[[], object] = lambda: None
) -> AdviceQuality:
    """Hold a variant's answers against the original's.

    Args:
        original: What the original said.
        variant: What the variant said of the same rows.
        each: Called before each of the bootstrap's samples; what it raises ends the work.

    Raises:
        Unprocessable: With code `not_comparable`: they are of other outputs or shapes.
    """
    found = compare(original.predictions, variant.predictions)
    if found is None:
        raise Unprocessable(
            "what it returns has other names or shapes than what the original returns", code="not_comparable"
        )
    agreed = rate(sum(found.agreed), len(found.agreed))
    metrics = _metrics(original.rows, variant.rows, each)
    loss, loss_of, interval = _loss(found, original.predictions, metrics)
    return AdviceQuality(
        measure=found.measure,
        rows=len(found.agreed),
        agreement=sum(found.agreed) / len(found.agreed),
        agreement_interval=_edges(agreed),
        largest_shift=float(max(found.differences)),
        mean_shift=float(np.mean(found.differences)),
        loss=loss,
        loss_of=loss_of,
        loss_interval=interval,
        metrics=metrics,
    )


def _metrics(
    original: Classified | Valued | None, variant: Classified | Valued | None, each: Callable[[], object]
) -> list[AdviceMetric]:
    if original is None or variant is None:
        return []
    before, after = original.measure(), variant.measure()

    def differences(weights: Any) -> dict[str, float]:  # noqa: ANN401 - as `intervals` gives them
        one, other = original.measure(weights), variant.measure(weights)
        return {name: other[name] - one[name] for name in one.keys() & other.keys()}

    # The same rows are drawn for both: what is common to them cancels out.
    edges = intervals(differences, len(original), each=each)
    return [
        AdviceMetric(
            name=name,
            original=before[name],
            variant=after[name],
            difference=after[name] - before[name],
            interval=edges.get(name),
        )
        for name in before
        if name in after and np.isfinite(before[name]) and np.isfinite(after[name])
    ]


def _loss(
    found: Agreement, original: Sequence[Mapping[str, Any]], metrics: Sequence[AdviceMetric]
) -> tuple[float, str, tuple[float, float] | None]:
    """Return the loss, what it is of, and its interval."""
    for metric in metrics:
        if metric.name in _LEADING:
            edges = metric.interval
            return -metric.difference, metric.name, edges and (-edges[1], -edges[0])
    if found.measure in ("label", "tensor"):
        differing = len(found.agreed) - sum(found.agreed)
        # A hundredth of the rows is a loss of 0.01 to the last bit, as somebody allows it.
        share = differing / len(found.agreed)
        return share, found.measure, _edges(rate(differing, len(found.agreed)))
    unit = _spread(original) if found.measure == "value" else 1.0
    shifts = [each / unit for each in found.differences]
    return float(np.mean(shifts)), found.measure, _edges(bootstrapped_mean(shifts))


def _spread(original: Sequence[Mapping[str, Any]]) -> float:
    """Return the deviation of the original's values; of equal ones their size, that a shift has a measure."""
    values = np.array([float(each["value"]) for each in original])
    return float(values.std()) or float(np.abs(values).max()) or 1.0


def _edges(estimate: Estimate | None) -> tuple[float, float] | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.low, estimate.high
