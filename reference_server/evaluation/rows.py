"""What a model said about rows and what was true: the little of each row that every metric needs."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from reference_server.evaluation import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reference_server.evaluation.metrics import Booleans, Floats, Integers

# How far the scores of a row may be from the sum 1 to count as probabilities: float16 keeps three digits.
_SLACK = 2e-3


@dataclass(frozen=True, slots=True)
class _Rows:
    """Columns of equal length."""

    def __len__(self) -> int:
        column: NDArray[np.generic] = getattr(self, fields(self)[0].name)
        return len(column)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of several parts, in their order."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def packed(self) -> bytes:
        """Return the rows as bytes (NPY format 1.0, zipped)."""
        file = io.BytesIO()
        np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})
        return file.getvalue()

    @classmethod
    def unpacked(cls, content: bytes) -> Self:
        """Return the rows that `packed` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as columns:
            return cls(**{field.name: columns[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Classified(_Rows):
    """Rows of a classification.

    Args:
        said: The class with the highest score, of equal ones the first.
        targets: The true class.
        own: The true class's score.
        confidence: The score of the class that was said.
        proper: Whether the row's scores are probabilities: none below 0, their sum 1.
    """

    units: ClassVar[dict[str, str]] = {
        "accuracy": "share of rows",
        "macro_f1": "0 to 1",
        "cross_entropy": "nats",
        "expected_calibration_error": "share of rows",
    }

    said: Integers
    targets: Integers
    own: Floats
    confidence: Floats
    proper: Booleans

    @classmethod
    def of(cls, scores: NDArray[np.floating], targets: Integers) -> Self:
        """Return what is needed of scores `[rows, classes]`."""
        exact = scores.astype(np.float64)
        said, every = exact.argmax(axis=1), np.arange(len(targets))
        proper = (exact >= -_SLACK).all(axis=1) & (np.abs(exact.sum(axis=1) - 1) <= _SLACK)
        return cls(said, targets, exact[every, targets], exact[every, said], proper)

    @property
    def right(self) -> Booleans:
        """Whether the class that was said is the true one."""
        right: Booleans = self.said == self.targets
        return right

    def measure(self, weights: Floats | None = None) -> dict[str, float]:
        """Return the metrics by name; those of probabilities only where every row has some."""
        said, targets = self.said, self.targets
        found = {
            "accuracy": metrics.accuracy(said, targets, weights),
            "macro_f1": metrics.macro_f1(said, targets, weights),
        }
        if self.proper.all():
            found["cross_entropy"] = metrics.cross_entropy(self.own, weights)
            found["expected_calibration_error"] = metrics.expected_calibration_error(
                self.confidence, self.right, weights
            )
        return found


@dataclass(frozen=True, slots=True)
class Valued(_Rows):
    """Rows of a regression: what the model said, and what was true."""

    units: ClassVar[dict[str, str]] = {
        "mean_squared_error": "square of the target's unit",
        "mean_absolute_error": "the target's unit",
        "r_squared": "at most 1",
    }

    values: Floats
    targets: Floats

    def measure(self, weights: Floats | None = None) -> dict[str, float]:
        """Return the metrics by name."""
        return {
            "mean_squared_error": metrics.mean_squared_error(self.values, self.targets, weights),
            "mean_absolute_error": metrics.mean_absolute_error(self.values, self.targets, weights),
            "r_squared": metrics.r_squared(self.values, self.targets, weights),
        }


def check_proper(rows: Classified) -> str | None:
    """Return why metrics of probabilities are left out, or None where they are there."""
    if rows.proper.all():
        return None
    return (
        f"the scores of {int((~rows.proper).sum()):,} of {len(rows):,} rows are no probabilities (they do "
        "not sum to 1), so that cross-entropy and calibration would mean nothing and are left out"
    )
