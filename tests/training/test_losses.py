import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference_server.training.losses import CrossEntropy, MeanSquaredError, balanced, softmax

cases = st.tuples(st.integers(1, 6), st.integers(2, 5), st.integers(0, 2**32 - 1))


def drawn(case):
    rows, classes, seed = case
    random = np.random.default_rng(seed)
    return random.normal(scale=3, size=(rows, classes)), random.integers(classes, size=rows)


def test_cross_entropy_is_the_mean_of_minus_log_p():
    """Two rows by hand: odds of 3 to 1 for the target, then of 1 to 1 to 2 against it."""
    logits = np.log([[3.0, 1.0, 1e-300], [1.0, 1.0, 2.0]])
    value = CrossEntropy().value(logits, np.array([0, 1]))
    assert value == pytest.approx((-math.log(3 / 4) - math.log(1 / 4)) / 2)


def test_equal_logits_lose_the_log_of_the_number_of_classes():
    """A model that knows nothing starts at ln(classes)."""
    for classes in (2, 3, 10):
        value = CrossEntropy().value(np.zeros((4, classes)), np.arange(4) % classes)
        assert value == pytest.approx(math.log(classes))


@given(cases)
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_gradient_is_the_finite_difference(differences, case):
    """Whatever the shape, each derivative agrees with central differences of the value."""
    logits, targets = drawn(case)
    loss = CrossEntropy()
    expected = differences(lambda: loss.value(logits, targets), logits)
    np.testing.assert_allclose(loss.gradient(logits, targets), expected, rtol=1e-5, atol=1e-8)


@given(cases)
@settings(deadline=None)
def test_each_row_of_the_gradient_sums_to_zero(case):
    """A shift of all logits of a row changes nothing, so no gradient points that way."""
    logits, targets = drawn(case)
    np.testing.assert_allclose(CrossEntropy().gradient(logits, targets).sum(axis=1), 0, atol=1e-15)


@given(cases, st.floats(-1e6, 1e6))
@settings(deadline=None)
def test_softmax_gives_probabilities_that_a_shift_does_not_change(case, shift):
    """Rows sum to 1, and only differences of logits matter."""
    logits, _ = drawn(case)
    probabilities = softmax(logits)
    assert (probabilities > 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(softmax(logits + shift), probabilities, rtol=1e-8)


@pytest.mark.parametrize("huge", [1e3, 1e30, 1e300])
def test_huge_logits_neither_overflow_nor_lose_their_order(huge):
    """Logits of any size give probabilities, a loss and a gradient without one floating-point warning."""
    logits, targets = np.array([[huge, -huge], [-huge, huge], [huge, huge]]), np.array([0, 1, 0])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_array_equal(softmax(logits), [[1, 0], [0, 1], [0.5, 0.5]])
        assert CrossEntropy().value(logits, targets) == pytest.approx(math.log(2) / 3)
        np.testing.assert_allclose(
            CrossEntropy().gradient(logits, targets), [[0, 0], [0, 0], [-1 / 6, 1 / 6]], atol=1e-15
        )


def test_a_hopeless_row_has_a_finite_loss():
    """Where p rounds to 0 its logarithm does not: the loss is the distance of the logits."""
    assert CrossEntropy().value(np.array([[0.0, 5000.0]]), np.array([0])) == pytest.approx(5000)


def test_the_arguments_stay_as_they_are():
    """Neither value nor gradient writes into what it was given."""
    logits, targets = drawn((3, 2, 1))
    before = logits.copy()
    CrossEntropy().value(logits, targets)
    CrossEntropy().gradient(logits, targets)
    np.testing.assert_array_equal(logits, before)


def test_mean_squared_error_by_hand():
    """Two rows: off by 1 and by 3."""
    outputs, targets = np.array([[2.0], [1.0]]), np.array([1.0, 4.0])
    assert MeanSquaredError().value(outputs, targets) == pytest.approx((1 + 9) / 2)
    np.testing.assert_allclose(MeanSquaredError().gradient(outputs, targets), [[1], [-3]])


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_gradient_of_the_squared_error_is_its_slope(differences, rows, seed):
    """Central differences, at any point."""
    random = np.random.default_rng(seed)
    outputs, targets, loss = random.normal(size=(rows, 1)), random.normal(size=rows), MeanSquaredError()
    slopes = differences(lambda: loss.value(outputs, targets), outputs)
    np.testing.assert_allclose(loss.gradient(outputs, targets), slopes, atol=1e-8)


smoothed = st.tuples(cases, st.floats(0, 0.9), st.booleans())


def loss_for(smoothing, weighted, classes):
    weights = np.linspace(0.5, 2, classes) if weighted else None
    return CrossEntropy(label_smoothing=smoothing, class_weights=weights)


@given(smoothed)
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_with_smoothing_and_weights_the_gradient_is_the_finite_difference(differences, case):
    """In any mixture of the two."""
    drawing, smoothing, weighted = case
    logits, targets = drawn(drawing)
    loss = loss_for(smoothing, weighted, logits.shape[1])
    expected = differences(lambda: loss.value(logits, targets), logits)
    np.testing.assert_allclose(loss.gradient(logits, targets), expected, rtol=1e-5, atol=1e-8)


@given(smoothed)
@settings(deadline=None)
def test_smoothing_and_weights_are_the_definition(case):
    """The mean of w(y) · -Σ q log p, every term written out."""
    drawing, smoothing, weighted = case
    logits, targets = drawn(drawing)
    classes = logits.shape[1]
    weights = np.linspace(0.5, 2, classes) if weighted else np.ones(classes)
    log_p = np.log(softmax(logits))
    terms = [
        weights[target]
        * -sum(
            ((1 - smoothing) * (index == target) + smoothing / classes) * row[index]
            for index in range(classes)
        )
        for row, target in zip(log_p, targets, strict=True)
    ]
    assert loss_for(smoothing, weighted, classes).value(logits, targets) == pytest.approx(np.mean(terms))


def test_smoothing_makes_certainty_cost():
    """Its minimum is where p is q: there the gradient is zero, and beyond it the loss rises again."""
    loss, targets = CrossEntropy(label_smoothing=0.2), np.array([0])
    best = np.log([[0.9, 0.1]])
    np.testing.assert_allclose(loss.gradient(best, targets), 0, atol=1e-15)
    assert loss.value(best, targets) < loss.value(np.log([[0.999, 0.001]]), targets)


def test_balanced_weights_make_classes_count_alike():
    """Three rows of one class and one of another: each class gets half of all weight, whose mean is 1."""
    targets = np.array([0, 0, 0, 1])
    weights = balanced(targets, 2)
    np.testing.assert_allclose(weights, [2 / 3, 2])
    assert weights[targets].mean() == pytest.approx(1)
    assert balanced(targets, 3)[2] == pytest.approx(4 / 3)  # a class without rows is no division by zero
