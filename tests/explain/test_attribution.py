from math import comb

import numpy as np
import pytest
from games import polynomial, sentence
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server.errors import Unprocessable
from reference_server.explain.attribution import MOST_EXACT_FEATURES, attribute, choose, least_budget
from reference_server.explain.game import Counted
from reference_server.explain.sampling import pairs_in_all, sample_pairs, shares

# Sampled values are compared with the truth of a linear game, which they find but for rounding.
ROUNDING = 1e-6


def explained(game, features, *, method="auto", budget=100_000, seed=0):
    counted = Counted(game, budget=budget)
    return attribute(counted, features, method=method, budget=budget, rng=np.random.default_rng(seed))


def glove(coalitions):
    """One left glove (the first feature) and two right ones: a pair is worth 1."""
    return (coalitions[:, 0] & coalitions[:, 1:].any(axis=1)).astype(float)


def majority(coalitions):
    return (coalitions.sum(axis=1) > coalitions.shape[1] / 2).astype(float)


def airport(costs):
    """The runway costs what the largest of those who land on it needs (Littlechild and Owen, 1973)."""
    return lambda coalitions: (coalitions * costs).max(axis=1)


def test_exact_values_of_games_with_a_closed_form():
    """The glove, the majority and the airport game."""
    assert explained(glove, 3).values == pytest.approx([2 / 3, 1 / 6, 1 / 6], abs=1e-12)
    assert explained(majority, 9).values == pytest.approx([1 / 9] * 9, abs=1e-12)
    # Whoever needs a stretch of it shares its cost evenly.
    shares = [1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 3 / 2, 1 / 4 + 1 / 3 + 3 / 2 + 5]
    assert explained(airport([1, 2, 5, 10]), 4).values == pytest.approx(shares, abs=1e-12)


@pytest.mark.parametrize("features", [1, 2, 5, 10, 14])
def test_exact_values_add_up(features):
    """To 1e-9, and where they have a closed form they are it."""
    game, values = polynomial(max(features, 4), seed=features)
    if features < 4:
        game, values = (
            (lambda coalitions: coalitions @ np.arange(1.0, features + 1)),
            np.arange(1.0, features + 1),
        )
    found = explained(game, features)
    assert found.method == "exact"
    assert found.standard_errors is None
    assert found.evaluations == 2**features
    assert abs(found.additivity_gap) < 1e-9
    assert found.values == pytest.approx(values, abs=1e-9)


def test_a_planted_interaction_is_shared_evenly():
    """By exact values and by sampled ones alike, because it is of two features."""

    def game(coalitions):
        return 3.0 * coalitions[:, 2] + 4.0 * coalitions[:, [0, 5]].all(axis=1)

    expected = np.zeros(13)
    expected[[0, 2, 5]] = 2.0, 3.0, 2.0
    assert explained(game, 13, method="exact").values == pytest.approx(expected, abs=1e-9)
    assert explained(game, 13, method="kernel", budget=64).values == pytest.approx(expected, abs=ROUNDING)


@settings(max_examples=25, deadline=None)
@given(
    weights=st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=11, max_size=14),
    seed=st.integers(0, 1000),
    method=st.sampled_from(["exact", "kernel"]),
)
def test_a_linear_game_gives_its_weights(weights, seed, method):
    """Whatever was drawn; so what counts for nothing gets nothing (dummy), equals get equals (symmetry)."""
    weights = np.array(weights)
    budget = 2 ** len(weights) if method == "exact" else 4 * len(weights)
    found = explained(lambda c: 7 + c @ weights, len(weights), method=method, budget=budget, seed=seed)
    assert found.values == pytest.approx(weights, abs=ROUNDING)
    assert found.baseline == 7
    assert abs(found.additivity_gap) < 1e-9


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), features=st.integers(4, 8))
def test_exact_values_obey_the_axioms(seed, features):
    """Any game of numbers by chance: symmetry, dummy, linearity, efficiency (Shapley, 1953)."""
    draw = np.random.default_rng(seed)
    table, other = draw.normal(size=(2, 2**features))
    powers = 1 << np.arange(features)

    def values(scores):
        return explained(lambda c: scores[c @ powers], features).values

    assert values(2 * table - 3 * other) == pytest.approx(2 * values(table) - 3 * values(other), abs=1e-9)
    assert values(table).sum() == pytest.approx(table[-1] - table[0], abs=1e-9)
    rows = np.arange(2**features)
    # Feature 0 made a dummy; the features 1 and 2 made alike.
    assert values(table[rows & ~1])[0] == pytest.approx(0, abs=1e-9)
    swapped = rows & ~6 | (rows & 2) << 1 | (rows & 4) >> 1
    alike = values(table + table[swapped])
    assert alike[1] == pytest.approx(alike[2], abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), budget=st.integers(44, 400))
def test_sampled_values_add_up_within_any_budget(seed, budget):
    """Efficiency holds by construction, and no evaluation too many is spent."""
    game, _ = polynomial(14, seed=seed)
    scored = []

    def counting(coalitions):
        scored.append(len(coalitions))
        return game(coalitions)

    found = explained(counting, 14, method="kernel", budget=budget, seed=seed)
    assert abs(found.additivity_gap) < 1e-9
    assert sum(scored) == found.evaluations <= budget
    assert budget - found.evaluations < 2


def test_the_case_in_the_documents():
    """Leave-one-out misses the sum by 0.36 or more and flips a sign that exact values give."""
    exact, fast = explained(sentence, 8), explained(sentence, 8, method="fast")
    assert abs(fast.additivity_gap) > 0.3
    assert (np.sign(exact.values) * np.sign(fast.values) < 0).any()
    errors = [
        np.abs(explained(sentence, 8, method="kernel", budget=128, seed=seed).values - exact.values).max()
        for seed in range(40)
    ]
    assert np.mean(errors) < 0.006


@pytest.mark.parametrize("name", ["polynomial", pytest.param("sentence", marks=pytest.mark.long)])
def test_the_interval_of_two_standard_errors_covers(name):
    """Over 200 seeds ±1.96 errors hold each exact value in 95 % of cases at least."""
    if name == "polynomial":
        features, budget = 12, 160
        game, truth = polynomial(12, seed=3, terms=25)
    else:
        features, budget = 12, 128

        def game(coalitions):
            return sentence(coalitions[:, :8]) * (1 + coalitions[:, 8:].mean(axis=1))

        truth = explained(game, 12, method="exact").values
    held = np.array(
        [
            np.abs(found.values - truth) <= 1.96 * found.standard_errors
            for found in (
                explained(game, features, method="kernel", budget=budget, seed=seed) for seed in range(200)
            )
        ]
    )
    # A true 95 % falls below 0.9046 once in 400: P(Binomial(200, 0.95) <= 180) = 0.0027.
    assert held.mean(axis=0).min() > 0.9
    assert held.mean() > 0.945


def test_standard_errors_tell_what_the_error_is():
    """They are not wide for nothing: no more than three times the error that is made."""
    game, truth = polynomial(12, seed=3, terms=25)
    found = [explained(game, 12, method="kernel", budget=160, seed=seed) for seed in range(30)]
    errors = np.sqrt(np.mean([(one.values - truth) ** 2 for one in found]))
    assert errors < np.sqrt(np.mean([one.standard_errors**2 for one in found])) < 3 * errors


@pytest.mark.long
def test_many_samples_find_the_truth():
    """Also beyond what the process is fitted to, where the residuals of all others correct it."""
    game, truth = polynomial(20, seed=1, terms=40)
    few, many = (explained(game, 20, method="kernel", budget=budget) for budget in (400, 4000))
    assert np.abs(many.values - truth).max() < min(0.02, np.abs(few.values - truth).max())
    assert (np.abs(many.values - truth) < 4 * many.standard_errors).all()


@pytest.mark.long
def test_thousands_of_samples_err_by_as_much_less():
    """Four times as many halve the error, in a game whose small coalitions differ most; errors tell that."""
    costs = np.arange(1.0, 17)
    truth = np.cumsum(1 / np.arange(16, 0, -1))
    made, told = [], []
    for budget in (1500, 6000):
        found = [
            explained(airport(costs), 16, method="kernel", budget=budget, seed=seed) for seed in range(2)
        ]
        made.append(np.sqrt(np.mean([(one.values - truth) ** 2 for one in found])))
        told.append(np.sqrt(np.mean([one.standard_errors**2 for one in found])))
    assert made[1] < 0.65 * made[0]
    assert np.array(told) == pytest.approx(np.array(made), rel=0.4)


def test_the_same_seed_gives_the_same_values():
    """And another seed others."""
    game, _ = polynomial(14, seed=0)
    first, again, other = (explained(game, 14, budget=200, seed=seed).values for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()


def test_a_score_that_never_changes_is_nobodys_doing():
    """Nor is it an error."""
    found = explained(lambda c: np.full(len(c), 0.25), 15, method="kernel", budget=100)
    assert found.values == pytest.approx(np.zeros(15), abs=1e-12)
    assert found.standard_errors == pytest.approx(np.zeros(15), abs=1e-12)


@pytest.mark.parametrize("features", range(4, 12))
def test_the_least_budget_is_enough(features):
    """For every method, with any draw."""
    game, _ = polynomial(features, seed=features)
    for method in ("exact", "kernel", "fast"):
        for seed in range(5):
            least = least_budget(features, method)
            assert np.isfinite(explained(game, features, method=method, budget=least, seed=seed).values).all()


def test_auto_takes_the_best_that_the_budget_allows():
    """All coalitions, or KernelSHAP, or leave-one-out with a note."""
    assert choose(8, method="auto", budget=256) == "exact"
    assert choose(8, method="auto", budget=255) == "kernel"
    assert choose(MOST_EXACT_FEATURES + 1, method="auto", budget=2**20) == "kernel"
    game, _ = polynomial(40, seed=0)
    few = explained(game, 40, budget=100)
    assert few.method == "fast"
    assert few.evaluations == 42
    assert "too small for KernelSHAP, which takes 122" in few.notes[0]
    assert explained(sentence, 8, method="kernel").method == "exact"


@pytest.mark.parametrize(
    ("features", "method", "budget", "told"),
    [
        (40, "auto", 41, "takes at least 42 evaluations for 40 features, and 41 may be spent"),
        (40, "kernel", 100, "raise the budget, or ask for the method `fast`"),
        (10, "exact", 1000, "takes at least 1,024 evaluations"),
        (17, "exact", 10**6, "exact values take at most 16 features"),
    ],
)
def test_a_budget_that_cannot_do_is_refused(features, method, budget, told):
    """With what would do."""
    with pytest.raises(Unprocessable, match=told):
        choose(features, method=method, budget=budget)


def test_pairs_are_different_ones_of_every_size():
    """No pair twice, small sizes whole, in proportion to 1 / √(s (n - s))."""
    pairs = sample_pairs(10, 511, rng=np.random.default_rng(0))
    assert len({row.tobytes() for row in pairs} | {row.tobytes() for row in ~pairs}) == 2 * pairs_in_all(10)
    counts = np.mean([shares(24, 100, rng=np.random.default_rng(seed)) for seed in range(300)], axis=0)
    part = np.array([1 / np.sqrt(s * (24 - s)) for s in range(1, 13)])
    assert counts == pytest.approx(100 * part / part.sum(), abs=0.15)
    assert shares(12, 400, rng=np.random.default_rng(0))[:2] == [12, comb(12, 2)]
    large = sample_pairs(40, 300, rng=np.random.default_rng(0))
    assert len({row.tobytes() for row in large}) == 300
