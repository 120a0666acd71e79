"""How a step follows from a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from reference_server.training.linear import Gradient, LinearClassifier


class Optimizer(Protocol):
    """Changes a model's parameters."""

    def step(self, model: LinearClassifier, gradient: Gradient, *, progress: float) -> None:
        """Make one step; `progress` runs from 0 to 1 over the whole training."""


class GradientDescent:
    """θ ← θ − α∇J(θ), with α falling linearly to a fiftieth so that the last steps settle.

    Args:
        learning_rate: α at the start.
    """

    _LAST = 0.02

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    def step(self, model: LinearClassifier, gradient: Gradient, *, progress: float) -> None:
        """Subtract α times the gradient."""
        rate = self.learning_rate * (1 - (1 - self._LAST) * progress)
        # An id may come twice in a batch: `subtract.at` adds both parts, plain indexing would lose one.
        for weights, derivative in zip(model.weights, gradient.weights, strict=True):
            np.subtract.at(weights, gradient.ids, rate * derivative)
        model.bias -= rate * gradient.bias
