"""The models of the serving benchmark, made with fixed seeds: `tiny`, an encoder, one that takes an image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

Array = NDArray[np.generic]

LAYERS, HIDDEN, HEADS, FEED_FORWARD, VOCABULARY, TOKENS = 6, 384, 12, 1536, 30_522, 32
IMAGE = (3, 224, 224)


class Graph:
    """Collects nodes and weights."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, array: Array) -> str:
        """Add a constant and return its name."""
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def random(self, *shape: int) -> str:
        """Add random weights, scaled so that activations stay of order 1."""
        scale = 1 / np.sqrt(shape[0])
        return self.constant((self._random.standard_normal(shape) * scale).astype(np.float32))

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        """Add a node and return its output's name."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def linear(self, value: str, rows: int, columns: int) -> str:
        """Add a matrix product with a bias."""
        product = self.node("MatMul", value, self.random(rows, columns))
        return self.node("Add", product, self.constant(np.zeros(columns, np.float32)))

    def normalised(self, value: str) -> str:
        """Add a layer normalisation."""
        ones, zeros = np.ones(HIDDEN, np.float32), np.zeros(HIDDEN, np.float32)
        return self.node("LayerNormalization", value, self.constant(ones), self.constant(zeros), axis=-1)

    def model(
        self, inputs: list[onnx.ValueInfoProto], output: str, shape: list[int | str]
    ) -> onnx.ModelProto:
        """Return the whole."""
        self.nodes.append(helper.make_node("Identity", [output], ["y"]))
        result = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "benchmark", inputs, [result], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tiny() -> onnx.ModelProto:
    """Return a model of 16 floats in and 3 out: what is measured is everything around it."""
    graph = Graph()
    hidden = graph.node("Relu", graph.linear("x", 16, 16))
    output = graph.node("Softmax", graph.linear(hidden, 16, 3))
    return graph.model(
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])], output, ["batch", 3]
    )


def image() -> onnx.ModelProto:
    """Return a model of 3 by 224 by 224 floats, 588 KiB, in and 10 out, with next to no arithmetic."""
    graph = Graph()
    pooled = graph.node("AveragePool", "x", kernel_shape=[28, 28], strides=[28, 28])
    flat = graph.node("Flatten", pooled)
    output = graph.linear(flat, 3 * 8 * 8, 10)
    shape = ["batch", *IMAGE]
    return graph.model([helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)], output, ["batch", 10])


def encoder() -> onnx.ModelProto:
    """Return a transformer encoder of MiniLM's size with random float32 weights, mean-pooled."""
    graph = Graph()
    value = graph.normalised(graph.node("Gather", graph.random(VOCABULARY, HIDDEN), "input_ids"))
    mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    for _ in range(LAYERS):
        value = graph.normalised(graph.node("Add", value, _attention(graph, value, mask)))
        wide = graph.node("Relu", graph.linear(value, HIDDEN, FEED_FORWARD))
        value = graph.normalised(graph.node("Add", value, graph.linear(wide, FEED_FORWARD, HIDDEN)))
    output = graph.node("ReduceMean", value, axes=[1], keepdims=0)
    sequence = ["batch", "tokens"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, sequence)
        for name in ("input_ids", "attention_mask")
    ]
    return graph.model(inputs, output, ["batch", HIDDEN])


def _attention(graph: Graph, value: str, mask: str) -> str:
    size = HIDDEN // HEADS
    split = graph.constant(np.array([0, 0, HEADS, size], np.int64))
    join = graph.constant(np.array([0, 0, HIDDEN], np.int64))
    heads = [graph.node("Reshape", graph.linear(value, HIDDEN, HIDDEN), split) for _ in range(3)]
    query, content = (graph.node("Transpose", each, perm=[0, 2, 1, 3]) for each in (heads[0], heads[2]))
    key = graph.node("Transpose", heads[1], perm=[0, 2, 3, 1])
    scale = graph.constant(np.array(1 / np.sqrt(size), np.float32))
    scores = graph.node("Mul", graph.node("MatMul", query, key), scale)
    absent = graph.node("Sub", graph.constant(np.array(1, np.float32)), mask)
    far = graph.node("Mul", absent, graph.constant(np.array(-1e4, np.float32)))
    axes = graph.constant(np.array([1, 2], np.int64))
    weights = graph.node("Softmax", graph.node("Add", scores, graph.node("Unsqueeze", far, axes)), axis=-1)
    mixed = graph.node("Transpose", graph.node("MatMul", weights, content), perm=[0, 2, 1, 3])
    return graph.linear(graph.node("Reshape", mixed, join), HIDDEN, HIDDEN)


def model(name: str) -> onnx.ModelProto:
    """Return a model by its name."""
    return {"tiny": tiny, "image": image, "encoder": encoder}[name]()


def example(name: str) -> dict[str, Array]:
    """Return one row of a model's inputs."""
    random = np.random.default_rng(1)
    if name == "encoder":
        ids = random.integers(1, VOCABULARY, TOKENS)
        return {"input_ids": ids, "attention_mask": np.ones(TOKENS, np.int64)}
    shape = IMAGE if name == "image" else (16,)
    return {"x": random.standard_normal(shape).astype(np.float32).round(4)}


def write(name: str, folder: Path, *, serving: str = "", note: str = "") -> Path:
    """Write one of the models as a package and return its folder; an image's example is all zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    values = example(name)
    shown = {
        key: (np.zeros_like(array) if name == "image" else array).tolist() for key, array in values.items()
    }
    (folder / "model.onnx").write_bytes(model(name).SerializeToString())
    example_lines = [f"{key} = {json.dumps(value)}" for key, value in shown.items()]
    lines = [
        'task = "tensor"',
        f'description = "{name} of the serving benchmark {note}"',
        'license = "Apache-2.0"',
        *([f"[serving]\n{serving}"] if serving else []),
        "[example]",
        *example_lines,
    ]
    (folder / "maas.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
