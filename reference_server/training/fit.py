"""A fit: a descent watched on rows that it does not learn from, stopped when those get no better."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from reference_server.errors import Unprocessable
from reference_server.training.losses import ScalarT

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from reference_server.training.descent import Descent
    from reference_server.training.linear import Features
    from reference_server.training.optimizers import OptimizerName

_BEST_WEIGHTS, _BEST_BIAS, _CURVE = "best weights", "best bias", "curve"


@dataclass(frozen=True, slots=True)
class Labelled(Generic[ScalarT]):
    """Features of rows, and what is true of each: classes or numbers, `[rows]`."""

    features: Features
    targets: NDArray[ScalarT]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True)
class Point:
    """Where a fit was after an epoch.

    Args:
        epoch: Which, from 1.
        loss: J on the training rows, without its penalty.
        validation_loss: J on the validation rows; None where there are none.
        learning_rate: α at the end of the epoch.
        validation_accuracy: The share of the validation rows whose class has the highest logit; None of
            numbers, and where there are no such rows.
    """

    epoch: int
    loss: float
    validation_loss: float | None
    learning_rate: float
    validation_accuracy: float | None = None


@dataclass(slots=True)
class Fit(Generic[ScalarT]):
    """A descent with its curve and the best parameters so far.

    Args:
        descent: Under way.
        train: The rows that it learns from.
        validation: The rows that it is watched on.
        patience: After how many epochs without a lower validation loss it stops, to go back to the parameters
            of the lowest (Prechelt, "Early Stopping – But When?", 1998); None to see all epochs and keep the
            last.
        curve: What was seen after each epoch.
    """

    descent: Descent[ScalarT]
    train: Labelled[ScalarT]
    validation: Labelled[ScalarT] | None = None
    patience: int | None = None
    curve: list[Point] = field(default_factory=list)
    _best: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def best_epoch(self) -> int:
        """The epoch whose parameters are kept, from 1; 0 before the first."""
        if self.patience is None or self.validation is None:
            return len(self.curve)
        return min(self.curve, key=_validation_loss, default=_BEFORE).epoch

    @property
    def stopped_early(self) -> bool:
        """Whether it has ended before all epochs."""
        waited = len(self.curve) - self.best_epoch
        return self.patience is not None and waited >= self.patience and self._epochs_left > 0

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.stopped_early or self._epochs_left <= 0

    @property
    def _epochs_left(self) -> int:
        return self.descent.plan.epochs - self.descent.epoch

    def run_epoch(self, *, each: Callable[[], object] = lambda: None) -> Point:
        """Go on by one epoch.

        Args:
            each: Called before each step; what it raises ends the epoch, and only a restored fit goes on.

        Raises:
            Unprocessable: Code `diverged`: the loss is no finite number any more.
        """
        # Where a loss overflows, the next lines say so in words.
        with np.errstate(over="ignore", invalid="ignore"):
            self.descent.run_epoch(self.train.features, self.train.targets, each=each)
            point = self._measured()
        self.curve.append(point)
        if self.best_epoch == point.epoch:
            self._best = self.descent.model.weights.copy(), self.descent.model.bias.copy()
        return point

    def keep_best(self) -> None:
        """Go back to the best parameters."""
        if self._best is not None:
            self.descent.model.weights[:], self.descent.model.bias[:] = self._best

    def packed(self) -> bytes:
        """Return the whole state as bytes (NPY format 1.0, zipped)."""
        arrays: dict[str, Any] = dict(self.descent.state())
        arrays[_CURVE] = np.array(json.dumps([asdict(point) for point in self.curve]))
        if self._best is not None:
            arrays[_BEST_WEIGHTS], arrays[_BEST_BIAS] = self._best
        file = io.BytesIO()
        np.savez(file, **arrays)
        return file.getvalue()

    def restore(self, content: bytes, optimizer: OptimizerName) -> None:
        """Go on from what `packed` returned, of a fit with the same rows, plan and optimizer."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            self.descent.restore(arrays, optimizer)
            self.curve[:] = [Point(**point) for point in json.loads(str(arrays[_CURVE]))]
            if _BEST_WEIGHTS in arrays:
                self._best = arrays[_BEST_WEIGHTS], arrays[_BEST_BIAS]

    def _measured(self) -> Point:
        plan, epoch = self.descent.plan, self.descent.epoch
        loss, validation_loss, accuracy = self._loss(self.train), None, None
        if self.validation is not None:
            logits, targets = self.descent.model.logits(self.validation.features), self.validation.targets
            validation_loss = plan.loss.value(logits, targets)
            if np.issubdtype(targets.dtype, np.integer):
                accuracy = float((logits.argmax(axis=1) == targets).mean())
        if not np.isfinite([loss, validation_loss or 0.0]).all():
            raise Unprocessable(
                f"the loss is no finite number after epoch {epoch}: the steps are too long. Lower "
                f"learning_rate, which is {plan.learning_rate:g}; a tenth of it is a good next try",
                code="diverged",
                param="learning_rate",
            )
        return Point(epoch, loss, validation_loss, plan.rate(epoch / plan.epochs), accuracy)

    def _loss(self, rows: Labelled[ScalarT]) -> float:
        return self.descent.plan.loss.value(self.descent.model.logits(rows.features), rows.targets)


_BEFORE = Point(0, np.inf, np.inf, 0.0)


def _validation_loss(point: Point) -> float:
    return np.inf if point.validation_loss is None else point.validation_loss
