"""What was measured of a version in other settings, as it is read, shown and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from maas_client import _frames
from maas_client.errors import InvalidReplyError, describe_validation
from maas_client.types import Advice, AdviceProgress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from maas_client.types import AdviceVariant, JobReply


class MeasuredAdvice(Advice):
    """What was measured of a version, and what follows from it.

    A notebook shows the recommendation, a table and a picture of time against memory; `print` likewise.

    Example:
        >>> advice = client.model("reviews").advise(objective="latency", sample="reviews.csv").wait()
        >>> advice.recommendation.variant, advice.recommendation.gain
        ('int8-dynamic', 1.9)
        >>> advice["int8-dynamic"].quality.loss
        0.004
    """

    def __str__(self) -> str:
        from maas_client import _advice_text

        return "\n".join(_advice_text.of_advice(self))

    def _repr_html_(self) -> str:
        from maas_client import _advice_html

        return _advice_html.of_advice(self)

    @property
    def original(self) -> AdviceVariant:
        """The version as it is."""
        return self.variants[0]

    @property
    def pareto(self) -> list[AdviceVariant]:
        """The variants that no other is at least as good as in everything, quickest call first."""
        return sorted((each for each in self.variants if each.pareto), key=lambda each: each.p50_ms)

    @property
    def recommended(self) -> AdviceVariant | None:
        """The variant that is recommended; None to leave the version as it is."""
        name = self.recommendation.variant
        return None if name is None else self[name]

    def to_frame(self) -> Any:  # noqa: ANN401 - a frame of pandas or polars
        """Return a row for each variant as a data frame of pandas, or else polars.

        Returns:
            The columns `name`, `p50_ms`, `p99_ms`, `throughput_rows_per_second`, `memory_bytes`, `load_ms`,
            `package_bytes`, `latency` (the ratio to the original, with `latency_low` and `latency_high`),
            `quality_loss`, `agreement`, `batch_invariant`, `pareto` and `applicable`.

        Raises:
            ModuleNotFoundError: Neither library is installed.
        """
        return _frames.of_rows([_row(each) for each in self.variants], what="to_frame")

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw time of a call against memory, the Pareto front marked, with matplotlib (extra `plot`).

        Args:
            ax: Where to draw; a figure of its own when left out.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        from maas_client import _advice_plots

        return _advice_plots.of_advice(self, ax=ax)


def progress_of(job: JobReply) -> AdviceProgress:
    """Return what a job that measures has told so far.

    Raises:
        InvalidReplyError: It is not that of advice.
    """
    told = job.result or job.interim or {}
    known = {name: told[name] for name in AdviceProgress.model_fields if name in told}
    try:
        return AdviceProgress.model_validate(known)
    except ValidationError as error:
        raise InvalidReplyError(
            f"what the job {job.id} tells is not that of advice: {describe_validation(error)}"
        ) from None


def _row(variant: AdviceVariant) -> dict[str, object]:
    quality, ratio = variant.quality, variant.latency
    return {
        "name": variant.name,
        "p50_ms": variant.p50_ms,
        "p99_ms": variant.p99_ms,
        "throughput_rows_per_second": variant.throughput_rows_per_second,
        "memory_bytes": variant.memory_bytes,
        "load_ms": variant.load_ms,
        "package_bytes": variant.package_bytes,
        "latency": ratio.median if ratio else None,
        "latency_low": ratio.low if ratio else None,
        "latency_high": ratio.high if ratio else None,
        "quality_loss": quality.loss if quality else None,
        "agreement": quality.agreement if quality else None,
        "batch_invariant": variant.batch_invariant,
        "pareto": variant.pareto,
        "applicable": variant.applicable,
    }
