"""What the serving benchmark is to reach, and whether it did."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Literal

from contenders import FASTAPI, OURS, RAW

Measure = Literal["rate", "cpu_ms"]
Verdict = Literal["met, stretch too", "met", "missed", "missed, within the spread", "not measured"]

ONE_MODEL, MANY_MODELS = "one model", "50 of 500 models"


@dataclass(frozen=True)
class Ratio:
    """A ratio of two contenders, one value for each round: both were measured within a minute there."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.rounds):.2f} to {max(self.rounds):.2f})"


@dataclass(frozen=True)
class Goal:
    """A bound on a ratio of this server's figure by another's.

    Args:
        load: The load, and the connections at a time.
        of: Whose figure is divided.
        by: Whose figure divides it.
        measure: Requests per second, where more is better, or CPU time per request, where less is.
        bound: What is to be reached.
        stretch: What would be better still.
    """

    load: str
    connections: int
    by: str
    bound: float
    measure: Measure = "rate"
    stretch: float | None = None
    of: str = OURS

    def __str__(self) -> str:
        sign = "≥" if self.measure == "rate" else "≤"
        more = f", stretch {self.stretch:g}" if self.stretch else ""
        return f"{sign} {self.bound:g}{more}"

    @property
    def what(self) -> str:
        """What is compared, in words."""
        figure = "requests/s" if self.measure == "rate" else "CPU per request"
        return f"{figure}, {self.of} / {self.by}"

    def reached(self, results: list[dict[str, Any]]) -> Ratio | None:
        """Return the ratio that was measured, if it was."""
        for result in results:
            figures = result["figures"]
            if (result["load"], result["connections"]) == (self.load, self.connections):
                return ratio(figures, self.of, self.by, self.measure)
        return None

    def verdict(self, reached: Ratio | None) -> Verdict:
        """Return whether a ratio's median reaches the goal."""
        if reached is None:
            return "not measured"
        if not self._holds(reached.median, self.bound):
            best = max(reached.rounds) if self.measure == "rate" else min(reached.rounds)
            return "missed, within the spread" if self._holds(best, self.bound) else "missed"
        stretched = self.stretch is not None and self._holds(reached.median, self.stretch)
        return "met, stretch too" if stretched else "met"

    def _holds(self, value: float, bound: float) -> bool:
        return value >= bound if self.measure == "rate" else value <= bound


def ratio(figures: dict[str, dict[str, list[float]]], of: str, by: str, measure: Measure) -> Ratio | None:
    """Return the ratio of two contenders' figures in each round; None where one is missing or failed."""
    if any(name not in figures or sum(figures[name]["failures"]) for name in (of, by)):
        return None
    pairs = zip(figures[of][measure], figures[by][measure], strict=True)
    return Ratio(tuple(ours / theirs for ours, theirs in pairs))


GOALS = (
    Goal("tiny", 32, FASTAPI, 2.5, stretch=3.0),
    Goal("tiny", 32, FASTAPI, 0.5, measure="cpu_ms", stretch=0.4),
    Goal("tiny", 32, "LitServe", 12),
    Goal("tiny", 1, FASTAPI, 1.0, stretch=1.25),
    Goal("tiny", 128, FASTAPI, 3),
    Goal("encoder", 32, RAW, 0.95),
    Goal("image", 8, FASTAPI, 2.5, stretch=3),
    Goal("many", 32, ONE_MODEL, 1.0, of=MANY_MODELS),
)
