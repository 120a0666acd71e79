"""Whether two versions said the same, for each kind of answer."""

from __future__ import annotations

import numpy as np
import pytest

from reference_server.runtime.agreement import compare


def label(best, **scores):
    return {"label": best, "score": scores[best], "scores": scores}


def vector(*values):
    return {"embedding": np.array(values, np.float32)}


@pytest.mark.parametrize(
    ("a", "b", "measure", "agreed", "difference"),
    [
        (label("x", x=0.9, y=0.1), label("x", x=0.7, y=0.3), "label", True, 0.2),
        (label("x", x=0.9, y=0.1), label("y", x=0.4, y=0.6), "label", False, 0.5),
        (label("x", x=0.9), label("z", z=0.6), "label", False, 0.9),
        ({"value": 100.0}, {"value": 100.9}, "value", True, 0.9),
        ({"value": 100.0}, {"value": 102.0}, "value", False, 2.0),
        ({"value": 0.0}, {"value": 0.0}, "value", True, 0.0),
        (vector(1, 0), vector(2, 0), "embedding", True, 0.0),
        (vector(1, 0), vector(0, 3), "embedding", False, 1.0),
        (vector(0, 0), vector(0, 0), "embedding", True, 0.0),
        ({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.0005])}, "tensor", True, 0.0005),
        ({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 3.0])}, "tensor", False, 1.0),
        ({"y": np.array([np.nan])}, {"y": np.array([np.nan])}, "tensor", True, 0.0),
        ({"y": np.array(["a"], object)}, {"y": np.array(["b"], object)}, "tensor", False, 1.0),
        ({"label": [1.0]}, {"label": [1.0]}, "tensor", True, 0.0),
        ({"value": [1.0]}, {"value": [1.0]}, "tensor", True, 0.0),
    ],
)
def test_answers_are_compared_by_what_they_are(a, b, measure, agreed, difference):
    """Labels by name, values within 1 %, vectors by direction, tensors by their largest difference."""
    found = compare([a], [b])
    assert (found.measure, list(found.agreed)) == (measure, [agreed])
    assert found.differences == pytest.approx([difference], abs=1e-6)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([], []),
        ([{"value": 1.0}], [{"value": 1.0}] * 2),
        ([{"value": 1.0}], [label("x", x=1.0)]),
        ([label("x", x=1.0)], [{"value": 1.0}]),
        ([vector(1, 0)], [vector(1, 0, 0)]),
        ([{"y": np.zeros(2)}], [{"z": np.zeros(2)}]),
        ([{"y": np.zeros(2)}], [{"y": np.zeros(3)}]),
    ],
)
def test_what_cannot_be_compared_is_not(a, b):
    """Other tasks, other lengths, other names."""
    assert compare(a, b) is None


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_differences_can_always_be_added_up(value):
    """An infinity is a disagreement, and no sum becomes infinite by it."""
    for a, b in (
        ({"y": np.array([1.0])}, {"y": np.array([value])}),
        ({"value": 1.0}, {"value": float(value)}),
    ):
        found = compare([a], [b])
        assert list(found.agreed) == [False]
        assert np.isfinite(found.differences[0] ** 2)
