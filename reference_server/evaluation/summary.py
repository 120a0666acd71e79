"""From rows to what a caller is told of them: metrics with intervals, confusion matrix, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maas_client._intervals import rate
from maas_client.types import CalibrationBin, ConfusionMatrix, Evaluation, MeasuredMetric
from reference_server.evaluation import metrics
from reference_server.evaluation.bootstrap import RESAMPLES, SEED, intervals
from reference_server.evaluation.rows import Classified, Valued, check_proper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reference_server.evaluation.metrics import Booleans

# Of more labels than this, the confusion matrix shows those alone that were met.
_MOST_LABELS = 100
# A metric of fewer rows moves so much that its interval is wide and itself uncertain.
_FEW_ROWS = 30


@dataclass(frozen=True, slots=True)
class Subject:
    """What was evaluated: see `Evaluation`. `unit` is that of a regression's value, and may be empty."""

    model: str
    version: int
    digest: str
    device: str
    task: str
    labels: Sequence[str]
    unit: str


def summarise(
    rows: Classified | Valued, subject: Subject, *, each: Callable[[], object] = lambda: None
) -> Evaluation:
    """Return what rows tell about a version.

    Args:
        rows: What the model said and what was true.
        subject: What was evaluated.
        each: Called before each of the bootstrap's samples; what it raises ends the work.
    """
    classified = rows if isinstance(rows, Classified) else None
    return Evaluation(
        model=subject.model,
        version=subject.version,
        digest=subject.digest,
        device=subject.device,
        task=subject.task,
        rows=len(rows),
        metrics=_metrics(rows, subject.unit, each),
        resamples=RESAMPLES,
        seed=SEED,
        confusion_matrix=_confusion(classified, subject.labels) if classified else None,
        calibration=_calibration(classified) if classified and classified.proper.all() else None,
        notes=_notes(rows),
    )


def _metrics(rows: Classified | Valued, unit: str, each: Callable[[], object]) -> list[MeasuredMetric]:
    values = rows.measure()
    edges = intervals(rows.measure, len(rows), resamples=RESAMPLES, each=each)
    if isinstance(rows, Classified):
        edges["accuracy"] = _of_share(int(rows.right.sum()), len(rows))
    return [
        MeasuredMetric(name=name, value=value, interval=edges.get(name), unit=_unit(rows.units[name], unit))
        for name, value in values.items()
        if np.isfinite(value)
    ]


def _of_share(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's interval of an accuracy; resampling shows no spread where all rows are alike."""
    share = rate(right, count)
    if share is None or share.low is None or share.high is None:
        raise ValueError("an evaluation has at least one row")
    return share.low, share.high


def _unit(described: str, unit: str) -> str:
    return described.replace("the target's unit", unit) if unit else described


def _notes(rows: Classified | Valued) -> list[str]:
    notes = []
    if len(rows) < _FEW_ROWS:
        notes.append(
            f"{len(rows)} rows are few: another sample may well give other figures, and an interval by "
            "bootstrap is too narrow"
        )
    if isinstance(rows, Classified):
        if (why := check_proper(rows)) is not None:
            notes.append(why)
    elif not np.ptp(rows.targets):
        notes.append("all targets are equal, so that R² means nothing and is left out")
    return notes


def _confusion(rows: Classified, labels: Sequence[str]) -> ConfusionMatrix:
    classes = np.arange(len(labels))
    if len(labels) > _MOST_LABELS:
        classes = np.union1d(rows.said, rows.targets)
    counts = metrics.confusion_matrix(
        np.searchsorted(classes, rows.said), np.searchsorted(classes, rows.targets), classes=len(classes)
    )
    return ConfusionMatrix(labels=[labels[index] for index in classes.tolist()], counts=counts.tolist())


def _calibration(rows: Classified) -> list[CalibrationBin]:
    bins = metrics.calibration_bins(rows.confidence)
    return [_bin(index, rows, bins == index) for index in range(metrics.CALIBRATION_BINS)]


def _bin(index: int, rows: Classified, within: Booleans) -> CalibrationBin:
    count, width = int(within.sum()), 1 / metrics.CALIBRATION_BINS
    return CalibrationBin(
        low=index * width,
        high=(index + 1) * width,
        rows=count,
        confidence=float(rows.confidence[within].mean()) if count else None,
        accuracy=float(rows.right[within].mean()) if count else None,
    )
