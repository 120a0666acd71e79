import numpy as np
import pytest

from reference_server.explain.importance import importance


def ranked(rows, seed=0):
    return importance(rows, rng=np.random.default_rng(seed))


def test_each_feature_is_averaged_over_the_rows_that_have_it():
    """The size tells how much it counts, the mean which way."""
    found = ranked([{"good": 0.4, "film": -0.1}, {"good": -0.2}, {"good": 0.3, "film": 0.1}])
    assert [one.feature for one in found] == ["good", "film"]
    assert found[0].mean_absolute == pytest.approx(0.3)
    assert found[0].mean == pytest.approx(0.5 / 3)
    assert [one.rows for one in found] == [3, 2]
    assert found[1].mean == pytest.approx(0)


def test_the_interval_is_as_wide_as_theory_says():
    """Of the mean of 400 values: ± 1.96 · deviation / √400."""
    sizes = np.random.default_rng(1).gamma(2.0, size=400)
    low, high = ranked([{"x": size} for size in sizes])[0].interval
    width = 1.96 * sizes.std() / 20
    assert low == pytest.approx(sizes.mean() - width, abs=0.02)
    assert high == pytest.approx(sizes.mean() + width, abs=0.02)


def test_the_interval_covers():
    """Of 200 data sets it holds the true mean in nearly 95 %."""
    draw = np.random.default_rng(2)
    intervals = [ranked([{"x": size} for size in draw.gamma(2.0, size=60)])[0].interval for _ in range(200)]
    # P(Binomial(200, 0.95) <= 180) = 0.003.
    assert sum(low <= 2.0 <= high for low, high in intervals) > 180


def test_one_row_has_no_interval_and_none_no_features():
    """Nothing is known of others."""
    assert ranked([{"x": 1.0}])[0].interval is None
    assert ranked([]) == []


def test_the_same_seed_gives_the_same_intervals():
    """And another one others."""
    rows = [{"x": value} for value in np.random.default_rng(0).normal(size=30)]
    assert ranked(rows) == ranked(rows)
    assert ranked(rows) != ranked(rows, seed=1)


def test_the_work_ends_where_it_is_told_to():
    """A cancelled job does not go through all words."""

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        importance([{"x": 1.0}], rng=np.random.default_rng(0), check=stop)
