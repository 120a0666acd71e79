"""A base's graph and a trained head as one graph, at the base's own opset and IR version.

What a server does to an embedding after its graph (pooling, scaling to length 1; see the task in
`runtime/tasks/embedding.py`) is done by nodes here. The head is appended to the base's graph itself and not
merged with `onnx.compose`, which renames and copies what may have gigabytes.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from reference_server.errors import Unprocessable
from reference_server.training.heads import constant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client.types import Postprocessing
    from reference_server.training.heads import Head, Scale

# The first that broadcasts in every operator used here.
_LEAST_OPSET = 9
# As the embedding task has them.
_LEAST_COUNT, _LEAST_LENGTH = 1e-9, 1e-12
PROBABILITIES = "probabilities"


def joined(base: bytes, output: str, options: Postprocessing, scale: Scale, head: Head) -> bytes:
    """Return a graph from the base's inputs to `probabilities` `[batch, labels]`.

    Args:
        base: The base's graph.
        output: Which of its outputs holds the embeddings.
        options: How those become one vector for each text.
        scale: What the head was trained under.
        head: Ends in a softmax.

    Raises:
        Unprocessable: Code `base_too_old`.
    """
    model = onnx.ModelProto.FromString(base)
    opset = _opset(model)
    prefix = _free_prefix(model.graph)
    nodes = [
        helper.make_node("Cast", [output], [f"{prefix}floats"], to=TensorProto.FLOAT),
        *_pooled(f"{prefix}floats", f"{prefix}vectors", options.pooling, opset, prefix),
        *_unit(f"{prefix}vectors", f"{prefix}embedding", opset, prefix, wanted=options.normalize),
        *scale.nodes(f"{prefix}embedding", f"{prefix}features", prefix=prefix),
        *head.dense_nodes(f"{prefix}features", f"{prefix}{PROBABILITIES}", prefix=prefix),
    ]
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info(
            f"{prefix}{PROBABILITIES}", TensorProto.FLOAT, ["batch", len(head.bias)]
        )
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _opset(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a graph is written for."""
    opset: int = max(
        (each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0
    )
    if opset < _LEAST_OPSET:
        raise Unprocessable(
            f"the base's graph has the opset {opset}; a head needs {_LEAST_OPSET} or later: export the base "
            "anew, or bring it up with onnx.version_converter",
            code="base_too_old",
            param="base",
        )
    return opset


def _free_prefix(graph: onnx.GraphProto) -> str:
    """Return what no name of a graph begins with."""
    names = [name for node in graph.node for name in (*node.output, node.name)]
    names += [value.name for values in (graph.input, graph.initializer) for value in values]
    for number in count():
        prefix = f"head{number or ''}/"
        if not any(name.startswith(prefix) for name in names):
            return prefix
    raise AssertionError  # numbers do not end


def _pooled(source: str, target: str, pooling: str, opset: int, prefix: str) -> Iterator[onnx.NodeProto]:
    """From `[batch, tokens, dimensions]`, or from one row per text already, to `[batch, dimensions]`."""
    if pooling == "none":
        yield helper.make_node("Identity", [source], [target])
        return
    if pooling == "cls":
        yield constant(f"{prefix}first", np.array(0, np.int64))
        yield helper.make_node("Gather", [source, f"{prefix}first"], [target], axis=1)
        return
    yield helper.make_node("Cast", ["attention_mask"], [f"{prefix}mask"], to=TensorProto.FLOAT)
    # A 0 keeps the axis as it is.
    yield constant(f"{prefix}by_token", np.array([0, 0, 1], np.int64))
    yield helper.make_node("Reshape", [f"{prefix}mask", f"{prefix}by_token"], [f"{prefix}shares"])
    yield helper.make_node("Mul", [source, f"{prefix}shares"], [f"{prefix}masked"])
    yield from _sum(f"{prefix}masked", f"{prefix}sums", opset, keepdims=0)
    yield from _sum(f"{prefix}shares", f"{prefix}tokens", opset, keepdims=0)
    yield constant(f"{prefix}least", np.array([_LEAST_COUNT], np.float32))
    yield helper.make_node("Max", [f"{prefix}tokens", f"{prefix}least"], [f"{prefix}counts"])
    yield helper.make_node("Div", [f"{prefix}sums", f"{prefix}counts"], [target])


def _unit(source: str, target: str, opset: int, prefix: str, *, wanted: bool) -> Iterator[onnx.NodeProto]:
    """Divide each row by its Euclidean length."""
    if not wanted:
        yield helper.make_node("Identity", [source], [target])
        return
    yield helper.make_node("Mul", [source, source], [f"{prefix}squares"])
    yield from _sum(f"{prefix}squares", f"{prefix}square_sums", opset, keepdims=1)
    yield helper.make_node("Sqrt", [f"{prefix}square_sums"], [f"{prefix}lengths"])
    yield constant(f"{prefix}shortest", np.array([_LEAST_LENGTH], np.float32))
    yield helper.make_node("Max", [f"{prefix}lengths", f"{prefix}shortest"], [f"{prefix}positive"])
    yield helper.make_node("Div", [source, f"{prefix}positive"], [target])


def _sum(source: str, target: str, opset: int, *, keepdims: int) -> Iterator[onnx.NodeProto]:
    """Add up along the axis 1, which is an attribute in older opsets and an input in newer ones."""
    if "axes" in onnx.defs.get_schema("ReduceSum", opset, "").attributes:
        yield helper.make_node("ReduceSum", [source], [target], axes=[1], keepdims=keepdims)
        return
    axes = f"{target}_axes"
    yield constant(axes, np.array([1], np.int64))
    yield helper.make_node("ReduceSum", [source, axes], [target], keepdims=keepdims)
