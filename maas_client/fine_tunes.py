"""What training returns: the loss after each epoch, and the version that came of it with its metrics."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

from pydantic import ValidationError

from maas_client import _frames
from maas_client.errors import InvalidReplyError, describe_validation
from maas_client.types import FineTune, TrainingPoint, TrainingProgress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from maas_client.types import CalibrationBin, JobReply, MeasuredMetric


class LossCurve(Sequence[TrainingPoint]):
    """The loss after each epoch, of the rows that are learnt from and of those that are watched.

    A notebook shows it as a picture, `print` as one made of characters. Of very many epochs a job that is
    under way tells some evenly chosen ones and the last.

    Example:
        >>> for known in job.events():
        ...     for point in LossCurve.of_job(known)[-1:]:
        ...         print(point.epoch, point.loss, point.validation_loss)
    """

    __slots__ = ("_points",)

    def __init__(self, points: Iterable[TrainingPoint]) -> None:
        self._points = tuple(points)

    @classmethod
    def of_job(cls, job: JobReply) -> LossCurve:
        """Return what a job has told so far: of one that has ended all of it, before its first epoch nothing.

        Raises:
            InvalidReplyError: What it tells is not that of a fine-tune.
        """
        return cls(progress_of(job).curve)

    def __len__(self) -> int:
        return len(self._points)

    @overload
    def __getitem__(self, index: int) -> TrainingPoint: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[TrainingPoint, ...]: ...
    def __getitem__(self, index: int | slice) -> TrainingPoint | tuple[TrainingPoint, ...]:
        return self._points[index]

    def __repr__(self) -> str:
        return f"LossCurve({len(self):,} points)"

    def __str__(self) -> str:
        from maas_client import _loss_curve_text

        return "\n".join(_loss_curve_text.of_curve(self))

    def _repr_html_(self) -> str:
        from maas_client import _loss_curve_html

        return _loss_curve_html.of_curve(self)

    @property
    def lowest(self) -> TrainingPoint | None:
        """The point of the lowest validation loss, which early stopping goes back to; None without any."""
        watched = [
            (point.validation_loss, point) for point in self._points if point.validation_loss is not None
        ]
        return min(watched, key=operator.itemgetter(0), default=(None, None))[1]

    def to_frame(self) -> Any:  # noqa: ANN401 - a frame of pandas or polars
        """Return a row for each epoch as a data frame of pandas, or else polars.

        Returns:
            The columns `epoch`, from 1, `loss`, `validation_loss`, `validation_accuracy` and `learning_rate`.

        Raises:
            ModuleNotFoundError: Neither library is installed.
        """
        names = ("epoch", "loss", "validation_loss", "validation_accuracy", "learning_rate")
        rows = [{name: getattr(point, name) for name in names} for point in self._points]
        return _frames.of_rows(rows, what="to_frame")

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw it with matplotlib (`pip install 'maas-client[plot]'`).

        Args:
            ax: Where to draw; a figure of its own when left out.

        Returns:
            The axes, to add to or to save: `.figure.savefig("loss.png")`.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        from maas_client import _loss_curve_plots

        return _loss_curve_plots.of_curve(self, ax=ax)


class FineTuned(FineTune):
    """What came of a fine-tune: the new version, `model` and `version`, and how good it is.

    A notebook shows metrics with their 95 % intervals, the loss curve and what was warned of.

    Example:
        >>> made = client.fine_tunes.create(name="moods", train="moods.csv").wait()
        >>> client.predict(made.model, version=made.version, text="A lovely day.").label
        'glad'
        >>> made["accuracy"], made.metric("accuracy").interval
        (0.91, (0.87, 0.94))
    """

    def __getitem__(self, name: str) -> float:
        """Return a metric's value: `made["accuracy"]`."""
        return self.metric(name).value

    def __str__(self) -> str:
        from maas_client import _loss_curve_text

        return "\n".join(_loss_curve_text.of_fine_tuned(self))

    def _repr_html_(self) -> str:
        from maas_client import _loss_curve_html

        return _loss_curve_html.of_fine_tuned(self)

    @property
    def loss_curve(self) -> LossCurve:
        """The loss after each epoch."""
        return LossCurve(self.curve)

    @property
    def metrics(self) -> list[MeasuredMetric]:
        """What was measured on the rows that were held out; none where all rows were learnt from."""
        return list(self.evaluation.metrics) if self.evaluation else []

    @property
    def calibration(self) -> list[CalibrationBin]:
        """How often it is right by how sure it says it is; none of a regression or without such rows."""
        return list(self.evaluation.calibration or ()) if self.evaluation else []

    def metric(self, name: str) -> MeasuredMetric:
        """Return a metric with its 95 % interval.

        Raises:
            KeyError: It was not measured.
        """
        found = {metric.name: metric for metric in self.metrics}
        if name not in found:
            there = ", ".join(found) or "nothing, as no rows were held out"
            raise KeyError(f"{name!r} was not measured; there is {there}")
        return found[name]

    def to_frame(self) -> Any:  # noqa: ANN401 - a frame of pandas or polars
        """Return the loss curve as a data frame; see `LossCurve.to_frame`."""
        return self.loss_curve.to_frame()

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the loss curve with matplotlib; see `LossCurve.plot`."""
        return self.loss_curve.plot(ax=ax)


def progress_of(job: JobReply) -> TrainingProgress:
    """Return what a fine-tune tells: its result's where it has one, else what it told while it ran.

    Raises:
        InvalidReplyError: It is not that of a fine-tune.
    """
    told = job.result or job.interim
    if told is None:
        return TrainingProgress()
    known = {name: told[name] for name in TrainingProgress.model_fields if name in told}
    try:
        return TrainingProgress.model_validate(known)
    except ValidationError as error:
        raise InvalidReplyError(
            f"what the job {job.id} tells is not that of a fine-tune: {describe_validation(error)}"
        ) from None
