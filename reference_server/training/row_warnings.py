"""What rows that can be trained on still warn of: leakage, contradictions, too few of a kind."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from reference_server.training.rows import PARTS, TEXT, key_of, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from reference_server.training.rows import Data, Part

# From where warnings begin: rows of a label, rows measured on, and letters of a label that texts may hold.
_FEW, _FEW_MEASURED, _SHORTEST = 5, 30, 3
_IMBALANCE, _NEARLY_ALL, _CORRELATION = 20, 0.9, 0.999


def warnings_of(data: Data, parts: Mapping[str, Part]) -> list[str]:
    """Return what is to be known of rows that can be trained on, in words.

    Args:
        data: All of them.
        parts: As they are used, split where that was asked for.
    """
    return [
        *_contradictions(data, parts["train"]),
        *_near_repeats(parts),
        *_rare_labels(data, parts["train"]),
        *_few_measured(parts),
        *(_telling_columns if data.kind == "columns" else _named_labels)(data, parts["train"]),
    ]


def _contradictions(data: Data, train: Part) -> Iterator[str]:
    said: dict[str, set[float]] = {}
    for row, target in zip(train.inputs, train.targets.tolist(), strict=True):
        said.setdefault(key_of(row), set()).add(target)
    count = sum(len(targets) > 1 for targets in said.values())
    if count and not data.is_regression:
        yield f"{count:,} inputs occur in the training rows with more than one label: look at those first"


def _near_repeats(parts: Mapping[str, Part]) -> Iterator[str]:
    trained = {key_of(row) for row in parts["train"].inputs}
    for part in PARTS[1:]:
        if part in parts and (count := sum(key_of(row) in trained for row in parts[part].inputs)):
            yield (
                f"{count:,} rows of {part} differ from a training row in case or spaces alone, which makes "
                "what is measured look better than it is"
            )


def _rare_labels(data: Data, train: Part) -> Iterator[str]:
    if data.is_regression:
        return
    counts = np.bincount(train.targets, minlength=len(data.labels))
    rare = [data.labels[index] for index in np.flatnonzero(counts < _FEW).tolist()]
    if rare:
        yield f"labels of fewer than {_FEW} training rows are hardly learnt: {', '.join(rare[:20])}"
    if counts.max() > _IMBALANCE * max(1, counts.min()):
        yield (
            f"the most frequent label has {counts.max():,} training rows and the rarest {counts.min():,}; "
            "see class_weights, and judge by macro_f1 rather than by accuracy"
        )


def _few_measured(parts: Mapping[str, Part]) -> Iterator[str]:
    held_out = [part for part in PARTS[1:] if part in parts]
    if not held_out:
        yield "all rows were learnt from, so that nothing is measured and nothing tells when to stop"
    for part in held_out:
        if len(parts[part]) < _FEW_MEASURED:
            yield f"{part} has {len(parts[part])} rows, too few for figures that mean much"


def _telling_columns(data: Data, train: Part) -> Iterator[str]:
    table = table_of(train.inputs, data.names).astype(np.float64)
    for index, name in enumerate(data.names):
        column = table[:, index]
        if not np.ptp(column):
            yield f"the column {name!r} is the same in every training row and tells nothing"
        elif len(train) >= _FEW_MEASURED and _tells_all(column, train.targets, regression=data.is_regression):
            yield f"the column {name!r} alone tells the target: will it be known when a prediction is made?"


def _tells_all(column: NDArray[np.float64], targets: NDArray[Any], *, regression: bool) -> bool:
    if regression:
        return bool(np.ptp(targets)) and abs(float(np.corrcoef(column, targets)[0, 1])) > _CORRELATION
    ranges = sorted(
        (float(column[targets == each].min()), float(column[targets == each].max()))
        for each in np.unique(targets)
    )
    return all(before[1] < after[0] for before, after in pairwise(ranges))


def _named_labels(data: Data, train: Part) -> Iterator[str]:
    """Tell of labels that stand in nearly all of their texts and in few others, as an identifier would."""
    texts = [str(row[TEXT]).casefold() for row in train.inputs]
    for index, label in enumerate(data.labels):
        word = label.casefold()
        own = train.targets == index
        found = np.array([word in text for text in texts])
        if min(len(word) - _SHORTEST, own.sum() - _FEW) < 0 or found[~own].mean() > 1 - _NEARLY_ALL:
            continue
        if found[own].mean() > _NEARLY_ALL:
            yield f"nearly every text of the label {label!r} holds that very word: see whether calls will too"
