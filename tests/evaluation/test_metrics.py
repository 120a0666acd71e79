import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server.evaluation import metrics

# Five rows of three classes: said 0, 0, 1, 1, 0; class 2 is a target once and never said.
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]
)
TARGETS = np.array([0, 1, 1, 1, 2])


def said(*labels, classes=2):
    return np.eye(classes)[list(labels)]


def test_accuracy_by_hand():
    """Three of five are right."""
    assert metrics.accuracy(PROBABILITIES, TARGETS) == pytest.approx(3 / 5)


def test_accuracy_at_its_ends():
    """All right is 1, all wrong is 0."""
    assert metrics.accuracy(said(0, 1, 1), np.array([0, 1, 1])) == 1
    assert metrics.accuracy(said(0, 1, 1), np.array([1, 0, 0])) == 0


def test_macro_f1_by_hand():
    """Class 0 has 1 hit of 3 said and 1 true, class 1 has 2 hits of 2 said and 3 true, class 2 has none."""
    assert metrics.macro_f1(PROBABILITIES, TARGETS) == pytest.approx((2 / 4 + 4 / 5 + 0) / 3)


def test_macro_f1_counts_a_class_that_is_never_said():
    """Saying the greater class always looks well in accuracy and badly here."""
    probabilities, targets = said(1, 1, 1, 1, 1), np.array([1, 1, 1, 1, 0])
    assert metrics.accuracy(probabilities, targets) == pytest.approx(0.8)
    assert metrics.macro_f1(probabilities, targets) == pytest.approx((0 + 8 / 9) / 2)


def test_macro_f1_gives_zero_to_a_class_that_is_not_there():
    """A class that is neither said nor true counts 0, as documented, and divides nothing by zero."""
    assert metrics.macro_f1(said(0, 1, classes=3), np.array([0, 1])) == pytest.approx(2 / 3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
@settings(deadline=None)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(pairs):
    """The formula over counts agrees with the definition over precision and recall."""
    answers, targets = (np.array(column) for column in zip(*pairs, strict=True))
    scores = []
    for label in range(4):
        hits = sum(a == t == label for a, t in pairs)
        precision = hits / max(1, (answers == label).sum())
        recall = hits / max(1, (targets == label).sum())
        scores.append(2 * precision * recall / (precision + recall) if hits else 0)
    probabilities = said(*answers, classes=4)
    assert metrics.macro_f1(probabilities, targets) == pytest.approx(sum(scores) / 4)


def test_cross_entropy_by_hand():
    """Targets given 1/2 and 1/8 lose 1 and 3 bits: 2 on average, in nats."""
    probabilities = np.array([[0.5, 0.5], [0.875, 0.125]])
    assert metrics.cross_entropy(probabilities, np.array([0, 1])) == pytest.approx(2 * math.log(2))


def test_cross_entropy_of_certainty_is_zero():
    """What was certain and came true costs nothing."""
    assert metrics.cross_entropy(said(0, 1), np.array([0, 1])) == 0


def test_cross_entropy_clips_what_was_called_impossible():
    """A probability of 0 counts as 1e-15: the mean stays finite, and says how bad it is."""
    value = metrics.cross_entropy(said(0, 1), np.array([1, 1]))
    assert value == pytest.approx(-math.log(1e-15) / 2)


def test_cross_entropy_does_not_reward_more_than_certainty():
    """A probability that rounding lifts above 1 costs nothing, and does not lower the mean."""
    assert metrics.cross_entropy(np.array([[1 + 1e-7, 0.0]]), np.array([0])) == 0


def test_regression_by_hand():
    """Targets 1, 2, 3 and values off by 0, 1 and -2: squares 5 against a spread of 2."""
    values, targets = np.array([1.0, 3.0, 1.0]), np.array([1.0, 2.0, 3.0])
    assert metrics.r_squared(values, targets) == pytest.approx(1 - 5 / 2)
    assert metrics.mean_absolute_error(values, targets) == pytest.approx(1.0)
    assert metrics.root_mean_squared_error(values, targets) == pytest.approx((5 / 3) ** 0.5)
    assert metrics.r_squared(np.full(3, 2.0), targets) == 0
    assert metrics.r_squared(targets, targets) == 1
