"""Whether two versions said the same: labels, values, vectors or tensors, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Predictions: TypeAlias = Sequence[Mapping[str, Any]]

# As `ShadowComparison` documents them.
_VALUE_TOLERANCE = 0.01
_LEAST_COSINE = 0.99
_ABSOLUTE, _RELATIVE = 1e-3, 1e-3


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the rows of a call compare.

    Args:
        measure: What was compared: `label`, `value`, `embedding` or `tensor`.
        agreed: For each row, whether the two agree.
        differences: For each row, by how much they differ; finite.
    """

    measure: str
    agreed: Sequence[bool]
    differences: Sequence[float]


def compare(a: Predictions, b: Predictions) -> Agreement | None:
    """Compare what two versions predicted for the same rows; None where the two cannot be compared.

    They cannot when they are of other tasks, of vectors of other lengths, or of other outputs.
    """
    if len(a) != len(b) or not a:
        return None
    measure = _measure(a[0])
    compare_rows = _BY_MEASURE[measure]
    rows = [compare_rows(one, other) for one, other in zip(a, b, strict=True)]
    found = [row for row in rows if row is not None]
    if len(found) != len(rows):
        return None
    return Agreement(measure, [agreed for agreed, _ in found], [difference for _, difference in found])


_Row: TypeAlias = "tuple[bool, float] | None"


def _measure(prediction: Mapping[str, Any]) -> str:
    """Return what a prediction is; a graph's own outputs may have any name."""
    names = set(prediction)
    if names == {"label", "score", "scores"}:
        return "label"
    if names == {"value"} and np.ndim(prediction["value"]) == 0:
        return "value"
    return "embedding" if names == {"embedding"} and np.ndim(prediction["embedding"]) == 1 else "tensor"


def _labels(a: Mapping[str, Any], b: Mapping[str, Any]) -> _Row:
    """Compare the best labels, and how sure the two are of the one that a has."""
    if _measure(b) != "label":
        return None
    score = b["scores"].get(a["label"], 0.0)
    return a["label"] == b["label"], abs(float(score) - float(a["score"]))


def _values(a: Mapping[str, Any], b: Mapping[str, Any]) -> _Row:
    if _measure(b) != "value":
        return None
    difference = abs(float(b["value"]) - float(a["value"]))
    return _finite(difference <= _VALUE_TOLERANCE * abs(float(a["value"])), difference)


def _embeddings(a: Mapping[str, Any], b: Mapping[str, Any]) -> _Row:
    """Compare directions: by how much the cosine falls short of 1."""
    if _measure(b) != "embedding" or np.shape(a["embedding"]) != np.shape(b["embedding"]):
        return None
    one, other = (np.asarray(each["embedding"], np.float64) for each in (a, b))
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    cosine = float(one @ other) / lengths if lengths else float(np.array_equal(one, other))
    return _finite(cosine >= _LEAST_COSINE, max(0.0, 1.0 - cosine))


def _tensors(a: Mapping[str, Any], b: Mapping[str, Any]) -> _Row:
    """Compare all outputs of a graph; texts and the like agree when they are equal."""
    if a.keys() != b.keys():
        return None
    agreed, largest = True, 0.0
    for name in a:
        one, other = np.asarray(a[name]), np.asarray(b[name])
        if one.shape != other.shape:
            return None
        if one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
            same = bool(np.array_equal(one, other))
            agreed, largest = agreed and same, max(largest, float(not same))
            continue
        first, second = one.astype(np.float64), other.astype(np.float64)
        agreed = agreed and bool(np.allclose(second, first, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True))
        with np.errstate(invalid="ignore"):
            apart = np.abs(second - first)[~(np.isnan(first) & np.isnan(second))]
        largest = max(largest, float(apart.max(initial=0.0)))
    return _finite(agreed, largest)


def _finite(agreed: bool, difference: float) -> tuple[bool, float]:  # noqa: FBT001 - one half of a pair
    """Return a row whose difference can be added up: beyond all numbers, the largest that can be squared."""
    return (agreed, difference) if difference < _LARGEST else (False, _LARGEST)


_LARGEST = 1e100
_BY_MEASURE = {"label": _labels, "value": _values, "embedding": _embeddings, "tensor": _tensors}
