"""What is explained, as a cooperative game: a set of features goes in, the target's score comes out.

A row of a coalition matrix `[rows, features]` is True where a feature is present. The score of the row is
what the model says with those features alone, the others masked (Lundberg and Lee, "A Unified Approach to
Interpreting Model Predictions", NeurIPS 2017, section 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reference_server.errors import Unprocessable

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats: TypeAlias = NDArray[np.float64]
Booleans: TypeAlias = NDArray[np.bool_]
Integers: TypeAlias = NDArray[np.int64]

Game: TypeAlias = Callable[[Booleans], Floats]
"""Coalitions `[rows, features]` to the target's score for each row."""

ROWS_PER_RUN = 64


@dataclass(frozen=True, slots=True)
class Attributed:
    """What each feature adds to the score.

    Args:
        values: `[features]`, in the score's unit.
        standard_errors: `[features]`, of the values by sampling; None where nothing was sampled.
        baseline: The score without any feature.
        prediction: The score with all of them.
        evaluations: How many coalitions were scored for it.
        method: `exact`, `kernel` or `fast`.
        notes: What to know in order to read it, in plain English.
    """

    values: Floats
    standard_errors: Floats | None
    baseline: float
    prediction: float
    evaluations: int
    method: str
    notes: tuple[str, ...] = ()

    @property
    def additivity_gap(self) -> float:
        """Return baseline + sum of the values − prediction."""
        return float(self.baseline + self.values.sum() - self.prediction)


class BudgetSpentError(RuntimeError):
    """More coalitions were to be scored than the budget allows; none of them was."""


class Counted:
    """A game within a budget: each coalition is scored once, in runs of a bounded size.

    Args:
        game: Scores coalitions.
        budget: The most coalitions that are scored; repeats cost nothing.
        rows_per_run: The most that are scored at once.
        check: Called before each run; what it raises (a deadline, a cancelled job) ends the work.
    """

    def __init__(
        self,
        game: Game,
        *,
        budget: int,
        rows_per_run: int = ROWS_PER_RUN,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        self.budget = budget
        self._game = game
        self._rows_per_run = rows_per_run
        self._check = check
        self._known: dict[bytes, float] = {}

    @property
    def spent(self) -> int:
        """Return how many coalitions have been scored."""
        return len(self._known)

    @property
    def left(self) -> int:
        """Return how many more may be."""
        return self.budget - self.spent

    def cost(self, coalitions: Booleans) -> int:
        """Return how many of the coalitions are new, each counted once."""
        return len({key for key in _keys(coalitions) if key not in self._known})

    def __call__(self, coalitions: Booleans) -> Floats:
        """Return the score of each row.

        Args:
            coalitions: `[rows, features]`; the features must be the same in all calls.

        Raises:
            BudgetSpentError: Scoring what is new would go above the budget.
            Unprocessable: The model gave NaN or an infinity.
        """
        keys = list(_keys(coalitions))
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if len(new) > self.left:
            raise BudgetSpentError(
                f"{len(new)} coalitions are to be scored, and {self.left} of {self.budget} are left"
            )
        rows = list(new.values())
        for start in range(0, len(rows), self._rows_per_run):
            self._score(coalitions[rows[start : start + self._rows_per_run]])
        return np.array([self._known[key] for key in keys], np.float64)

    def _score(self, coalitions: Booleans) -> None:
        self._check()
        scores = np.asarray(self._game(coalitions), np.float64)
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise Unprocessable(
                f"the model's score is {scores[row]} with {coalitions[row].sum()} of {coalitions.shape[1]} "
                "features present, and only finite scores can be explained; explain another target",
                code="score_not_finite",
            )
        self._known.update(zip(_keys(coalitions), scores.tolist(), strict=True))


def ends(features: int) -> Booleans:
    """Return the empty coalition and the full one, `[2, features]`."""
    return np.repeat([[False], [True]], features, axis=1)


def _keys(coalitions: Booleans) -> Iterator[bytes]:
    return map(bytes, np.packbits(coalitions, axis=1))
