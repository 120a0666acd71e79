"""Linear models of dense rows, trained by gradient descent and written as graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from reference_server.training.descent import Plan, descend
from reference_server.training.linear import LinearClassifier, Matrix
from reference_server.training.losses import CrossEntropy, MeanSquaredError, softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reference_server.catalogue.scikit_data import Rows

    Floats = NDArray[np.float64]

_BATCH_ROWS = 32
_SEED = 0
_OPSET, _IR_VERSION = 17, 8
# numpy's exponentials differ in their last bits from one processor to the next. Six digits hide that, so that
# the same model, with the same digest, comes out everywhere.
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Outputs = features · weights + bias.

    Args:
        weights: `[features, outputs]`.
        bias: `[outputs]`.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def outputs(self, features: Floats) -> Floats:
        """Return the outputs of rows, `[rows, outputs]`."""
        return (features.astype(np.float32) @ self.weights + self.bias).astype(np.float64)

    def probabilities(self, features: Floats) -> Floats:
        """Return the softmax of the outputs."""
        return softmax(self.outputs(features))

    def graph(self, name: str, row_shape: Sequence[int], *, output: str, is_classifier: bool) -> bytes:
        """Return a graph from `[batch, *row_shape]` to `[batch, outputs]`, of a classifier probabilities."""
        nodes = [
            helper.make_node("Flatten", [name], ["rows"], axis=1),
            helper.make_node("Gemm", ["rows", "weights", "bias"], ["outputs"]),
            helper.make_node("Softmax", ["outputs"], [output], axis=1)
            if is_classifier
            else helper.make_node("Identity", ["outputs"], [output]),
        ]
        graph = helper.make_graph(
            nodes,
            "linear",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *row_shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", len(self.bias)])],
            [numpy_helper.from_array(self.weights, "weights"), numpy_helper.from_array(self.bias, "bias")],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
        )
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def classifier(train: Rows, *, classes: int, learning_rate: float, epochs: int, one_unit: bool) -> LinearHead:
    """Fit a softmax regression to classes from 0.

    Args:
        one_unit: Whether all features are of one kind and scaled alike: a pixel that seldom has ink then does
            not count for more than the others.
    """
    scaling = _Scaling.of(train.features, one_unit=one_unit)
    model = LinearClassifier(train.features.shape[1], classes)
    losses = descend(
        model,
        Matrix(scaling.apply(train.features)),
        train.targets,
        plan=Plan(loss=CrossEntropy(), learning_rate=learning_rate, epochs=epochs, batch_size=_BATCH_ROWS),
        seed=_SEED,
    )
    for _ in losses:
        pass
    return scaling.folded_into(model)


def regressor(train: Rows, *, learning_rate: float, epochs: int) -> LinearHead:
    """Fit a linear regression to numbers."""
    scaling = _Scaling.of(train.features, one_unit=False)
    target = _Scaling.of(train.targets[:, None], one_unit=True)
    model = LinearClassifier(train.features.shape[1], 1)
    losses = descend(
        model,
        Matrix(scaling.apply(train.features)),
        target.apply(train.targets[:, None])[:, 0],
        plan=Plan(
            loss=MeanSquaredError(), learning_rate=learning_rate, epochs=epochs, batch_size=_BATCH_ROWS
        ),
        seed=_SEED,
    )
    for _ in losses:
        pass
    model.weights *= target.deviation
    model.bias = model.bias * target.deviation + target.mean
    return scaling.folded_into(model)


@dataclass(frozen=True, slots=True)
class _Scaling:
    """The training rows' mean and deviation, by which descent sees all features in one size."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, matrix: Floats, *, one_unit: bool) -> _Scaling:
        columns = matrix.shape[1]
        deviation = np.full(columns, matrix.std()) if one_unit else matrix.std(axis=0)
        return cls(matrix.mean(axis=0), deviation)

    def apply(self, matrix: Floats) -> Floats:
        scaled: Floats = (matrix - self.mean) / self.deviation
        return scaled

    def folded_into(self, model: LinearClassifier) -> LinearHead:
        """Return a model of scaled rows as one of plain rows."""
        weights = (model.weights / self.deviation).T
        return LinearHead(_rounded(weights), _rounded(model.bias - self.mean @ weights))


def _rounded(values: Floats) -> NDArray[np.float32]:
    rounded = [float(f"{value:.{_DIGITS}g}") for value in values.ravel()]
    return np.array(rounded, np.float32).reshape(values.shape)
