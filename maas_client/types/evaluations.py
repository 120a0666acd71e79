"""How well a version does on rows with known answers."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field, JsonValue

from maas_client.types.base import Reply, Request
from maas_client.types.fields import ALIAS_NAME, VERSION_NUMBER
from maas_client.types.packages import Metric


class EvaluateRequest(Request):
    """Inputs and what is true of each; the model's answers are held against that."""

    inputs: list[dict[str, JsonValue]] = Field(min_length=1, description="Instances: inputs by name.")
    targets: list[JsonValue] = Field(
        min_length=1, description="For each of them the true label, or the true value of a regression."
    )
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="Options of the task.")
    background: bool = Field(
        default=False, description="Answer with a job at once, as for more rows than a call takes."
    )


class EvaluationQuery(Request):
    """Query parameters of an evaluation of many rows; its body is an `EvaluateRequest`."""

    rows: int = Field(
        ge=1, lt=2**31, description="How many rows the body holds; other than that is an error."
    )
    version: str | None = Field(
        None,
        pattern=rf"^(?:{VERSION_NUMBER}|{ALIAS_NAME})$",
        description="A version's number, an alias or `latest`; what `default` points to when left out.",
    )


class MeasuredMetric(Reply):
    """A metric of the rows that were evaluated.

    Args:
        name: Such as `accuracy`.
        value: What was measured.
        interval: Its 95 % interval: of an accuracy Wilson's, which holds for few rows too; of all others by
            bootstrap, which is too narrow below some 30 rows and for what rests on few of many, such as the
            F1 of a rare label. None where all samples give the same figure, so that nothing is known.
        unit: Of value and interval.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    unit: str


class CalibrationBin(Reply):
    """The rows whose most probable label was given a probability in one range.

    Args:
        low: Where the range begins, exclusive.
        high: Where it ends, inclusive.
        rows: How many rows there are.
        confidence: Their mean probability; None without rows.
        accuracy: The share of them that is right; None without rows.
    """

    low: float
    high: float
    rows: int
    confidence: float | None = None
    accuracy: float | None = None


class ConfusionMatrix(Reply):
    """How many rows of each true label were given each label.

    Args:
        labels: The labels of rows and columns; of many, those alone that were met.
        counts: `counts[i][j]` rows of the label i were given the label j.
    """

    labels: list[str]
    counts: list[list[int]]


class Evaluation(Reply):
    """How well a version did on the caller's own rows.

    Args:
        model: The model.
        version: The version.
        digest: Its content digest.
        device: What ran it.
        task: The model's task.
        rows: How many rows there were.
        metrics: What was measured.
        resamples: How many samples the intervals by bootstrap come from.
        seed: What they were drawn with.
        confusion_matrix: Of a classification.
        calibration: Of a classification whose scores are probabilities: 15 bins of equal width.
        notes: What to know in order to read it.
    """

    model: str
    version: int
    digest: str
    device: str
    task: str
    rows: int
    metrics: list[MeasuredMetric]
    resamples: int
    seed: int
    confusion_matrix: ConfusionMatrix | None = None
    calibration: list[CalibrationBin] | None = None
    notes: list[str] = []

    def __getitem__(self, name: str) -> float:
        """Return a metric's value: `evaluation["accuracy"]`."""
        for metric in self.metrics:
            if metric.name == name:
                return metric.value
        raise KeyError(
            f"{name!r} was not measured; there are {', '.join(each.name for each in self.metrics)}"
        )

    def as_metrics(self, dataset: str, *, split: str = "") -> list[Metric]:
        """Return it as the owner of a version attaches it: `versions.update(3, metrics=…)`.

        Args:
            dataset: What the rows are from.
            split: Which part of that they are, such as `held-out fifth, seed 0`.
        """
        return [
            Metric(
                name=metric.name,
                value=metric.value,
                dataset=dataset,
                rows=self.rows,
                split=split,
                measured_at=datetime.now(UTC),
                interval=metric.interval,
            )
            for metric in self.metrics
        ]

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_evaluation(self)
