"""What counts over many instances: the mean absolute attribution of each feature, with its interval.

The global importance of Lundberg et al., "From Local Explanations to Global Understanding with Explainable AI
for Trees" (Nature Machine Intelligence 2020), section 2.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from reference_server.explain.game import Floats

FeatureT = TypeVar("FeatureT", bound="Hashable")

RESAMPLES = 1000
_EDGES = (2.5, 97.5)
# Of the weights of resamples: 32 MB of float64.
_MOST_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Important(Generic[FeatureT]):
    """How much a feature counts.

    Args:
        feature: Which one.
        mean_absolute: The mean of its absolute attributions over the instances that have it.
        interval: Its 95 % interval by bootstrap over those; None for fewer than two.
        mean: The mean of its attributions, which tells the direction.
        rows: How many instances have it.
    """

    feature: FeatureT
    mean_absolute: float
    interval: tuple[float, float] | None
    mean: float
    rows: int


def importance(
    rows: Sequence[Mapping[FeatureT, float]],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    check: Callable[[], object] = lambda: None,
) -> list[Important[FeatureT]]:
    """Return how much each feature counts, the most important first, equal ones in the order they are met.

    Args:
        rows: The attributions of each instance by feature; one that an instance lacks is not counted for it.
        rng: Draws the resamples; the same state gives the same intervals.
        resamples: How many samples of the instances are drawn.
        check: Called before each feature; what it raises ends the work.
    """
    values: dict[FeatureT, list[float]] = {}
    for row in rows:
        for feature, value in row.items():
            values.setdefault(feature, []).append(value)
    found = []
    for feature, own in values.items():
        check()
        found.append(_important(feature, np.array(own, np.float64), resamples, rng))
    return sorted(found, key=lambda one: -one.mean_absolute)


def _important(
    feature: FeatureT, values: Floats, resamples: int, rng: np.random.Generator
) -> Important[FeatureT]:
    sizes = np.abs(values)
    interval = _interval(sizes, resamples, rng) if len(sizes) > 1 else None
    return Important(feature, float(sizes.mean()), interval, float(values.mean()), len(values))


def _interval(sizes: Floats, resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the percentile interval of the mean (as `evaluation/bootstrap.py`, of one mean at a time)."""
    at_once = max(1, _MOST_CELLS // len(sizes))
    means: list[Floats] = []
    for start in range(0, resamples, at_once):
        drawn = rng.integers(len(sizes), size=(min(at_once, resamples - start), len(sizes)))
        means.append(sizes[drawn].mean(axis=1))
    low, high = np.percentile(np.concatenate(means), _EDGES)
    return float(low), float(high)
