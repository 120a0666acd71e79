"""Times beside times: a variant's runs and the original's in turn, so that noise meets both alike.

A machine's pace drifts by more than many variants differ, by its clock and by who else uses it. So one run of
each makes a pair, in an order that changes from pair to pair, and what is told is the median of the pairs'
ratios with an interval by order statistics (Conover, "Practical Nonparametric Statistics", 3rd ed. 1999,
section 3.2), which assumes nothing of how times are distributed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from maas_client.types import AdviceInterval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TAIL = 0.025
# Fewer pairs have no interval of 95 %: all of them lie on one side of the median once in 32 times.
LEAST_PAIRS = 6
MOST_PAIRS = 400
_MOST_OVER = 4.0


@dataclass(slots=True)
class Pairs:
    """What pairs of runs took, in seconds."""

    original: list[float] = field(default_factory=list)
    variant: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.original)

    def ratio(self) -> AdviceInterval:
        """Return the variant's time beside the original's."""
        return median_ratio(self.original, self.variant)


def take(
    original: Callable[[int], float],
    variant: Callable[[int], float],
    *,
    seconds: float,
    timer: Callable[[], float],
    may_go_on: Callable[[], bool] = lambda: True,
    least: int = LEAST_PAIRS,
    most: int = MOST_PAIRS,
) -> Pairs:
    """Take pairs for some time, and at least a few.

    Args:
        original: Does the piece of work of a number and returns the seconds that it took.
        variant: Does the same piece.
        seconds: How long to go on; four times as long for the least number.
        timer: Seconds, monotonic.
        may_go_on: Asked before each pair; what it raises ends the work.
        least: How many pairs are taken even if that takes longer.
        most: How many are enough.
    """
    pairs, began = Pairs(), timer()
    while len(pairs) < most and _wanted(len(pairs), least, (timer() - began) / seconds) and may_go_on():
        number = len(pairs)
        if number % 2:
            pairs.variant.append(variant(number))
            pairs.original.append(original(number))
        else:
            pairs.original.append(original(number))
            pairs.variant.append(variant(number))
    return pairs


def _wanted(count: int, least: int, spent: float) -> bool:
    return not count or spent < 1 or (count < least and spent < _MOST_OVER)


def median_ratio(original: Sequence[float], variant: Sequence[float]) -> AdviceInterval:
    """Return the median of variant / original over pairs, with its 95 % interval where there are enough."""
    ratios = sorted(after / before for before, after in zip(original, variant, strict=True))
    count = len(ratios)
    if count < LEAST_PAIRS:
        return AdviceInterval(median=median(ratios), pairs=count)
    rank = _rank(count)
    return AdviceInterval(median=median(ratios), low=ratios[rank], high=ratios[count - 1 - rank], pairs=count)


def _rank(count: int) -> int:
    """Return the largest r for which fewer than r + 1 of `count` fair coins fall heads in at most 2.5 %."""
    below, rank = 0.0, 0
    while True:
        below += math.comb(count, rank) / 2**count
        if below > _TAIL:
            return rank - 1 if rank else 0
        rank += 1
