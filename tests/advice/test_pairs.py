"""Times beside times: order, when to stop, and an interval that covers what it should."""

import numpy as np
import pytest

from maas_client._timed_pairs import LEAST_PAIRS, median_ratio, take


class Clock:
    """Goes on by what each piece of work takes."""

    def __init__(self):
        self.now, self.done = 0.0, []

    def work(self, name, seconds):
        def run(number):
            self.now += seconds
            self.done.append((name, number))
            return seconds

        return run

    def __call__(self):
        return self.now


def test_the_two_take_turns_at_being_first():
    """So that what a run leaves behind meets both alike."""
    clock = Clock()
    pairs = take(clock.work("a", 1), clock.work("b", 2), seconds=10, timer=clock)
    assert clock.done[:4] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert (pairs.original, pairs.variant) == ([1] * len(pairs), [2] * len(pairs))
    assert pairs.ratio().median == 2


@pytest.mark.parametrize(
    ("each", "seconds", "count"),
    [(0.1, 10.0, 50), (1.0, 0.5, 1), (1.0, 4.0, LEAST_PAIRS), (100.0, 1.0, 1), (1e-6, 10.0, 400)],
)
def test_it_stops_when_the_time_is_over_or_there_are_enough(each, seconds, count):
    """With the least number where four times the time allows that, and one whatever it takes."""
    clock = Clock()
    pairs = take(clock.work("a", each), clock.work("b", each), seconds=seconds, timer=clock)
    assert abs(len(pairs) - count) <= 1


def test_it_stops_when_it_may_not_go_on():
    """As when the rows are spent."""
    clock, left = Clock(), iter([True, True, False])
    pairs = take(
        clock.work("a", 1), clock.work("b", 1), seconds=99, timer=clock, may_go_on=lambda: next(left)
    )
    assert len(pairs) == 2


def test_too_few_pairs_have_no_interval():
    """Of five, all lie on one side of the median once in 16 times."""
    found = median_ratio([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.median, found.low, found.high, found.pairs) == (3.0, None, None, 5)


@pytest.mark.parametrize(("count", "low", "high"), [(6, 1, 6), (9, 2, 8), (20, 6, 15), (100, 40, 61)])
def test_the_interval_is_that_of_the_tables(count, low, high):
    """Conover, table A3 by the binomial distribution: these order statistics cover 95 %."""
    found = median_ratio([1.0] * count, [float(each) for each in range(1, count + 1)])
    assert (found.low, found.high) == (low, high)


def test_the_interval_covers_the_median_in_at_least_95_of_100():
    """Whatever the distribution: here one with a long tail, as times have."""
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(2000):
        found = median_ratio([1.0] * 25, random.lognormal(0, 1, 25).tolist())
        hits += found.low <= 1 <= found.high
    assert 0.945 <= hits / 2000 <= 0.975
