"""A linear model over features: rows of a matrix, or bags of features too many and too sparse for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


class Features(Protocol):
    """Rows of features, X `[rows, features]`, however they are kept."""

    def __len__(self) -> int:
        """Return how many rows there are."""

    def take(self, rows: Integers, /) -> Self:
        """Return some of the rows, in the given order."""

    def times(self, weights: Floats, /) -> Floats:
        """Return X · Wᵀ, `[rows, classes]`, for weights W `[classes, features]`."""

    def back(self, outer: Floats, /) -> tuple[Integers, Floats]:
        """Return outerᵀ · X for `outer` `[rows, classes]`: feature ids, and what each class has of each."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of features that all have values, `[rows, features]`."""

    values: Floats

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Integers) -> Matrix:
        """Return some of the rows, in the given order."""
        return Matrix(self.values[rows])

    def times(self, weights: Floats) -> Floats:
        """Return X · Wᵀ, `[rows, classes]`."""
        return self.values @ weights.T

    def back(self, outer: Floats) -> tuple[Integers, Floats]:
        """Return all ids, and outerᵀ · X, `[classes, features]`."""
        return np.arange(self.values.shape[1]), outer.T @ self.values


@dataclass(frozen=True, slots=True)
class Bags:
    """Rows of features, each with a value, in compressed sparse rows.

    Args:
        ids: Feature ids of all rows, one row after the other.
        values: Their values.
        starts: Where each row starts in them, and at last where the last ends: `[rows + 1]`.
    """

    ids: Integers
    values: Floats
    starts: Integers

    @classmethod
    def of(cls, rows: Sequence[Integers], values: Floats) -> Bags:
        """Return the bags of these ids, each id with its value of `[features]`, scaled to length 1."""
        lengths = np.array([len(row) for row in rows], np.int64)
        ids = np.concatenate([*rows, np.empty(0, np.int64)])
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        own = values[ids]
        squares = np.bincount(np.repeat(np.arange(len(rows)), lengths), own**2, minlength=len(rows))
        return cls(ids, own / np.repeat(np.sqrt(np.maximum(squares, SMALLEST)), lengths), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def rows(self) -> Integers:
        """The row of every entry."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def take(self, rows: Integers) -> Bags:
        """Return some of the rows, in the given order."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        entries = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)
        return Bags(self.ids[entries], self.values[entries], starts)

    def times(self, weights: Floats) -> Floats:
        """Return X · Wᵀ, `[rows, classes]`."""
        rows = self.rows
        columns = [np.bincount(rows, own[self.ids] * self.values, minlength=len(self)) for own in weights]
        return np.stack(columns, axis=1)

    def back(self, outer: Floats) -> tuple[Integers, Floats]:
        """Return the ids of the rows, perhaps repeated, and what each class has of each, `[classes, ids]`."""
        rows = self.rows
        return self.ids, np.stack([own[rows] * self.values for own in outer.T])


# Below this a row counts as empty and stays as it is.
SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class Gradient:
    """A derivative in the parameters: columns of the weights, perhaps repeated, and the bias.

    Args:
        ids: The features that the batch has, `[entries]`.
        weights: The derivative of each class in each of them, `[classes, entries]`.
        bias: `[classes]`.
    """

    ids: Integers
    weights: Floats
    bias: Floats

    def dense(self, features: int) -> Floats:
        """Return the derivative in all weights, `[classes, features]`; what is repeated is added up."""
        rows = [np.bincount(self.ids, own, minlength=features) for own in self.weights]
        return np.stack(rows)


class LinearClassifier:
    """Logits = X · Wᵀ + b, from zero; the weights W are `[classes, features]`, the bias b `[classes]`.

    With one class and a squared error it is a linear regression.

    Args:
        features: How many feature ids there are.
        classes: How many classes.
    """

    def __init__(self, features: int, classes: int) -> None:
        self.weights: Floats = np.zeros((classes, features))
        self.bias: Floats = np.zeros(classes)

    def logits(self, rows: Features) -> Floats:
        """Return the logits, `[rows, classes]`."""
        return rows.times(self.weights) + self.bias

    def gradient(self, rows: Features, outer: Floats, *, l2: float = 0.0) -> Gradient:
        """Return the derivative in the parameters from the one in the logits, `outer`.

        Args:
            l2: λ of the penalty λ/2 · ‖W‖², which adds λW; the bias is not penalised.
        """
        ids, weights = rows.back(outer)
        gradient = Gradient(ids, weights, outer.sum(axis=0))
        if not l2:
            return gradient
        features = self.weights.shape[1]
        penalised = gradient.dense(features) + l2 * self.weights
        return Gradient(np.arange(features), penalised, gradient.bias)
