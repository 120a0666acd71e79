"""Small bags with every awkward shape: repeated ids, empty rows, ids that no row has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from reference_server.training.linear import Bags, LinearClassifier

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES, CLASSES = 6, 3
ROWS = ([0, 3, 3, 3], [], [5], [1, 0, 1], [3], [], [2, 2])


@pytest.fixture
def bags() -> Bags:
    """Return rows with repeated ids and empty rows, over six features of which row ids never name 4."""
    values = np.array([0.5, 1.0, 2.0, 3.0, 4.0, 0.25])
    return Bags.of([np.array(row, np.int64) for row in ROWS], values)


@pytest.fixture
def targets() -> np.ndarray:
    """Return a class for each of the rows, each class at least twice."""
    return np.array([0, 1, 2, 0, 1, 2, 0])


@pytest.fixture
def model() -> LinearClassifier:
    """Return a classifier somewhere away from zero, where no gradient vanishes."""
    random = np.random.default_rng(7)
    model = LinearClassifier(FEATURES, CLASSES)
    model.weights[:] = random.normal(size=model.weights.shape)
    model.bias[:] = random.normal(size=model.bias.shape)
    return model


@pytest.fixture
def differences() -> Callable[..., np.ndarray]:
    """Return central finite differences: the derivative of `f()` in an array that `f` reads."""

    def derivative(f: Callable[[], float], array: np.ndarray, step: float = 1e-5) -> np.ndarray:
        result = np.empty_like(array)
        for index in np.ndindex(array.shape):
            here = array[index]
            array[index] = here + step
            above = f()
            array[index] = here - step
            below = f()
            array[index] = here
            result[index] = (above - below) / (2 * step)
        return result

    return derivative
