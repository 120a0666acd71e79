"""Scores of masked inputs: run through the model in short turns, counted, read as the target's score.

A score is what a prediction reports: a label's probability, a regression's value. Not the logit, whose sums
would be tidier: people decide by the probability, and see it in the reply that they ask about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import orjson

from reference_server.errors import Unprocessable
from reference_server.runtime.tasks import Batch
from reference_server.runtime.tasks.outputs import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reference_server.explain.features import Maskable
    from reference_server.explain.game import Booleans, Floats
    from reference_server.runtime.runner import Tensor
    from reference_server.runtime.tasks import Outputs

# Between two turns predictions of the same model come in. A turn of so long is what they wait for at most.
_TURN_SECONDS = 0.01
# More rows than that gain little by their company; of pictures they would hold much memory.
_MOST_ROWS = 64
_LABELS_SHOWN = 20

Predict: TypeAlias = "Callable[[Batch], tuple[Outputs, float]]"
"""Runs a batch; returns its outputs and the seconds that the run took."""


class Turns:
    """Runs batches in turns of about 10 ms, and counts their rows.

    Args:
        predict: Runs one of them.
        row_seconds: What a row is expected to take; measured from the first turn on.
    """

    def __init__(self, predict: Predict, *, row_seconds: float) -> None:
        self._predict = predict
        self._row_seconds = row_seconds
        self.rows = 0

    @property
    def size(self) -> int:
        """How many rows the next turn should have."""
        return max(1, min(_MOST_ROWS, int(_TURN_SECONDS / max(self._row_seconds, 1e-6))))

    def run(self, batch: Batch) -> list[Outputs]:
        """Return the outputs of a batch's rows, in turns.

        Raises:
            DeadlineExceeded, Unavailable, Unprocessable: As the model does.
        """
        found, first = [], 0
        while first < len(batch):
            part = _sliced(batch, first, first + self.size)
            outputs, seconds = self._predict(part)
            self.rows += len(part)
            self._row_seconds = seconds / len(part)
            found.append(outputs)
            first += len(part)
        return found


@dataclass(frozen=True, slots=True)
class Target:
    """What is explained.

    Args:
        name: A label, `value` or `similarity`.
        read: Returns its score for each row of outputs.
    """

    name: str
    read: Callable[[Outputs], Floats]


class Scores:
    """The game that an explanation is about: coalitions go in, the target's score comes out.

    Args:
        turns: Run the model.
        masked: Makes rows of coalitions.
        target: Whose score it is.
        prediction: The score of the whole instance as it was sent, where that is a coalition.
    """

    def __init__(
        self, turns: Turns, masked: Maskable, target: Target, *, prediction: float | None = None
    ) -> None:
        self._turns = turns
        self._masked = masked
        self._target = target
        self._known: dict[bytes, float] = {}
        if prediction is not None:
            # Run in company, the whole instance could score otherwise in its last digits than it is reported.
            self._known[np.ones(len(masked.features), np.bool_).tobytes()] = prediction

    def __call__(self, coalitions: Booleans) -> Floats:
        """Return the score of each coalition, the weighted mean over its rows."""
        known = [self._known.get(row.tobytes()) for row in coalitions]
        scores = np.array([np.nan if score is None else score for score in known], np.float64)
        for rows in self._parts(np.flatnonzero([score is None for score in known])):
            outputs = self._turns.run(self._masked.masked(coalitions[rows]))
            read = np.concatenate([self._target.read(each) for each in outputs])
            scores[rows] = read.reshape(len(rows), -1) @ self._masked.weights
        return scores

    def keep(self, coalitions: Booleans) -> None:
        """Score coalitions now; they are not run again."""
        scores = self(coalitions).tolist()
        self._known.update((row.tobytes(), score) for row, score in zip(coalitions, scores, strict=True))

    def _parts(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield coalitions of one turn each, so that no more masked inputs are in memory."""
        first, each = 0, len(self._masked.weights)
        while first < len(rows):
            size = max(1, self._turns.size // each)
            yield rows[first : first + size]
            first += size


def label_target(labels: Sequence[str], wanted: str | None, outputs: Outputs) -> Target:
    """Return the target of a classification: the label that is wanted, or the predicted one.

    Args:
        labels: All there are.
        wanted: One of them, or None.
        outputs: Of the instance.

    Raises:
        Unprocessable: There is no such label, or the scores are no finite numbers.
    """
    scores = outputs.tensors["scores"]
    check_finite(scores)
    if wanted is not None and wanted not in labels:
        shown = ", ".join(f"{label[:100]!r}" for label in labels[:_LABELS_SHOWN])
        more = f" and {len(labels) - _LABELS_SHOWN:,} more" if len(labels) > _LABELS_SHOWN else ""
        raise _unknown(wanted, f"the labels are {shown}{more}")
    index = int(scores[0].argmax()) if wanted is None else list(labels).index(wanted)
    return Target(labels[index], lambda out: reported(out.tensors["scores"][:, index]))


def value_target(wanted: str | None, outputs: Outputs) -> Target:
    """Return the target of a regression, `value`.

    Raises:
        Unprocessable: Another is wanted, or the value is no finite number.
    """
    check_finite(outputs.tensors["value"])
    if wanted not in (None, "value"):
        raise _unknown(wanted, "a regression has one, `value`; leave `target` out")
    return Target("value", lambda out: reported(out.tensors["value"]))


def similarity_target(wanted: str | None, other: Outputs) -> Target:
    """Return the target of an embedding, the cosine similarity to another one's vector, −1 to 1.

    Raises:
        Unprocessable: Another is wanted, or the vector is not finite.
    """
    check_finite(other.tensors["embedding"])
    if wanted not in (None, "similarity"):
        raise _unknown(wanted, "an embedding has one, `similarity`; leave `target` out")
    vector = _directions(other.tensors["embedding"])[0]
    return Target("similarity", lambda out: _directions(out.tensors["embedding"]) @ vector)


def reported(column: Tensor) -> Floats:
    """Return scores as replies report them: of a float32 the shortest decimal that reads back as it."""
    if not np.isfinite(column).all():
        return column.astype(np.float64)
    written = orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)
    return np.array(orjson.loads(written), np.float64)


def _directions(vectors: Tensor) -> Floats:
    """Return vectors at the length 1; one of zeros has no direction, and is like nothing."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Floats = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths != 0)
    return unit


def _sliced(batch: Batch, start: int, stop: int) -> Batch:
    columns = {name: column[start:stop] for name, column in batch.columns.items()}
    return Batch(columns, batch.parameters, batch.shape)


def _unknown(wanted: str, there: str) -> Unprocessable:
    shown = wanted[:100].encode("utf-8", "replace").decode()
    return Unprocessable(f"the model has no target {shown!r}; {there}", code="unknown_target", param="target")
