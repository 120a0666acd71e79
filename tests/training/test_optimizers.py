import numpy as np
import pytest

from reference_server.training.linear import Gradient, LinearClassifier
from reference_server.training.losses import CrossEntropy
from reference_server.training.optimizers import Adam, GradientDescent, Momentum, optimizer


def test_one_step_is_theta_minus_alpha_times_the_gradient(model, bags, targets, differences):
    """A step subtracts alpha * grad J, as finite differences have it: repeated ids lose no part."""
    loss, alpha = CrossEntropy(), 0.7

    def value():
        return loss.value(model.logits(bags), targets)

    expected_weights = model.weights - alpha * differences(value, model.weights)
    expected_bias = model.bias - alpha * differences(value, model.bias)
    gradient = model.gradient(bags, loss.gradient(model.logits(bags), targets))
    GradientDescent().step(model, gradient, rate=alpha)
    np.testing.assert_allclose(model.weights, expected_weights, atol=1e-9)
    np.testing.assert_allclose(model.bias, expected_bias, atol=1e-9)


def test_a_step_by_hand():
    """Id 1 comes twice with 1 and 2; with a rate of 1/2 its weight falls by 3/2, the bias by its half."""
    model = LinearClassifier(3, 2)
    gradient = Gradient(
        np.array([1, 0, 1]), np.array([[1.0, 4.0, 2.0], [-1.0, 0.0, -2.0]]), np.array([1.0, -1])
    )
    GradientDescent().step(model, gradient, rate=0.5)
    np.testing.assert_array_equal(model.weights, [[-2, -1.5, 0], [0, 1.5, 0]])
    np.testing.assert_array_equal(model.bias, [-0.5, 0.5])


def test_weights_that_no_id_names_stay(model):
    """Only named columns move."""
    before = model.weights.copy()
    GradientDescent().step(model, Gradient(np.array([2]), np.ones((3, 1)), np.zeros(3)), rate=1)
    changed = np.flatnonzero((model.weights != before).any(axis=0))
    np.testing.assert_array_equal(changed, [2])


def steps_of(optimizer, slopes, rate=0.5):
    """Return a single weight after each of several steps along given slopes, the bias doing the same."""
    model, seen = LinearClassifier(1, 1), []
    for slope in slopes:
        gradient = Gradient(np.array([0]), np.array([[slope]]), np.array([slope]))
        optimizer.step(model, gradient, rate=rate)
        assert model.bias[0] == model.weights[0, 0]
        seen.append(float(model.bias[0]))
    return seen


def test_momentum_by_hand():
    """Slopes 1, 1 and 0 at μ = ½: velocities 1, 1½ and ¾, of which the rate is a half."""
    assert steps_of(Momentum(0.5), [1.0, 1.0, 0.0]) == [-0.5, -1.25, -1.625]


def test_momentum_adds_up_to_a_longer_step():
    """Along one slope it ends at 1 / (1 - μ) times a plain step."""
    seen = steps_of(Momentum(0.9), [1.0] * 200, rate=1.0)
    assert seen[-2] - seen[-1] == pytest.approx(10)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_adams_first_step_is_the_rate_whatever_the_slope(size):
    """The corrected moments are the slope and its square: their ratio is its sign."""
    assert steps_of(Adam(), [size])[0] == pytest.approx(-0.5, rel=1e-4)
    assert steps_of(Adam(), [-size])[0] == pytest.approx(0.5, rel=1e-4)


def test_adam_by_the_paper():
    """Three steps of algorithm 1, its moments kept without any running correction."""
    slopes, rate, theta, expected = [1.0, -2.0, 0.5], 0.1, 0.0, []
    for t in range(1, 4):
        decays = np.arange(t - 1, -1, -1)
        mean = (0.1 * 0.9**decays * slopes[:t]).sum() / (1 - 0.9**t)
        square = (0.001 * 0.999**decays * np.square(slopes[:t])).sum() / (1 - 0.999**t)
        theta -= rate * mean / (np.sqrt(square) + 1e-8)
        expected.append(theta)
    np.testing.assert_allclose(steps_of(Adam(), slopes, rate), expected, rtol=1e-12)


@pytest.mark.parametrize("made", [Momentum, Adam])
def test_repeated_ids_lose_no_part(made, model):
    """What a batch has twice counts twice, as if it had come once with the sum."""
    other = LinearClassifier(6, 3)
    other.weights[:], other.bias[:] = model.weights, model.bias
    twice = Gradient(np.array([1, 1]), np.array([[1.0, 2.0]] * 3), np.zeros(3))
    once = Gradient(np.array([1]), np.array([[3.0]] * 3), np.zeros(3))
    made().step(model, twice, rate=0.1)
    made().step(other, once, rate=0.1)
    np.testing.assert_array_equal(model.weights, other.weights)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_an_optimizer_goes_on_from_its_moments(name):
    """Made again with what it remembered, it takes the very step that the first one takes."""
    first = optimizer(name)
    steps_of(first, [1.0, 0.5])
    second = optimizer(name, first.moments)
    assert steps_of(first, [2.0]) == steps_of(second, [2.0])
    # What goes on must not write into what was kept.
    assert first.moments.keys() == second.moments.keys()
    assert not any(np.shares_memory(first.moments[key], second.moments[key]) for key in first.moments)
