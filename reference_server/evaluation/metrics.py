"""Metrics of classification and of regression, each over rows that may be weighted.

Classes are integers `[rows]`, what a model said and what was true; probabilities and values are floats
`[rows]`. A row of the weight 2 counts as two rows, as with scikit-learn's `sample_weight`; without weights
every row counts as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]

# A probability of 0 for what then happened would make the mean infinite (as in scikit-learn's `log_loss`).
LEAST_PROBABILITY = 1e-15
# Of Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017).
CALIBRATION_BINS = 15


def accuracy(said: Integers, targets: Integers, weights: Floats | None = None) -> float:
    """Return the share of rows in which the class that was said is the true one, 0 to 1."""
    return _mean(said == targets, weights)


def macro_f1(
    said: Integers, targets: Integers, weights: Floats | None = None, *, classes: int | None = None
) -> float:
    """Return the mean over classes of F1 = 2·TP / (2·TP + FP + FN), 0 to 1.

    Args:
        said: What the model said, from 0.
        targets: What was true, from 0.
        weights: Of the rows.
        classes: How many classes the mean is over, one that is never met counting 0; those alone that were
            said or true when left out.
    """
    size = classes or int(max(said.max(), targets.max())) + 1
    hits = _counts(targets[said == targets], None if weights is None else weights[said == targets], size)
    both = _counts(said, weights, size) + _counts(targets, weights, size)
    met = both > 0
    scores = np.divide(2 * hits, both, out=np.zeros(size), where=met)
    return float(scores.mean() if classes else scores[met].mean())


def confusion_matrix(said: Integers, targets: Integers, *, classes: int) -> Integers:
    """Return how many rows of each true class (row) were said to be of each class (column)."""
    cells = np.bincount(targets * classes + said, minlength=classes * classes)
    return cells.reshape(classes, classes)


def cross_entropy(own: Floats, weights: Floats | None = None) -> float:
    """Return the mean of −log p in nats, from 0 up, where p is the probability given to the true class.

    p is clipped to 1e-15 from below, so that one row costs at most 34.5 nats, and to 1 from above.
    """
    # The mean of certainties is a negative zero; adding 0 makes it a plain one.
    return _mean(-np.log(np.clip(own, LEAST_PROBABILITY, 1)), weights) + 0.0


def expected_calibration_error(confidence: Floats, right: Booleans, weights: Floats | None = None) -> float:
    """Return Σ over bins of (rows in it / all rows) · |share that is right − mean confidence|, 0 to 1.

    The bins are 15 of equal width over the confidence, (0, 1/15] to (14/15, 1].

    Args:
        confidence: The probability of the class that was said.
        right: Whether that class was the true one.
        weights: Of the rows.
    """
    gaps = right - confidence
    gaps = gaps if weights is None else gaps * weights
    rows = len(gaps) if weights is None else weights.sum()
    return float(np.abs(_counts(calibration_bins(confidence), gaps, CALIBRATION_BINS)).sum() / rows)


def calibration_bins(confidence: Floats) -> Integers:
    """Return the bin of each confidence, 0 to 14; each bin holds its upper edge, the first 0 as well."""
    return np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)


def mean_squared_error(values: Floats, targets: Floats, weights: Floats | None = None) -> float:
    """Return the mean of (f − y)², from 0 up, in the square of the targets' unit."""
    return _mean((values - targets) ** 2, weights)


def root_mean_squared_error(values: Floats, targets: Floats, weights: Floats | None = None) -> float:
    """Return √mean((f − y)²), from 0 up, in the targets' unit."""
    return float(np.sqrt(mean_squared_error(values, targets, weights)))


def mean_absolute_error(values: Floats, targets: Floats, weights: Floats | None = None) -> float:
    """Return the mean of |f − y|, from 0 up, in the targets' unit."""
    return _mean(np.abs(values - targets), weights)


def r_squared(values: Floats, targets: Floats, weights: Floats | None = None) -> float:
    """Return 1 − Σ(f − y)² / Σ(y − ȳ)², at most 1; 0 is what the mean of the targets would reach.

    Where all targets are equal there is nothing to explain, and the result is NaN.
    """
    spread = _mean((targets - _mean(targets, weights)) ** 2, weights)
    return 1 - mean_squared_error(values, targets, weights) / spread if spread else float("nan")


def of_probabilities(probabilities: Floats, targets: Integers) -> dict[str, float]:
    """Return accuracy, macro-F1 over all classes and cross-entropy of probabilities `[rows, classes]`."""
    said = probabilities.argmax(axis=1)
    return {
        "accuracy": accuracy(said, targets),
        "macro_f1": macro_f1(said, targets, classes=probabilities.shape[1]),
        "cross_entropy": cross_entropy(probabilities[np.arange(len(targets)), targets]),
    }


def of_values(values: Floats, targets: Floats) -> dict[str, float]:
    """Return R², mean absolute and root mean squared error of a regression's values."""
    return {
        "r_squared": r_squared(values, targets),
        "mean_absolute_error": mean_absolute_error(values, targets),
        "root_mean_squared_error": root_mean_squared_error(values, targets),
    }


def _mean(values: Floats | Booleans, weights: Floats | None) -> float:
    return float(values.mean() if weights is None else values @ weights / weights.sum())


def _counts(groups: Integers, weights: Floats | None, size: int) -> Floats:
    return np.bincount(groups, weights, size).astype(np.float64, copy=False)
