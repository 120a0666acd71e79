import numpy as np
import pytest

from reference_server.errors import Unprocessable
from reference_server.explain.exact import all_coalitions
from reference_server.explain.game import BudgetSpentError, Counted


def test_a_coalition_is_scored_once():
    """Repeats cost nothing, in one call or in several."""
    seen = []

    def game(coalitions):
        seen.extend(coalitions.tolist())
        return coalitions.sum(axis=1).astype(float)

    counted = Counted(game, budget=8, rows_per_run=3)
    rows = all_coalitions(3)
    assert counted(np.vstack([rows, rows])).tolist() == 2 * rows.sum(axis=1).tolist()
    assert counted(rows[::-1]).tolist() == rows[::-1].sum(axis=1).tolist()
    assert len(seen) == counted.spent == 8
    assert counted.left == counted.cost(rows) == 0


def test_nothing_is_scored_above_the_budget():
    """Not even the part that would fit."""
    runs = []
    counted = Counted(lambda c: runs.append(len(c)) or np.zeros(len(c)), budget=7)
    with pytest.raises(BudgetSpentError, match="8 coalitions are to be scored, and 7 of 7 are left"):
        counted(all_coalitions(3))
    assert runs == []


def test_runs_are_bounded_and_can_be_stopped():
    """The check comes before each run, and what it raises ends the work."""
    runs = []

    def check():
        if len(runs) == 2:
            raise InterruptedError

    counted = Counted(
        lambda c: runs.append(len(c)) or np.zeros(len(c)), budget=99, rows_per_run=5, check=check
    )
    with pytest.raises(InterruptedError):
        counted(all_coalitions(4))
    assert runs == [5, 5]
    assert counted.spent == 10


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_refused(score):
    """With how much of the instance was left when it came."""
    counted = Counted(lambda c: np.where(c.sum(axis=1) == 2, score, 0.0), budget=99)
    with pytest.raises(Unprocessable, match=f"score is {score} with 2 of 4 features present") as refused:
        counted(all_coalitions(4))
    assert refused.value.code == "score_not_finite"
