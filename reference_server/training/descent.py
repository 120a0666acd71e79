"""Mini-batch gradient descent."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias

import numpy as np

from reference_server.training.losses import ScalarT
from reference_server.training.optimizers import GradientDescent, optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from reference_server.training.linear import Features, LinearClassifier
    from reference_server.training.losses import Loss
    from reference_server.training.optimizers import Optimizer, OptimizerName

    Arrays = Mapping[str, NDArray[np.generic]]

ScheduleName: TypeAlias = Literal["linear", "cosine", "constant"]
# Of the learning rate at the start: with it the last steps settle.
_LAST = 0.02
_MOMENT = "moment "


def linear(progress: float) -> float:
    """Fall evenly from 1 to a fiftieth."""
    return 1 - (1 - _LAST) * progress


def cosine(progress: float) -> float:
    """Fall from 1 to a fiftieth along half a cosine (Loshchilov and Hutter, SGDR, ICLR 2017)."""
    return _LAST + (1 - _LAST) * (1 + math.cos(math.pi * progress)) / 2


def constant(_progress: float) -> float:
    """Stay at 1."""
    return 1.0


SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {
    "linear": linear,
    "cosine": cosine,
    "constant": constant,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Generic[ScalarT]):
    """What is descended, and how.

    Args:
        loss: J without its penalty.
        learning_rate: α at the start.
        epochs: How often every row is seen at most, in a new order each time.
        batch_size: Rows in one step.
        schedule: The share of α by the progress, which runs from 0 to 1 over all epochs.
        l2: λ of the penalty λ/2 · ‖W‖².
    """

    loss: Loss[ScalarT]
    learning_rate: float
    epochs: int
    batch_size: int
    schedule: Callable[[float], float] = linear
    l2: float = 0.0

    def rate(self, progress: float) -> float:
        """Return α at some progress."""
        return self.learning_rate * self.schedule(progress)


@dataclass(slots=True)
class Descent(Generic[ScalarT]):
    """A descent under way; between two epochs its whole state can be kept, and gone on from to the last bit.

    Args:
        model: θ, changed in place.
        plan: What is descended.
        optimizer: How steps follow from gradients.
        random: Draws the orders of the rows.
        epoch: How many epochs are done.
    """

    model: LinearClassifier
    plan: Plan[ScalarT]
    optimizer: Optimizer
    random: np.random.Generator
    epoch: int = field(default=0)

    def run_epoch(
        self, rows: Features, targets: NDArray[ScalarT], *, each: Callable[[], object] = lambda: None
    ) -> None:
        """See every row once.

        Args:
            rows: The training rows.
            targets: What the loss compares with: classes, or numbers, `[rows]`.
            each: Called before each step; what it raises ends the epoch, whose steps so far stay.
        """
        order = self.random.permutation(len(rows))
        for start in range(0, len(order), self.plan.batch_size):
            each()
            batch = order[start : start + self.plan.batch_size]
            progress = (self.epoch + start / len(order)) / self.plan.epochs
            self._step(rows.take(batch), targets[batch], self.plan.rate(progress))
        self.epoch += 1

    def _step(self, batch: Features, targets: NDArray[ScalarT], rate: float) -> None:
        outer = self.plan.loss.gradient(self.model.logits(batch), targets)  # ∂J / ∂logits
        gradient = self.model.gradient(batch, outer, l2=self.plan.l2)  # ∇J(θ)
        self.optimizer.step(self.model, gradient, rate=rate)  # θ ← θ − α∇J(θ)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return all that it goes on from: θ, the optimizer's moments, the random numbers, the epoch."""
        return {
            "weights": self.model.weights,
            "bias": self.model.bias,
            "epoch": np.array(self.epoch),
            # Its numbers are of 128 bits, which no array of numbers holds.
            "random": np.array(json.dumps(self.random.bit_generator.state)),
            **{f"{_MOMENT}{name}": moment for name, moment in self.optimizer.moments.items()},
        }

    def restore(self, state: Arrays, name: OptimizerName) -> None:
        """Go on from what `state` returned, of a descent by the optimizer of this name."""
        self.model.weights[:], self.model.bias[:] = state["weights"], state["bias"]
        self.epoch = int(state["epoch"])
        self.random.bit_generator.state = json.loads(str(state["random"]))
        moments = {
            key.removeprefix(_MOMENT): np.asarray(value, np.float64)
            for key, value in state.items()
            if key.startswith(_MOMENT)
        }
        self.optimizer = optimizer(name, moments)


def descend(
    model: LinearClassifier,
    rows: Features,
    targets: NDArray[ScalarT],
    *,
    plan: Plan[ScalarT],
    seed: int,
) -> Iterator[float]:
    """Train a model in place by plain steps, and yield the loss on the training rows after each epoch.

    Args:
        rows: The training rows.
        targets: What the loss compares with: classes, or numbers, `[rows]`.
        plan: What is descended.
        seed: Of the orders in which rows are seen.
    """
    descent = Descent(model, plan, GradientDescent(), np.random.default_rng(seed))
    while descent.epoch < plan.epochs:
        descent.run_epoch(rows, targets)
        yield plan.loss.value(model.logits(rows), targets)
