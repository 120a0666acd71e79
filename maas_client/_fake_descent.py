"""Gradient descent in plain Python for what `FakeMaas` trains: softmax, three optimisers, three schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

# The features that are not 0, by index.
Vector: TypeAlias = dict[int, float]
# Of the learning rate at the start.
_LAST = 0.02


@dataclass(slots=True)
class Head:
    """Weights by output and feature, and a bias for each output."""

    weights: list[list[float]]
    bias: list[float]

    def outputs(self, vector: Vector) -> list[float]:
        """Return Wx + b."""
        return [
            math.fsum(row[index] * value for index, value in vector.items()) + bias
            for row, bias in zip(self.weights, self.bias, strict=True)
        ]

    def copy(self) -> Head:
        """Return one of its own."""
        return Head([list(row) for row in self.weights], list(self.bias))


def softmax(outputs: Sequence[float]) -> list[float]:
    """Return exp(z) over its sum."""
    most = max(outputs)
    powers = [math.exp(each - most) for each in outputs]
    total = math.fsum(powers)
    return [each / total for each in powers]


def fallen(schedule: str, done: float) -> float:
    """Return what is left of the learning rate when a share of all steps is done."""
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _LAST + (1 - _LAST) * (1 + math.cos(math.pi * done)) / 2
    return 1 - (1 - _LAST) * done


Step: TypeAlias = Callable[[Head, Head, float], None]


def _sgd(_width: int, _outputs: int) -> Step:
    return lambda head, gradient, rate_now: _add(head, gradient, -rate_now)


def _momentum(width: int, outputs: int) -> Step:
    speed = Head([[0.0] * width for _ in range(outputs)], [0.0] * outputs)

    def step(head: Head, gradient: Head, rate_now: float) -> None:
        for mine, theirs in _pairs(speed, gradient):
            mine[:] = [0.9 * v + g for v, g in zip(mine, theirs, strict=True)]
        _add(head, speed, -rate_now)

    return step


def _adam(width: int, outputs: int) -> Step:
    first, second = (Head([[0.0] * width for _ in range(outputs)], [0.0] * outputs) for _ in range(2))
    steps = 0

    def step(head: Head, gradient: Head, rate_now: float) -> None:
        nonlocal steps
        steps += 1
        for (m, g), (v, _), (row, _) in zip(
            _pairs(first, gradient), _pairs(second, gradient), _pairs(head, gradient), strict=True
        ):
            m[:] = [0.9 * old + 0.1 * new for old, new in zip(m, g, strict=True)]
            v[:] = [0.999 * old + 0.001 * new * new for old, new in zip(v, g, strict=True)]
            for index, (mean, square) in enumerate(zip(m, v, strict=True)):
                root = math.sqrt(square / (1 - 0.999**steps))
                row[index] -= rate_now * mean / (1 - 0.9**steps) / (root + 1e-8)

    return step


STEPS: dict[str, Callable[[int, int], Step]] = {"sgd": _sgd, "momentum": _momentum, "adam": _adam}


def _pairs(one: Head, other: Head) -> list[tuple[list[float], list[float]]]:
    return [*zip(one.weights, other.weights, strict=True), (one.bias, other.bias)]


def _add(head: Head, other: Head, times: float) -> None:
    for mine, theirs in _pairs(head, other):
        mine[:] = [a + times * b for a, b in zip(mine, theirs, strict=True)]
