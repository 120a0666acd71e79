"""What the serving benchmarks conclude from what they measured."""

import numpy as np
import pytest
from drift import Drift
from goals import GOALS, Goal
from report import page

ABOUT = {"machine": "a machine", "versions": "Python", "generator": "wrk", "rounds": "2 rounds of 1 s"}


def drifting(slope, *, noise=0.5, samples=200):
    """Return samples that grow by so much in each of some units, with noise."""
    drift = Drift("work", "cycle", allowed=0.1)
    random = np.random.default_rng(0)
    for at in range(samples):
        drift.add(at, 300 + slope * at + noise * random.standard_normal())
    return drift


@pytest.mark.parametrize(
    ("slope", "noise", "verdict"),
    [(0.0, 0.5, "flat"), (0.2, 0.5, "grows"), (-0.2, 0.5, "flat"), (0.1, 20.0, "too short to tell")],
)
def test_memory_is_flat_only_when_that_is_certain(slope, noise, verdict):
    """A slope is held against what is allowed with all of its uncertainty."""
    assert drifting(slope, noise=noise).verdict == verdict


def test_what_settles_at_first_is_not_growth():
    """Caches and allocators fill in the first fifth."""
    drift = drifting(0.0)
    drift.megabytes[:40] = np.linspace(100, 300, 40)
    assert drift.verdict == "flat"


def result(rates, *, cpu=(1.0, 1.0), failures=0):
    """Return a load's figures: this server's requests per second beside 100 of FastAPI."""

    def figures(rate, cpu_ms, failed=0):
        return {"rate": rate, "cpu_ms": cpu_ms, "latency_ms": [1.0, 1.0], "failures": [0, failed]}

    return {
        "load": "tiny",
        "connections": 32,
        "notes": {},
        "figures": {
            "this server": figures(rates, cpu),
            "lean FastAPI": figures((100.0, 100.0), (2.0, 2.0), failures),
        },
    }


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ((310.0, 330.0), "met, stretch too"),
        ((240.0, 280.0), "met"),
        ((200.0, 280.0), "missed, within the spread"),
        ((200.0, 210.0), "missed"),
    ],
)
def test_a_goal_is_met_by_the_median_of_the_rounds(rates, verdict):
    """The best round alone does not meet it."""
    goal = Goal("tiny", 32, "lean FastAPI", 2.5, stretch=3.0)
    assert goal.verdict(goal.reached([result(rates)])) == verdict


def test_less_is_better_of_processor_time():
    """The same line of the report, read the other way round."""
    goal = Goal("tiny", 32, "lean FastAPI", 0.5, measure="cpu_ms", stretch=0.4)
    assert goal.verdict(goal.reached([result((1.0, 1.0), cpu=(0.7, 0.9))])) == "met, stretch too"
    assert goal.verdict(goal.reached([result((1.0, 1.0), cpu=(1.1, 0.9))])) == "met"
    assert goal.verdict(goal.reached([result((1.0, 1.0), cpu=(1.2, 1.3))])) == "missed"


def test_the_report_says_what_was_not_measured_and_what_failed():
    """Each goal has its line, and a server that failed calls has no ratio."""
    text = page([result((300.0, 300.0), failures=7)], ABOUT)
    assert text.count("not measured |") == len(GOALS)
    assert "100, 7 calls failed" in text
    assert "3.00 (3.00 to 3.00)" in page([result((300.0, 300.0))], ABOUT)
