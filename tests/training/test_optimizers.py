import numpy as np
import pytest

from reference_server.training.linear import Gradient, LinearClassifier
from reference_server.training.losses import CrossEntropy
from reference_server.training.optimizers import GradientDescent


def test_one_step_is_theta_minus_alpha_times_the_gradient(model, bags, targets, differences):
    """A step subtracts alpha * grad J, as finite differences have it: repeated ids lose no part."""
    loss, alpha = CrossEntropy(), 0.7

    def value():
        return loss.value(model.logits(bags), targets)

    expected_weights = model.weights - alpha * differences(value, model.weights)
    expected_bias = model.bias - alpha * differences(value, model.bias)
    gradient = model.gradient(bags, loss.gradient(model.logits(bags), targets))
    GradientDescent(alpha).step(model, gradient, progress=0)
    np.testing.assert_allclose(model.weights, expected_weights, atol=1e-9)
    np.testing.assert_allclose(model.bias, expected_bias, atol=1e-9)


def test_a_step_by_hand():
    """Id 1 comes twice with 1 and 2; with a rate of 1/2 its weight falls by 3/2, the bias by its half."""
    model = LinearClassifier(3, 2)
    gradient = Gradient(
        np.array([1, 0, 1]), np.array([[1.0, 4.0, 2.0], [-1.0, 0.0, -2.0]]), np.array([1.0, -1])
    )
    GradientDescent(0.5).step(model, gradient, progress=0)
    np.testing.assert_array_equal(model.weights, [[-2, -1.5, 0], [0, 1.5, 0]])
    np.testing.assert_array_equal(model.bias, [-0.5, 0.5])


@pytest.mark.parametrize(("progress", "share"), [(0, 1), (0.5, 0.51), (1, 0.02)])
def test_the_rate_falls_linearly_to_a_fiftieth(progress, share):
    """At the start the rate is whole, half way 51 %, at the end 2 %."""
    model = LinearClassifier(1, 2)
    gradient = Gradient(np.array([0]), np.array([[1.0], [2.0]]), np.array([3.0, 4.0]))
    GradientDescent(10).step(model, gradient, progress=progress)
    np.testing.assert_allclose(model.weights, [[-10 * share], [-20 * share]])
    np.testing.assert_allclose(model.bias, [-30 * share, -40 * share])


def test_weights_that_no_id_names_stay(model):
    """Only named columns move."""
    before = model.weights.copy()
    GradientDescent(1).step(model, Gradient(np.array([2]), np.ones((3, 1)), np.zeros(3)), progress=0)
    changed = np.flatnonzero((model.weights != before).any(axis=0))
    np.testing.assert_array_equal(changed, [2])
