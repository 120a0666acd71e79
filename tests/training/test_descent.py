from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from reference_server.training.descent import SCHEDULES, Descent, Plan, descend
from reference_server.training.linear import Bags, LinearClassifier, Matrix
from reference_server.training.losses import CrossEntropy, MeanSquaredError, balanced
from reference_server.training.optimizers import GradientDescent, optimizer


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

    def step(self, model, gradient, *, rate):
        self.progress.append(rate)


@pytest.fixture
def watch():
    def run(*, rows=10, epochs=3, batch_size=4, seed=0):
        watched = Watched()
        bags = Bags.of([np.array([row]) for row in range(rows)], np.ones(rows))
        # A schedule that is the progress, and a rate of 1: steps then tell how far they are.
        plan = Plan(loss=watched, learning_rate=1, epochs=epochs, batch_size=batch_size, schedule=float)
        descent = Descent(LinearClassifier(rows, rows), plan, watched, np.random.default_rng(seed))
        while descent.epoch < epochs:
            descent.run_epoch(bags, np.arange(rows))
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
                plan=Plan(loss=CrossEntropy(), learning_rate=1.0, epochs=epochs, batch_size=batch_size),
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
    GradientDescent().step(expected, gradient, rate=1.0)
    np.testing.assert_allclose(model.weights, expected.weights, atol=1e-15)
    np.testing.assert_allclose(model.bias, expected.bias, atol=1e-15)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("l2", [0.0, 0.03])
def test_a_descent_goes_on_to_the_last_bit(bags, targets, name, l2):
    """Stopped after any epoch and gone on with elsewhere, it ends as one that never stopped."""
    plan = Plan(loss=CrossEntropy(), learning_rate=0.1, epochs=6, batch_size=3, l2=l2)

    def begun(seed):
        return Descent(LinearClassifier(6, 3), plan, optimizer(name), np.random.default_rng(seed))

    whole = begun(5)
    for _ in range(6):
        whole.run_epoch(bags, targets)
    halted = begun(5)
    for _ in range(4):
        halted.run_epoch(bags, targets)
    resumed = begun(99)
    resumed.restore({key: value.copy() for key, value in halted.state().items()}, name)
    assert resumed.epoch == 4
    for _ in range(2):
        resumed.run_epoch(bags, targets)
    for key, value in whole.state().items():
        np.testing.assert_array_equal(resumed.state()[key], value, err_msg=key)


@pytest.mark.parametrize(
    ("name", "halfway", "end"), [("linear", 0.51, 0.02), ("cosine", 0.51, 0.02), ("constant", 1, 1)]
)
def test_schedules_begin_whole(name, halfway, end):
    """The rate is whole at first; unless it is constant it ends at a fiftieth, and never rises."""
    shares = [SCHEDULES[name](progress) for progress in np.linspace(0, 1, 21)]
    np.testing.assert_allclose([shares[0], shares[10], shares[20]], [1, halfway, end])
    assert all(after <= before for before, after in pairwise(shares))


@pytest.fixture(scope="module")
def overlapping():
    """Three clouds of points that overlap, one of them rare: 400 rows of 5 features of like size."""
    random = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], [200, 160, 40])
    centres = random.normal(size=(3, 5))
    return centres[targets] + random.normal(size=(400, 5)), targets


# By what each optimizer needs on these rows; batches are whole, so that nothing but the method is tested.
RATES = {"sgd": (1.2, 1000), "momentum": (0.3, 250), "adam": (0.1, 500)}


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("weighted", [False, True])
def test_classification_reaches_the_optimum_of_scikit_learn(overlapping, name, weighted):
    """The penalised loss is within 0.1 % of what L-BFGS finds, whichever way led there."""
    from sklearn.linear_model import LogisticRegression

    values, targets = overlapping
    l2, (rate, epochs) = 0.01, RATES[name]
    weights = balanced(targets, 3) if weighted else None
    loss = CrossEntropy(class_weights=weights)
    plan = Plan(loss=loss, learning_rate=rate, epochs=epochs, batch_size=400, l2=l2)
    descent = Descent(LinearClassifier(5, 3), plan, optimizer(name), np.random.default_rng(0))
    while descent.epoch < epochs:
        descent.run_epoch(Matrix(values), targets)
    # Its objective is C · Σ loss + ½‖W‖², ours the mean of the losses + λ/2 · ‖W‖².
    theirs = LogisticRegression(
        C=1 / (l2 * 400), class_weight="balanced" if weighted else None, tol=1e-8, max_iter=10_000
    ).fit(values, targets)
    model = LinearClassifier(5, 3)
    model.weights, model.bias = theirs.coef_, theirs.intercept_

    def objective(fitted):
        return loss.value(fitted.logits(Matrix(values)), targets) + l2 / 2 * (fitted.weights**2).sum()

    assert objective(descent.model) == pytest.approx(objective(model), rel=1e-3)
    np.testing.assert_allclose(descent.model.weights, model.weights, atol=0.02)


@pytest.mark.parametrize("name", RATES)
def test_regression_reaches_the_optimum_of_scikit_learn(overlapping, name):
    """Ridge regression has a closed form; descent comes within 0.1 % of its loss."""
    from sklearn.linear_model import Ridge

    values, _ = overlapping
    random, l2 = np.random.default_rng(1), 0.02
    numbers = values @ random.normal(size=5) + 2 + random.normal(size=400)
    rate, epochs = {"sgd": 0.2, "momentum": 0.05, "adam": 0.1}[name], RATES[name][1]
    plan = Plan(loss=MeanSquaredError(), learning_rate=rate, epochs=epochs, batch_size=400, l2=l2)
    descent = Descent(LinearClassifier(5, 1), plan, optimizer(name), np.random.default_rng(0))
    while descent.epoch < epochs:
        descent.run_epoch(Matrix(values), numbers)
    # Σ(f - y)² + alpha · ‖w‖² there; the mean and λ/2 here.
    theirs = Ridge(alpha=l2 / 2 * 400, solver="cholesky").fit(values, numbers)
    model = LinearClassifier(5, 1)
    model.weights, model.bias = theirs.coef_[None], np.array([theirs.intercept_])

    def objective(fitted):
        residuals = fitted.logits(Matrix(values))[:, 0] - numbers
        return (residuals**2).mean() + l2 / 2 * (fitted.weights**2).sum()

    assert objective(descent.model) == pytest.approx(objective(model), rel=1e-3)


@pytest.mark.parametrize("name", RATES)
def test_small_batches_settle_near_the_optimum_too(overlapping, name):
    """As the rate falls, noise of small batches leaves the convex loss within a percent of the optimum."""
    values, targets = overlapping
    losses = {}
    for batch_size, epochs, rate in ((400, RATES[name][1], RATES[name][0]), (32, 40, RATES[name][0] / 3)):
        plan = Plan(loss=CrossEntropy(), learning_rate=rate, epochs=epochs, batch_size=batch_size, l2=0.01)
        descent = Descent(LinearClassifier(5, 3), plan, optimizer(name), np.random.default_rng(0))
        while descent.epoch < epochs:
            descent.run_epoch(Matrix(values), targets)
        penalty = 0.005 * (descent.model.weights**2).sum()
        losses[batch_size] = CrossEntropy().value(descent.model.logits(Matrix(values)), targets) + penalty
    assert losses[32] == pytest.approx(losses[400], rel=1e-2)
