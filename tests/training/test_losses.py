import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference_server.training.losses import CrossEntropy, SquaredError, softmax

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


def test_squared_error_is_half_the_mean_square():
    """Two rows by hand: off by 1 and by 3."""
    outputs, targets = np.array([[2.0], [1.0]]), np.array([1.0, 4.0])
    assert SquaredError().value(outputs, targets) == pytest.approx((1 + 9) / 4)
    np.testing.assert_allclose(SquaredError().gradient(outputs, targets), [[0.5], [-1.5]])


@given(st.integers(0, 2**32 - 1))
def test_the_gradient_of_the_squared_error_is_its_slope(seed):
    """Central differences, at any point."""
    random = np.random.default_rng(seed)
    outputs, targets, step = random.normal(size=(4, 1)), random.normal(size=4), 1e-6
    slopes = np.zeros_like(outputs)
    for row in range(4):
        shift = np.zeros_like(outputs)
        shift[row] = step
        up, down = (SquaredError().value(outputs + sign * shift, targets) for sign in (1, -1))
        slopes[row] = (up - down) / (2 * step)
    np.testing.assert_allclose(SquaredError().gradient(outputs, targets), slopes, atol=1e-6)
