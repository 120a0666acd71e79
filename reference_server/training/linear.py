"""A linear classifier over bags of features, which are too many and too sparse for matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


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

    @classmethod
    def dense(cls, matrix: Floats) -> Bags:
        """Return the bags of a matrix `[rows, features]`: every row has every feature, values as they are."""
        rows, features = matrix.shape
        return cls(np.tile(np.arange(features), rows), matrix.ravel(), np.arange(rows + 1) * features)

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


class LinearClassifier:
    """Logits = weights · bag + bias, from zero; weights are `[classes, features]`.

    With one class and a squared error it is a linear regression.

    Args:
        features: How many feature ids there are.
        classes: How many classes.
    """

    def __init__(self, features: int, classes: int) -> None:
        self.weights: Floats = np.zeros((classes, features))
        self.bias: Floats = np.zeros(classes)

    def logits(self, bags: Bags) -> Floats:
        """Return the logits, `[rows, classes]`."""
        rows = bags.rows
        columns = [
            np.bincount(rows, own[bags.ids] * bags.values, minlength=len(bags)) for own in self.weights
        ]
        return np.stack(columns, axis=1) + self.bias

    def gradient(self, bags: Bags, outer: Floats) -> Gradient:
        """Return the derivative in the parameters from the one in the logits, `outer`."""
        weights = np.stack([own[bags.rows] * bags.values for own in outer.T])
        return Gradient(bags.ids, weights, outer.sum(axis=0))
