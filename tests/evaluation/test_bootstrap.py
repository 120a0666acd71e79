import numpy as np
import pytest

from reference_server.evaluation.bootstrap import intervals

RIGHT = np.arange(400) % 4 != 0


def accuracy(weights):
    return {"accuracy": float(RIGHT @ weights / weights.sum())}


def test_the_interval_of_a_share_is_as_wide_as_theory_says():
    """Of 400 rows that are right in three of four: 0.75 ± 1.96 · √(0.75 · 0.25 / 400)."""
    low, high = intervals(accuracy, 400)["accuracy"]
    width = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert low == pytest.approx(0.75 - width, abs=0.01)
    assert high == pytest.approx(0.75 + width, abs=0.01)


def test_the_same_seed_gives_the_same_interval():
    """And another seed another one."""
    first = intervals(accuracy, 400, resamples=100)
    assert first == intervals(accuracy, 400, resamples=100)
    assert first != intervals(accuracy, 400, resamples=100, seed=1)


def test_every_sample_has_as_many_rows_as_there_are():
    """Rows are drawn with replacement."""
    seen = []
    intervals(lambda weights: seen.append(weights) or {}, 50, resamples=20)
    assert {weights.sum() for weights in seen} == {50.0}
    assert all(weights.max() > 1 for weights in seen)


def test_what_cannot_be_measured_in_some_sample_has_no_interval():
    """Nor has anything of a single row."""
    assert intervals(lambda weights: {"r": float("nan") if weights[0] else 1.0}, 5) == {}
    assert intervals(accuracy, 1) == {}


def test_the_work_ends_where_it_is_told_to():
    """A cancelled job does not draw a thousand samples more."""

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        intervals(accuracy, 400, each=stop)
