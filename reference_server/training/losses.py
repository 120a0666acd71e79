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
    """Softmax cross-entropy in nats (Goodfellow et al., Deep Learning, section 6.2.2).

    J = mean of w(y) · −Σ q log p over rows, where p is the softmax of the logits, y the row's true class and
    q its target distribution: (1 − ε) for y, and ε shared out evenly over all classes (label smoothing;
    Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7).

    Args:
        label_smoothing: ε, from 0 up to below 1.
        class_weights: w, how much a row of each class counts, `[classes]`; all 1 when left out. Means are
            over rows and not over weights, so that the gradients of batches add up to that of all rows.
    """

    def __init__(self, *, label_smoothing: float = 0.0, class_weights: Floats | None = None) -> None:
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights

    def value(self, logits: Floats, targets: Integers) -> float:
        """Return the mean of w(y) · −Σ q log p."""
        log_p, rows = _log_softmax(logits), np.arange(len(targets))
        own = log_p[rows, targets]
        if self.label_smoothing:
            own = (1 - self.label_smoothing) * own + self.label_smoothing * log_p.mean(axis=1)
        if self.class_weights is not None:
            own = self.class_weights[targets] * own
        return float(-own.mean())

    def gradient(self, logits: Floats, targets: Integers) -> Floats:
        """Return w(y) · (p − q) / rows."""
        gradient = softmax(logits)
        if self.label_smoothing:
            gradient -= self.label_smoothing / gradient.shape[1]
        gradient[np.arange(len(targets)), targets] -= 1 - self.label_smoothing
        if self.class_weights is not None:
            gradient *= self.class_weights[targets][:, None]
        return gradient / len(targets)


class MeanSquaredError:
    """The squared error (f − y)² of one output (Bishop, PRML, section 3.1.1, without its half)."""

    def value(self, outputs: Floats, targets: Floats) -> float:
        """Return the mean of (f − y)²."""
        return float(((outputs[:, 0] - targets) ** 2).mean())

    def gradient(self, outputs: Floats, targets: Floats) -> Floats:
        """Return 2 (f − y) / rows, `[rows, 1]`."""
        return 2 * (outputs - targets[:, None]) / len(targets)


def balanced(targets: Integers, classes: int) -> Floats:
    """Return class weights rows / (classes · rows of the class), under which every class counts the same.

    Their mean over the rows is 1 (King and Zeng, "Logistic Regression in Rare Events Data", 2001).
    """
    counts = np.bincount(targets, minlength=classes)
    return len(targets) / (classes * np.maximum(counts, 1))


def softmax(logits: Floats) -> Floats:
    """Return probabilities that sum to 1 in each row; large logits do not overflow."""
    return np.exp(_log_softmax(logits))


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
