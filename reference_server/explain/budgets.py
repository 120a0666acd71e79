"""How many evaluations an explanation may spend, and on what."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from reference_server.explain.attribution import least_budget
from reference_server.explain.faithfulness import reserve
from reference_server.explain.game import ends

if TYPE_CHECKING:
    from collections.abc import Callable

    from maas_client.types import ExplainMethod
    from reference_server.explain.scoring import Scores, Turns

# To know the pace of a model.
_TRIED = 15
# Of a time budget; the rest is for what is no run of the model.
_SHARE_OF_TIME = 0.9
# Coalitions times features: the regression takes some 160 bytes for each and a second for a million, which is
# what one call may have of a worker.
_MOST_CELLS = 2_000_000


class Clock:
    """Tells what of a time budget is left.

    Args:
        timer: Seconds, monotonic.
        budget_ms: The time budget, from now on; None for any time.
    """

    def __init__(self, timer: Callable[[], float], budget_ms: float | None) -> None:
        self._timer = timer
        self._began = timer()
        self._seconds = math.inf if budget_ms is None else budget_ms / 1000

    @property
    def is_set(self) -> bool:
        """Whether there is a time budget."""
        return self._seconds < math.inf

    def rows(self, turns: Turns) -> int:
        """Return how many rows more fit into the time, at the pace of those so far."""
        elapsed = self._timer() - self._began
        left = _SHARE_OF_TIME * self._seconds - elapsed
        return max(0, int(left * turns.rows / max(elapsed, 1e-6)))


def within_time(
    clock: Clock,
    turns: Turns,
    scores: Scores,
    features: int,
    *,
    method: ExplainMethod,
    rows_each: int,
    budget: int,
) -> tuple[int, tuple[str, ...]]:
    """Return how many coalitions may be scored, by a time budget if there is one, and what to say of it.

    Args:
        clock: Has the time budget.
        turns: Run the model; some coalitions are tried for its pace, which are not run again.
        scores: Of coalitions.
        features: How many there are.
        method: That is asked for.
        rows_each: The rows of a coalition.
        budget: The most coalitions without it.
    """
    if not clock.is_set:
        return budget, ()
    tried = np.vstack([ends(features), ~np.eye(features, dtype=np.bool_)[:_TRIED]])[:budget]
    scores.keep(tried)
    # Where all coalitions are scored the tried ones are among them.
    rest = budget if 2**features <= budget else budget - len(tried)
    fitting = len(tried) + clock.rows(turns) // rows_each
    least = min(least_budget(features, method), rest)
    if fitting < least:
        each = "" if rows_each == 1 else f", {rows_each:,} rows each"
        return least, (f"The time budget is too short: the method takes {least:,} evaluations{each}.",)
    return min(fitting, rest), ()


def within_memory(features: int, budget: int) -> tuple[int, tuple[str, ...]]:
    """Return how many coalitions of so many features may be scored at all, and what to say of it."""
    most = _MOST_CELLS // features
    if budget <= most:
        return budget, ()
    return most, (f"No more than {most:,} evaluations are spent on {features:,} features.",)


def kept_for_faithfulness(features: int, budget: int, method: ExplainMethod) -> int:
    """Return how many coalitions to keep back; none where the method itself would then have too few."""
    kept = reserve(features, budget)
    least = least_budget(features, "kernel" if method == "auto" else method)
    return 0 if budget - kept < least <= budget else kept
