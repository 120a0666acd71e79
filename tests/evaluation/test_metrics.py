import math

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server.evaluation import metrics

# Five rows of three classes: said 0, 0, 1, 1, 0; class 2 is a target once and never said.
SAID = np.array([0, 0, 1, 1, 0])
TARGETS = np.array([0, 1, 1, 1, 2])
NUMBERS = st.floats(-1e6, 1e6)
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


def columns(rows):
    return [np.array(column) for column in zip(*rows, strict=True)]


def weighted(rows):
    """Return two columns and their weights, of which at least one is above 0."""
    one, other, weights = columns(rows)
    weights[0] += 1
    return one, other, weights.astype(float)


def test_accuracy_by_hand():
    """Three of five are right; all right is 1, all wrong is 0."""
    assert metrics.accuracy(SAID, TARGETS) == pytest.approx(3 / 5)
    assert metrics.accuracy(TARGETS, TARGETS) == 1
    assert metrics.accuracy((TARGETS + 1) % 3, TARGETS) == 0


@given(PAIRS)
@settings(deadline=None)
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(rows):
    """Weighted as well: a row of the weight 2 is two rows."""
    said, targets, weights = weighted(rows)
    assert metrics.accuracy(said, targets, weights) == pytest.approx(
        reference.accuracy_score(targets, said, sample_weight=weights)
    )
    met = weights > 0
    labels = np.union1d(said[met], targets[met])
    assert metrics.macro_f1(said, targets, weights) == pytest.approx(
        reference.f1_score(
            targets, said, average="macro", labels=labels, sample_weight=weights, zero_division=0
        )
    )


@given(PAIRS)
@settings(deadline=None)
def test_the_confusion_matrix_is_that_of_scikit_learn(rows):
    """Rows are what was true, columns what was said."""
    said, targets, _ = columns(rows)
    expected = reference.confusion_matrix(targets, said, labels=range(4))
    assert metrics.confusion_matrix(said, targets, classes=4).tolist() == expected.tolist()


def test_macro_f1_by_hand():
    """Class 0 has 1 hit of 3 said and 1 true, class 1 has 2 hits of 2 said and 3 true, class 2 has none."""
    assert metrics.macro_f1(SAID, TARGETS) == pytest.approx((2 / 4 + 4 / 5 + 0) / 3)


def test_macro_f1_over_all_classes_gives_zero_to_one_that_is_not_there():
    """Over those that were met it counts for nothing."""
    said = targets = np.array([0, 1])
    assert metrics.macro_f1(said, targets, classes=3) == pytest.approx(2 / 3)
    assert metrics.macro_f1(said, targets) == 1


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 3)), min_size=2, max_size=40))
@settings(deadline=None)
def test_cross_entropy_is_that_of_scikit_learn(rows):
    """In nats, and clipped in the same way."""
    first, targets, weights = weighted(rows)
    scores = np.clip(np.column_stack([first, 1 - first]), 1e-12, 1)
    scores /= scores.sum(axis=1, keepdims=True)
    expected = reference.log_loss(targets, scores, labels=[0, 1], sample_weight=weights)
    own = scores[np.arange(len(targets)), targets]
    assert metrics.cross_entropy(own, weights) == pytest.approx(expected, abs=1e-9)


def test_cross_entropy_at_its_ends():
    """Certainty that came true costs nothing, an impossibility that did 34.5 nats."""
    assert metrics.cross_entropy(np.array([0.5, 0.125])) == pytest.approx(2 * math.log(2))
    certain = metrics.cross_entropy(np.array([1.0, 1 + 1e-7]))
    assert (certain, math.copysign(1, certain)) == (0, 1)
    assert metrics.cross_entropy(np.array([0.0])) == pytest.approx(34.5, abs=0.05)


def test_calibration_by_hand():
    """Two rows at 0.9 of which one is right, two at 0.5 of which both are: gaps of 0.4 and 0.5."""
    confidence, right = np.array([0.9, 0.9, 0.5, 0.5]), np.array([True, False, True, True])
    assert metrics.expected_calibration_error(confidence, right) == pytest.approx(0.5 * 0.4 + 0.5 * 0.5)


def test_a_bin_holds_its_upper_edge():
    """0 is in the first bin, 1 in the last, and each edge in the bin below it."""
    edges = np.arange(16) / 15
    assert metrics.calibration_bins(edges)[[0, 15]].tolist() == [0, 14]
    assert metrics.calibration_bins(np.array([0.2, 0.2 + 1e-9])).tolist() == [2, 3]


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(0, 3)), min_size=2, max_size=40))
@settings(deadline=None)
def test_regression_is_that_of_scikit_learn(rows):
    """Squared, absolute and relative to the mean of the targets."""
    values, targets, weights = weighted(rows)
    for ours, theirs in [
        (metrics.mean_squared_error, reference.mean_squared_error),
        (metrics.mean_absolute_error, reference.mean_absolute_error),
        (metrics.root_mean_squared_error, reference.root_mean_squared_error),
    ]:
        expected = theirs(targets, values, sample_weight=weights)
        assert ours(values, targets, weights) == pytest.approx(expected)
    if np.ptp(targets[weights > 0]) > 1:
        expected = reference.r2_score(targets, values, sample_weight=weights)
        assert metrics.r_squared(values, targets, weights) == pytest.approx(expected)


def test_r_squared_at_its_ends():
    """What the mean reaches is 0, perfection is 1, and of equal targets there is none."""
    targets = np.array([1.0, 2.0, 3.0])
    assert metrics.r_squared(np.full(3, 2.0), targets) == 0
    assert metrics.r_squared(targets, targets) == 1
    assert math.isnan(metrics.r_squared(targets, np.ones(3)))


def test_the_metrics_of_a_package_come_from_probabilities_or_values():
    """What the demo and the catalogue write into manifests."""
    probabilities = np.array([[0.75, 0.25], [0.5, 0.5]])
    assert metrics.of_probabilities(probabilities, np.array([0, 1])) == {
        "accuracy": 0.5,
        "macro_f1": pytest.approx(1 / 3),
        "cross_entropy": pytest.approx((-math.log(0.75) - math.log(0.5)) / 2),
    }
    values = metrics.of_values(np.array([1.0, 3.0, 1.0]), np.array([1.0, 2.0, 3.0]))
    assert values == {
        "r_squared": pytest.approx(1 - 5 / 2),
        "mean_absolute_error": pytest.approx(1.0),
        "root_mean_squared_error": pytest.approx((5 / 3) ** 0.5),
    }
