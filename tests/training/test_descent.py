from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from reference_server.training.descent import descend
from reference_server.training.linear import Bags, LinearClassifier
from reference_server.training.losses import CrossEntropy
from reference_server.training.optimizers import GradientDescent


@dataclass
class Watched:
    """A loss and an optimizer that write down what they were given; as classes, the rows' own numbers."""

    batches: list[np.ndarray] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)

    def value(self, logits, targets):
        return 0.0

    def gradient(self, logits, targets):
        assert len(logits) == len(targets)
        self.batches.append(targets)
        return np.zeros_like(logits)

    def step(self, model, gradient, *, progress):
        self.progress.append(progress)


@pytest.fixture
def watch():
    def run(*, rows=10, epochs=3, batch_size=4, seed=0):
        watched = Watched()
        bags = Bags.of([np.array([row]) for row in range(rows)], np.ones(rows))
        losses = descend(
            LinearClassifier(rows, rows),
            bags,
            np.arange(rows),
            loss=watched,
            optimizer=watched,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
        )
        assert len(list(losses)) == epochs
        return watched

    return run


@pytest.fixture
def trained(bags, targets):
    def run(*, seed=0, epochs=20, batch_size=3):
        model = LinearClassifier(6, 3)
        losses = list(
            descend(
                model,
                bags,
                targets,
                loss=CrossEntropy(),
                optimizer=GradientDescent(1.0),
                epochs=epochs,
                batch_size=batch_size,
                seed=seed,
            )
        )
        return model, losses

    return run


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 99])
def test_an_epoch_visits_every_row_once(watch, batch_size):
    """Whatever the size of a batch, no row is left out or seen twice before all were seen."""
    batches = watch(batch_size=batch_size).batches
    assert max(len(batch) for batch in batches) == min(batch_size, 10)
    seen = np.concatenate(batches).reshape(3, 10)
    for epoch in seen:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(10))


def test_each_epoch_has_an_order_of_its_own(watch):
    """Rows are shuffled, and anew for each epoch."""
    orders = {tuple(epoch) for epoch in np.concatenate(watch(rows=30).batches).reshape(3, 30).tolist()}
    assert len(orders) == 3
    assert tuple(range(30)) not in orders


def test_the_seed_fixes_the_orders(watch):
    """The same seed gives the same batches, another seed gives others."""

    def order(seed):
        return np.concatenate(watch(seed=seed).batches).tolist()

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_progress_runs_from_zero_towards_one(watch):
    """It rises evenly with the rows seen, and the last step is before the end."""
    assert watch(rows=8, epochs=2).progress == [0, 0.25, 0.5, 0.75]


def test_the_loss_falls(trained):
    """Gradient descent on this convex loss ends lower than it began, and below knowing nothing."""
    _, losses = trained()
    assert losses[-1] < losses[0] < np.log(3)


def test_full_batches_fall_at_every_epoch(trained):
    """With all rows in one small step there is no noise: each loss is below the one before."""
    _, losses = trained(batch_size=99)
    assert all(after < before for before, after in pairwise(losses))


def test_the_reported_loss_is_that_of_the_model_as_it_is(trained, bags, targets):
    """What is yielded last is the trained model's loss on all training rows."""
    model, losses = trained()
    assert losses[-1] == CrossEntropy().value(model.logits(bags), targets)


def test_the_same_seed_gives_the_same_parameters(trained):
    """Training is repeatable to the last bit, and the seed is what matters."""
    (first, _), (second, _), (other, _) = trained(seed=3), trained(seed=3), trained(seed=4)
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.bias, second.bias)
    assert (first.weights != other.weights).any()


def test_one_epoch_of_one_batch_is_one_step(trained, bags, targets):
    """Descent is nothing but steps of its optimizer."""
    model, _ = trained(epochs=1, batch_size=len(targets))
    expected = LinearClassifier(6, 3)
    gradient = expected.gradient(bags, CrossEntropy().gradient(expected.logits(bags), targets))
    GradientDescent(1.0).step(expected, gradient, progress=0)
    np.testing.assert_allclose(model.weights, expected.weights, atol=1e-15)
    np.testing.assert_allclose(model.bias, expected.bias, atol=1e-15)
