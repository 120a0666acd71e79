"""Losses J(θ) with their gradients in the model's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


ScalarT = TypeVar("ScalarT", bound=np.generic)
ScalarT_contra = TypeVar("ScalarT_contra", bound=np.generic, contravariant=True)


class Loss(Protocol[ScalarT_contra]):
    """A mean over rows, as a function of outputs `[rows, outputs]` and targets `[rows]`."""

    def value(self, logits: Floats, targets: NDArray[ScalarT_contra], /) -> float:
        """Return the mean loss."""

    def gradient(self, logits: Floats, targets: NDArray[ScalarT_contra], /) -> Floats:
        """Return its derivative in the outputs, `[rows, outputs]`."""


class CrossEntropy:
    """Softmax cross-entropy, −log p(target), in nats (Goodfellow et al., Deep Learning, section 6.2.2)."""

    def value(self, logits: Floats, targets: Integers) -> float:
        """Return the mean of −log p(target)."""
        rows = np.arange(len(targets))
        return float(-_log_softmax(logits)[rows, targets].mean())

    def gradient(self, logits: Floats, targets: Integers) -> Floats:
        """Return (p − one-hot of the target) / rows."""
        gradient = softmax(logits)
        gradient[np.arange(len(targets)), targets] -= 1
        return gradient / len(targets)


class SquaredError:
    """Half the squared error, ½(f − y)², of one output (Bishop, PRML, section 3.1.1)."""

    def value(self, outputs: Floats, targets: Floats) -> float:
        """Return the mean of ½(f − y)²."""
        return float(((outputs[:, 0] - targets) ** 2).mean() / 2)

    def gradient(self, outputs: Floats, targets: Floats) -> Floats:
        """Return (f − y) / rows, `[rows, 1]`."""
        return (outputs - targets[:, None]) / len(targets)


def softmax(logits: Floats) -> Floats:
    """Return probabilities that sum to 1 in each row; large logits do not overflow."""
    return np.exp(_log_softmax(logits))


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
