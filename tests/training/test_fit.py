import math

import numpy as np
import pytest

from reference_server.errors import Unprocessable
from reference_server.training.descent import Descent, Plan
from reference_server.training.fit import Fit, Labelled
from reference_server.training.linear import LinearClassifier, Matrix
from reference_server.training.losses import CrossEntropy, MeanSquaredError
from reference_server.training.optimizers import optimizer


@pytest.fixture
def begin():
    """Return a function that begins a fit of few rows and many features, which overfits soon."""
    random = np.random.default_rng(0)
    values, targets = random.normal(size=(60, 40)), random.integers(2, size=60)
    targets[:50] = values[:50, 0] + random.normal(size=50) > 0

    def make(*, name="adam", epochs=40, patience=3, watched=True, seed=0, rate=0.05):
        plan = Plan(loss=CrossEntropy(), learning_rate=rate, epochs=epochs, batch_size=8)
        descent = Descent(LinearClassifier(40, 2), plan, optimizer(name), np.random.default_rng(seed))
        train = Labelled(Matrix(values[:40]), targets[:40])
        validation = Labelled(Matrix(values[40:]), targets[40:]) if watched else None
        return Fit(descent, train, validation, patience)

    return make


def run(fit):
    while not fit.ended:
        fit.run_epoch()
    fit.keep_best()
    return fit


def test_a_fit_stops_when_validation_gets_no_better_and_goes_back(begin):
    """It ends `patience` epochs after the lowest validation loss, with the parameters of that epoch."""
    fit = run(begin())
    losses = [point.validation_loss for point in fit.curve]
    assert fit.stopped_early
    assert len(losses) < 40
    assert fit.best_epoch == int(np.argmin(losses)) + 1 == len(losses) - 3
    assert CrossEntropy().value(
        fit.descent.model.logits(fit.validation.features), fit.validation.targets
    ) == min(losses)
    # The training loss goes on falling, so that it is validation that stopped the fit.
    assert fit.curve[-1].loss == min(point.loss for point in fit.curve)


def test_without_patience_every_epoch_is_seen_and_the_last_kept(begin):
    """Rows may be watched all the same; what they say then changes nothing."""
    watched, alone = run(begin(patience=None)), run(begin(patience=None, watched=False))
    assert [point.epoch for point in watched.curve] == list(range(1, 41))
    assert (watched.stopped_early, watched.best_epoch) == (False, 40)
    np.testing.assert_array_equal(watched.descent.model.weights, alone.descent.model.weights)
    assert alone.curve[0].validation_loss is None


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("after", [1, 3])
def test_a_fit_goes_on_from_its_checkpoint_to_the_last_bit(begin, name, after):
    """Curve, best parameters and end are those of a fit that was never stopped."""
    whole = run(begin(name=name))
    halted = begin(name=name)
    for _ in range(after):
        halted.run_epoch()
    resumed = begin(name=name, seed=1)
    resumed.restore(halted.packed(), name)
    run(resumed)
    assert resumed.curve == whole.curve
    assert resumed.best_epoch == whole.best_epoch
    np.testing.assert_array_equal(resumed.descent.model.weights, whole.descent.model.weights)
    np.testing.assert_array_equal(resumed.descent.model.bias, whole.descent.model.bias)


def test_the_curve_tells_the_rate(begin):
    """As it is after the epoch: a fiftieth of the first at the very end."""
    fit = run(begin(epochs=10, patience=None, rate=0.5))
    assert fit.curve[4].learning_rate == pytest.approx(0.255)
    assert fit.curve[-1].learning_rate == pytest.approx(0.01)


def test_each_step_asks_whether_to_go_on(begin):
    """Forty rows in batches of eight are five steps, and what is raised there ends the fit."""
    asked = []
    fit = begin()
    fit.run_epoch(each=lambda: asked.append(1))
    assert len(asked) == 5

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit.run_epoch(each=stop)
    assert len(fit.curve) == 1


def test_a_fit_that_diverges_says_what_to_change():
    """Numbers that overflow end it with the option that is to blame, and without a warning of numpy's."""
    plan = Plan(loss=MeanSquaredError(), learning_rate=1e6, epochs=300, batch_size=4)
    descent = Descent(LinearClassifier(2, 1), plan, optimizer("sgd"), np.random.default_rng(0))
    fit = Fit(descent, Labelled(Matrix(np.ones((8, 2))), np.ones(8)))
    with pytest.raises(Unprocessable, match=r"learning_rate, which is 1e\+06") as caught:
        run(fit)
    assert (caught.value.code, caught.value.param) == ("diverged", "learning_rate")
    assert all(math.isfinite(point.loss) for point in fit.curve)
