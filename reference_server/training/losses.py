"""Losses J(θ) with their gradients in the model's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


class Loss(Protocol):
    """A mean over rows, as a function of logits `[rows, classes]` and targets `[rows]`."""

    def value(self, logits: Floats, targets: Integers) -> float:
        """Return the mean loss."""

    def gradient(self, logits: Floats, targets: Integers) -> Floats:
        """Return its derivative in the logits, `[rows, classes]`."""


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


def softmax(logits: Floats) -> Floats:
    """Return probabilities that sum to 1 in each row; large logits do not overflow."""
    return np.exp(_log_softmax(logits))


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
