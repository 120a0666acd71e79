"""95 % intervals in plain Python, for the server's comparisons and the SDK's own.

Of rates: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927). Of
means and of ratios of latencies, whose logarithms are nearly normal: the normal approximation. Of a paired
difference: the percentile bootstrap (Efron, "Bootstrap Methods", Annals of Statistics 7, 1979).
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from maas_client.types import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

_Z = 1.959963984540054
# Fewer values tell nothing of their own spread.
_LEAST_FOR_SPREAD = 2
_RESAMPLES, _LEAST_RESAMPLES, _MOST_DRAWS = 2000, 200, 2_000_000


def rate(hits: int, count: int) -> Estimate | None:
    """Estimate a rate from how often something happened in so many tries; None of no tries."""
    if not count:
        return None
    share, z2 = hits / count, _Z * _Z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    # Rounding must not put the figure outside its interval.
    return Estimate(value=share, low=min(low, share), high=max(high, share), count=count)


def mean(total: float, squares: float, count: int) -> Estimate | None:
    """Estimate a mean from the sum of the values and of their squares; None of no values."""
    if not count:
        return None
    value, error = total / count, _standard_error(total, squares, count)
    if error is None:
        return Estimate(value=value, count=count)
    return Estimate(value=value, low=value - _Z * error, high=value + _Z * error, count=count)


def geometric_mean(log_sum: float, log_squares: float, count: int) -> Estimate | None:
    """Estimate a geometric mean from sums over the logarithms of the values; None of no values."""
    return _exponential(mean(log_sum, log_squares, count))


def ratio_of_means(first: tuple[float, float, int], second: tuple[float, float, int]) -> Estimate | None:
    """Estimate the second geometric mean over the first, of samples that have nothing to do with each other.

    Args:
        first: Sums over logarithms and their squares, and the count.
        second: Likewise.
    """
    if not first[2] or not second[2]:
        return None
    difference = second[0] / second[2] - first[0] / first[2]
    errors = (_standard_error(*first), _standard_error(*second))
    count = min(first[2], second[2])
    if errors[0] is None or errors[1] is None:
        return _exponential(Estimate(value=difference, count=count))
    half = _Z * math.hypot(errors[0], errors[1])
    return _exponential(
        Estimate(value=difference, low=difference - half, high=difference + half, count=count)
    )


def bootstrapped_mean(values: Sequence[float], *, seed: int = 0) -> Estimate | None:
    """Estimate a mean by the percentile bootstrap; of the differences of pairs, that is the paired one."""
    count = len(values)
    if not count:
        return None
    value = math.fsum(values) / count
    if count < _LEAST_FOR_SPREAD:
        return Estimate(value=value, count=count)
    draws = random.Random(seed)  # noqa: S311 - statistics
    resamples = max(_LEAST_RESAMPLES, min(_RESAMPLES, _MOST_DRAWS // count))
    means = sorted(sum(draws.choices(values, k=count)) / count for _ in range(resamples))
    low, high = means[round(0.025 * (resamples - 1))], means[round(0.975 * (resamples - 1))]
    return Estimate(value=value, low=min(low, value), high=max(high, value), count=count)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """Return an estimate in another unit."""
    return Estimate(
        value=estimate.value * factor,
        low=None if estimate.low is None else estimate.low * factor,
        high=None if estimate.high is None else estimate.high * factor,
        count=estimate.count,
    )


def _standard_error(total: float, squares: float, count: int) -> float | None:
    if count < _LEAST_FOR_SPREAD:
        return None
    variance = (squares - total * total / count) / (count - 1)
    # Of equal values, rounding may make it less than nothing.
    return math.sqrt(max(0.0, variance) / count)


def _exponential(estimate: Estimate | None) -> Estimate | None:
    if estimate is None:
        return None
    return Estimate(
        value=_exp(estimate.value),
        low=None if estimate.low is None else _exp(estimate.low),
        high=None if estimate.high is None else _exp(estimate.high),
        count=estimate.count,
    )


def _exp(value: float) -> float:
    # JSON has no infinity; no ratio of times comes near this.
    return math.exp(max(-700.0, min(700.0, value)))
