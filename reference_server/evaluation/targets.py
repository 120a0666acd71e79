"""What callers say is true of their rows, checked before anything is run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from maas_client.types import ErrorDetail
from reference_server.errors import Unprocessable
from reference_server.evaluation.rows import Classified, Valued
from reference_server.runtime.tasks.faults import MAX_FAULTS, json_type, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reference_server.evaluation.metrics import Floats, Integers
    from reference_server.runtime.tasks import Outputs

# The largest whole number below which every whole number is a float64.
_LARGEST = 2.0**53
_MOST_LABELS_SHOWN = 20


class Labels:
    """The targets of a classification: labels.

    Args:
        labels: The model's own, in the order of its scores.
        targets: What the caller sent.

    Raises:
        Unprocessable: Naming every row that has no such label.
    """

    def __init__(self, labels: Sequence[str], targets: Sequence[object]) -> None:
        self.labels = labels
        classes = {label: index for index, label in enumerate(labels)}
        shown = ", ".join(labels[:_MOST_LABELS_SHOWN]) + (", …" if len(labels) > _MOST_LABELS_SHOWN else "")

        def read(target: object) -> int:
            if not isinstance(target, str):
                raise _Wrong("wrong_type", f"a label, a string, is expected, not {json_type(target)}")
            if target not in classes:
                raise _Wrong("unknown_label", f"one of {shown} is expected, not {printable(target)!r}")
            return classes[target]

        self._classes: Integers = np.array(_checked(targets, read), np.int64)

    def rows(self, outputs: Outputs, start: int) -> Classified:
        """Hold a model's outputs against the targets from `start` on."""
        scores = outputs.tensors["scores"]
        return Classified.of(scores, self._classes[start : start + len(scores)])


class Values:
    """The targets of a regression: finite numbers.

    Args:
        targets: What the caller sent.

    Raises:
        Unprocessable: Naming every row that is no such number.
    """

    def __init__(self, targets: Sequence[object]) -> None:
        self._values: Floats = np.array(_checked(targets, _number), np.float64)

    def rows(self, outputs: Outputs, start: int) -> Valued:
        """Hold a model's outputs against the targets from `start` on."""
        values = outputs.tensors["value"].astype(np.float64)
        return Valued(values, self._values[start : start + len(values)])


def targets_for(task: str, labels: Sequence[str], targets: Sequence[object], rows: int) -> Labels | Values:
    """Return checked targets for a model's task.

    Args:
        task: The model's task.
        labels: Its labels, in the order of its scores.
        targets: What the caller sent.
        rows: How many inputs there are.

    Raises:
        Unprocessable: With code `not_evaluated` for a task that has no such metrics, `wrong_length` where
            there are more or fewer targets than inputs, else naming every row at fault.
    """
    if len(targets) != rows:
        raise Unprocessable(
            f"there are {rows:,} inputs and {len(targets):,} targets; send one target for each input, in the "
            "same order",
            code="wrong_length",
            param="targets",
        )
    if task.endswith("-classification"):
        return Labels(labels, targets)
    if task.endswith("-regression"):
        return Values(targets)
    raise Unprocessable(
        f"models of the task {task!r} are not evaluated here; classifications and regressions are",
        code="not_evaluated",
        param="model",
    )


class _Wrong(Exception):  # noqa: N818 - a finding on its way into the list of them
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _checked(targets: Sequence[object], read: Callable[[object], float]) -> list[float]:
    values: list[float] = []
    faults: list[ErrorDetail] = []
    for row, target in enumerate(targets):
        try:
            values.append(read(target))
        except _Wrong as wrong:
            param = f"targets[{row}]"
            faults.append(ErrorDetail(code=wrong.code, message=wrong.message, param=param))
            if len(faults) >= MAX_FAULTS:
                break
    if not faults:
        return values
    more = f" (and {len(faults) - 1} more, see errors)" if len(faults) > 1 else ""
    raise Unprocessable(
        f"{faults[0].param}: {faults[0].message}{more}; nothing was run",
        code=faults[0].code,
        param=faults[0].param,
        details=faults,
    )


def _number(target: object) -> float:
    if not isinstance(target, int | float) or isinstance(target, bool):
        raise _Wrong("wrong_type", f"a number is expected, not {json_type(target)}")
    # Python's whole numbers have no limit, and asking whether a huge one is finite fails.
    if (isinstance(target, int) and abs(target) > _LARGEST) or not math.isfinite(target):
        raise _Wrong("out_of_range", "a finite number of at most 2⁵³ is expected")
    return float(target)
