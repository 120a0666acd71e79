"""Sketches of durations that add up over workers and days: DDSketch (Masson, Rim and Lee, PVLDB 12, 2019).

A value is counted in the bucket ceil(log(value) / log(g)) with g = (1 + a) / (1 - a). Whatever quantile is
read from the counts is then within a of the true one, relative to it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RELATIVE_ERROR = 0.02
# Seconds; what is shorter is counted as this.
SHORTEST = 1e-6
_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
LOG_GAMMA = math.log(_GAMMA)


def bucket_of(seconds: float) -> int:
    """Return the bucket that counts a duration."""
    return math.ceil(math.log(max(seconds, SHORTEST)) / LOG_GAMMA)


def quantile(counts: Mapping[int, int], fraction: float) -> float:
    """Return a quantile in seconds.

    Args:
        counts: How many durations there were in each bucket; one at least.
        fraction: 0 to 1; 0.5 is the median.
    """
    rank = fraction * (sum(counts.values()) - 1)
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen > rank:
            return 2 * _GAMMA**bucket / (_GAMMA + 1)
    raise ValueError("a sketch without counts has no quantiles")
