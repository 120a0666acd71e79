"""How a step follows from a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from reference_server.training.linear import Gradient, LinearClassifier

    Floats = NDArray[np.float64]

OptimizerName: TypeAlias = Literal["sgd", "momentum", "adam"]


class Optimizer(Protocol):
    """Changes a model's parameters θ, weights and bias.

    Attributes:
        moments: What it remembers of the gradients before, by name: none before the first step.
    """

    moments: dict[str, Floats]

    def step(self, model: LinearClassifier, gradient: Gradient, *, rate: float) -> None:
        """Make one step of the learning rate α."""


class GradientDescent:
    """θ ← θ − α∇J(θ) (Robbins and Monro, "A Stochastic Approximation Method", 1951)."""

    def __init__(self) -> None:
        self.moments: dict[str, Floats] = {}

    def step(self, model: LinearClassifier, gradient: Gradient, *, rate: float) -> None:
        """Subtract α times the gradient."""
        # An id may come twice in a batch: `subtract.at` adds both parts, plain indexing would lose one.
        for weights, derivative in zip(model.weights, gradient.weights, strict=True):
            np.subtract.at(weights, gradient.ids, rate * derivative)
        model.bias -= rate * gradient.bias


class Momentum:
    """v ← μv + ∇J(θ), θ ← θ − αv (Polyak, "Some Methods of Speeding Up the Convergence", 1964).

    Args:
        momentum: μ, how much of the direction before is kept, from 0 up to below 1.
    """

    def __init__(self, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.moments: dict[str, Floats] = {}

    def step(self, model: LinearClassifier, gradient: Gradient, *, rate: float) -> None:
        """Move on in the direction before, turned by the gradient."""
        for name, theta, slope in _parameters(model, gradient):
            velocity = _moment(self.moments, f"{name}_velocity", theta)
            velocity *= self.momentum
            velocity += slope
            np.subtract(theta, rate * velocity, out=theta)


class Adam:
    """m ← β₁m + (1 − β₁)∇J, v ← β₂v + (1 − β₂)(∇J)², θ ← θ − α m̂ / (√v̂ + ε).

    m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) undo that both begin at 0; t counts the steps (Kingma and Ba,
    "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1, with its β₁, β₂ and ε).
    """

    _BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8

    def __init__(self) -> None:
        self.moments: dict[str, Floats] = {}

    def step(self, model: LinearClassifier, gradient: Gradient, *, rate: float) -> None:
        """Move each parameter by about α, whatever the size of its gradients."""
        steps = _moment(self.moments, "steps", np.zeros(1))
        steps += 1
        t = float(steps[0])
        for name, theta, slope in _parameters(model, gradient):
            mean = _moment(self.moments, f"{name}_mean", theta)
            square = _moment(self.moments, f"{name}_square", theta)
            mean += (1 - self._BETA_1) * (slope - mean)
            square += (1 - self._BETA_2) * (slope**2 - square)
            unbiased_mean = mean / (1 - self._BETA_1**t)
            unbiased_square = square / (1 - self._BETA_2**t)
            step = rate * unbiased_mean / (np.sqrt(unbiased_square) + self._EPSILON)
            np.subtract(theta, step, out=theta)


def optimizer(name: OptimizerName, moments: Mapping[str, Floats] | None = None) -> Optimizer:
    """Return a new optimizer by its name, or one that goes on with the `moments` of another."""
    kinds: dict[OptimizerName, type[GradientDescent | Momentum | Adam]] = {
        "sgd": GradientDescent,
        "momentum": Momentum,
        "adam": Adam,
    }
    made = kinds[name]()
    made.moments.update({key: value.copy() for key, value in (moments or {}).items()})
    return made


def _parameters(model: LinearClassifier, gradient: Gradient) -> Iterator[tuple[str, Floats, Floats]]:
    yield "weights", model.weights, gradient.dense(model.weights.shape[1])
    yield "bias", model.bias, gradient.bias


def _moment(moments: dict[str, Floats], name: str, like: Floats) -> Floats:
    return moments.setdefault(name, np.zeros_like(like))
