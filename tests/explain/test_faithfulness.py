import numpy as np
import pytest
from games import polynomial

from reference_server.explain.attribution import attribute
from reference_server.explain.faithfulness import faithfulness, reserve
from reference_server.explain.game import Counted

WEIGHTS = np.array([4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])


def trust(values, *, game=lambda c: c @ WEIGHTS, budget=5000, seed=0):
    return faithfulness(Counted(game, budget=budget), np.asarray(values), rng=np.random.default_rng(seed))


def test_a_linear_game_whose_answer_is_known():
    """Taking away the best first leaves 10, 6, 3, 1, 0 …; the areas are those by trapezoids."""
    found = trust(WEIGHTS)
    assert found.deletion.scores.tolist() == [10, 6, 3, 1, 0, 0, 0, 0, 0, 0, 0]
    assert found.deletion.fractions == pytest.approx(np.linspace(0, 1, 11))
    assert found.deletion.area == pytest.approx((5 + 6 + 3 + 1) / 10)
    assert found.insertion.scores.tolist() == [0, 4, 7, 9, 10, 10, 10, 10, 10, 10, 10]
    assert found.insertion.area == pytest.approx((4 + 7 + 9 + 60 + 5) / 10)
    # The first 1, 2 and 5 of ten features.
    assert found.comprehensiveness.value == pytest.approx((4 + 7 + 10) / 3)
    assert found.sufficiency.value == pytest.approx((6 + 3 + 0) / 3)


def test_rankings_by_chance_are_what_they_are_expected_to_be():
    """Their mean curve of a linear game is a straight line."""
    found = trust(WEIGHTS)
    assert found.random_orders == 50
    spread = found.deletion.random_spread
    assert found.deletion.random_area == pytest.approx(5, abs=4 * spread / np.sqrt(50))
    assert found.insertion.random_area == pytest.approx(found.deletion.random_area)
    assert found.deletion.random_scores == pytest.approx(np.linspace(10, 0, 11), abs=2)
    assert 0.3 < spread < 3
    assert found.comprehensiveness.random == pytest.approx(10 * (0.1 + 0.2 + 0.5) / 3, abs=1)
    assert found.sufficiency.random == pytest.approx(10 * (0.9 + 0.8 + 0.5) / 3, abs=1)


def test_a_wrong_ranking_is_found_out():
    """Worse than chance in all four numbers."""
    found = trust(-WEIGHTS)
    assert found.deletion.area > found.deletion.random_area + found.deletion.random_spread
    assert found.insertion.area < found.insertion.random_area - found.insertion.random_spread
    assert found.comprehensiveness.value < found.comprehensiveness.random
    assert found.sufficiency.value > found.sufficiency.random


@pytest.mark.parametrize("features", [1, 2, 3, 11, 15, 37])
def test_curves_of_any_number_of_features(features):
    """Begin and end with what they must, in at most ten steps."""
    weights = np.arange(1.0, features + 1)
    found = trust(weights, game=lambda c: c @ weights)
    for curve in (found.deletion, found.insertion):
        assert curve.fractions[0] == 0
        assert curve.fractions[-1] == 1
        assert len(curve.fractions) == min(features, 10) + 1
        assert (np.diff(curve.fractions) > 0).all()
    # Each point has the score of as many features as its fraction says, the largest weights first.
    first = np.concatenate([[0], np.cumsum(weights[::-1])])
    away, back = (
        np.rint(curve.fractions * features).astype(int) for curve in (found.deletion, found.insertion)
    )
    assert found.deletion.scores.tolist() == (weights.sum() - first[away]).tolist()
    assert found.insertion.scores.tolist() == first[back].tolist()
    assert (
        found.deletion.scores[[0, -1]].tolist()
        == found.insertion.scores[[-1, 0]].tolist()
        == [weights.sum(), 0]
    )


@pytest.mark.parametrize("features", [3, 8, 11, 20, 40])
@pytest.mark.parametrize("budget", [16, 44, 64, 128, 256, 2000])
@pytest.mark.parametrize("method", ["auto", "fast"])
def test_what_is_kept_back_is_enough_and_never_exceeded(features, budget, method):
    """The attribution works with the rest, and the curves come wherever something was kept back."""
    if budget < features + 2:
        return
    game, _ = polynomial(max(features, 4), seed=features)
    counted = Counted(game if features > 3 else lambda c: c.sum(axis=1) * 1.0, budget=budget)
    kept, rng = reserve(features, budget), np.random.default_rng(0)
    found = attribute(counted, features, method=method, budget=budget - kept, rng=rng)
    measured = faithfulness(counted, found.values, rng=rng)
    assert counted.spent <= budget
    if kept:
        assert measured is not None
        assert measured.random_orders >= 3
    if measured is not None:
        assert measured.evaluations == counted.spent - found.evaluations


def test_a_budget_that_is_spent_gives_no_curves():
    """And spends nothing more than it may."""
    counted = Counted(lambda c: c @ WEIGHTS, budget=20)
    assert faithfulness(counted, WEIGHTS, rng=np.random.default_rng(0)) is None
    assert counted.spent <= 20
