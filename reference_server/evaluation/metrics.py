"""Metrics of classification, from probabilities `[rows, classes]`, and of regression, from values `[rows]`.

Targets are `[rows]`: classes, or numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

# A probability of 0 for what then happened would make the mean infinite (as in scikit-learn's `log_loss`).
_LEAST = 1e-15


def accuracy(probabilities: Floats, targets: Integers) -> float:
    """Return the share of rows whose most probable class is the target, 0 to 1."""
    return float((probabilities.argmax(axis=1) == targets).mean())


def macro_f1(probabilities: Floats, targets: Integers) -> float:
    """Return the mean over classes of F1 = 2·TP / (2·TP + FP + FN), 0 to 1; 0 for a class never met."""
    said = probabilities.argmax(axis=1)
    scores = []
    for label in range(probabilities.shape[1]):
        hits = int(((said == label) & (targets == label)).sum())
        both = int((said == label).sum() + (targets == label).sum())
        scores.append(2 * hits / both if both else 0.0)
    return float(np.mean(scores))


def cross_entropy(probabilities: Floats, targets: Integers) -> float:
    """Return the mean of −log p(target) in nats, from 0 up."""
    own = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.clip(own, _LEAST, 1)).mean())


def r_squared(values: Floats, targets: Floats) -> float:
    """Return 1 − Σ(f − y)² / Σ(y − ȳ)², at most 1; 0 is what the mean of the targets would reach."""
    spread = float(((targets - targets.mean()) ** 2).sum())
    return 1 - float(((values - targets) ** 2).sum()) / spread


def mean_absolute_error(values: Floats, targets: Floats) -> float:
    """Return the mean of |f − y|, in the targets' unit."""
    return float(np.abs(values - targets).mean())


def root_mean_squared_error(values: Floats, targets: Floats) -> float:
    """Return √mean((f − y)²), in the targets' unit."""
    return float(np.sqrt(((values - targets) ** 2).mean()))
