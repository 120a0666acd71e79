"""A trained linear head in the precision that graphs have, and the nodes that compute it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

from reference_server.training.losses import softmax

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from numpy.typing import NDArray

    from reference_server.training.linear import Features, LinearClassifier

    Floats = NDArray[np.float64]
    Singles = NDArray[np.float32]

# Of classes whose parts of a text are gathered at once: a long text has 40,000 features.
_BLOCK = 8


@dataclass(frozen=True, slots=True)
class Scale:
    """What brings dense features to one size: (x − mean) / deviation, each `[features]`."""

    mean: Singles
    deviation: Singles

    @classmethod
    def of(cls, rows: Singles) -> Scale:
        """Return the scale of rows `[rows, features]`; a feature that is always the same stays as it is."""
        exact = rows.astype(np.float64)
        deviation = exact.std(axis=0)
        # Rounding leaves a constant a tiny deviation, by which it must not be divided.
        still = deviation <= np.abs(exact.mean(axis=0)) * np.finfo(np.float32).eps
        return cls(exact.mean(axis=0).astype(np.float32), np.where(still, 1.0, deviation).astype(np.float32))

    def apply(self, rows: Singles) -> Floats:
        """Return scaled rows."""
        scaled: Floats = (rows.astype(np.float64) - self.mean) / self.deviation
        return scaled

    def nodes(self, source: str, target: str, *, prefix: str) -> Iterator[onnx.NodeProto]:
        """Return the nodes that scale a tensor `[batch, features]`."""
        yield constant(f"{prefix}mean", self.mean)
        yield constant(f"{prefix}deviation", self.deviation)
        yield helper.make_node("Sub", [source, f"{prefix}mean"], [f"{prefix}centred"])
        yield helper.make_node("Div", [f"{prefix}centred", f"{prefix}deviation"], [target])


@dataclass(frozen=True, slots=True)
class Head:
    """Outputs = X · Wᵀ + b, and of a classifier their softmax.

    Args:
        weights: W, `[outputs, features]`.
        bias: b, `[outputs]`.
        is_classifier: Whether outputs are probabilities.
    """

    weights: Singles
    bias: Singles
    is_classifier: bool

    @classmethod
    def of(cls, model: LinearClassifier, *, is_classifier: bool) -> Head:
        """Return a trained model as a head."""
        return cls(model.weights.astype(np.float32), model.bias.astype(np.float32), is_classifier)

    def outputs(self, rows: Features) -> Floats:
        """Return probabilities or values, `[rows, outputs]`."""
        logits = rows.times(self.weights.astype(np.float64)) + self.bias
        return softmax(logits) if self.is_classifier else logits

    def scaled(self, mean: float, deviation: float) -> Head:
        """Return a head whose outputs are in the unit of targets that were scaled for its training."""
        weights, bias = self.weights.astype(np.float64), self.bias.astype(np.float64)
        return Head(
            (weights * deviation).astype(np.float32),
            (bias * deviation + mean).astype(np.float32),
            self.is_classifier,
        )

    def dense_nodes(self, source: str, target: str, *, prefix: str) -> Iterator[onnx.NodeProto]:
        """Return the nodes from features `[batch, features]` to outputs."""
        yield constant(f"{prefix}weights", self.weights)
        yield constant(f"{prefix}bias", self.bias)
        yield helper.make_node(
            "Gemm",
            [source, f"{prefix}weights", f"{prefix}bias"],
            [f"{prefix}logits"],
            transB=1,
        )
        yield from self._ending(target, prefix=prefix)

    def bag_nodes(self, ids: str, values: Singles, smallest: float, target: str) -> Iterator[onnx.NodeProto]:
        """Return the nodes from feature ids `[batch, n]` to outputs, for features scaled to length 1.

        Args:
            ids: The tensor of ids.
            values: What each feature counts before scaling, `[features]`; 0 for what is none.
            smallest: Below this the square of a length counts as this.
            target: The tensor of outputs.
        """
        yield constant("along_row", np.array([1], np.int64))
        weighted = (self.weights * values).T
        for start in range(0, len(self.bias), _BLOCK):
            name = f"weighted_{start}"
            yield constant(name, np.ascontiguousarray(weighted[:, start : start + _BLOCK]))
            yield helper.make_node("Gather", [name, ids], [f"{name}_parts"])
            yield helper.make_node("ReduceSum", [f"{name}_parts", "along_row"], [f"{name}_sums"], keepdims=0)
        blocks = [f"weighted_{start}_sums" for start in range(0, len(self.bias), _BLOCK)]
        yield helper.make_node("Concat", blocks, ["sums"], axis=1)
        yield constant("squares", values**2)
        yield constant("smallest", np.array([smallest], np.float32))
        yield helper.make_node("Gather", ["squares", ids], ["own_squares"])
        yield helper.make_node("ReduceSum", ["own_squares", "along_row"], ["square_sums"], keepdims=1)
        yield helper.make_node("Max", ["square_sums", "smallest"], ["positive_sums"])
        yield helper.make_node("Sqrt", ["positive_sums"], ["lengths"])
        yield helper.make_node("Div", ["sums", "lengths"], ["scaled"])
        yield constant("bias", self.bias)
        yield helper.make_node("Add", ["scaled", "bias"], ["logits"])
        yield from self._ending(target, prefix="")

    def _ending(self, target: str, *, prefix: str) -> Iterator[onnx.NodeProto]:
        if self.is_classifier:
            yield helper.make_node("Softmax", [f"{prefix}logits"], [target], axis=1)
        else:
            yield helper.make_node("Identity", [f"{prefix}logits"], [target])


def constant(name: str, value: NDArray[Any]) -> onnx.NodeProto:
    """Return a constant: unlike an initializer it reads the same in every version of the format."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
