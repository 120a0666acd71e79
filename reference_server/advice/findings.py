"""What a look at a package shows without running it, with what it costs and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto

from maas_client._package import GRAPH
from maas_client.types import StaticFinding
from reference_server.advice.graphs import opset_of
from reference_server.errors import Unprocessable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maas_client._package import Package
    from maas_client.types import Manifest

_MOST_SHOWN = 20
# From opset 13 on quantised weights have a scale for each channel (ONNX operator changelog).
_GOOD_OPSET = 13
# A float64 of a shape or of an epsilon costs nothing.
_LEAST_DOUBLES = 16


def look(
    package: Package, *, names: bool, most_bytes: int | None = None
) -> tuple[int, int, list[StaticFinding]]:
    """Return a graph's opset, its IR version, and what was found.

    Args:
        package: The package, open.
        names: Whether the names of nodes and tensors are told: they show how a graph is built.
        most_bytes: The largest graph that is read; None for any.

    Raises:
        Unprocessable: With code `too_large`.
    """
    if most_bytes is not None and package.sizes[GRAPH] > most_bytes:
        raise Unprocessable(
            f"the graph has {package.sizes[GRAPH]:,} bytes, and a call reads at most {most_bytes:,}; ask for "
            "advice with POST …/advice, whose job looks at it too",
            code="too_large",
            param="version",
        )
    model = onnx.ModelProto.FromString(package.read(GRAPH))
    found = [
        *_of_graph(model, package.manifest),
        *_of_tokenizer(package),
    ]
    if not names:
        found = [each.model_copy(update={"where": []}) for each in found]
    return opset_of(model), model.ir_version, found


def _of_graph(model: onnx.ModelProto, manifest: Manifest) -> Iterator[StaticFinding]:
    yield from _old_opset(opset_of(model))
    yield from _unused_outputs(model.graph, manifest)
    yield from _doubles(model.graph)
    yield from _fixed_batch(model.graph)
    yield from _given_weights(model.graph)


def _old_opset(opset: int) -> Iterator[StaticFinding]:
    # A graph of ONNX Runtime's and scikit-learn's own operators alone has none.
    if 0 < opset < _GOOD_OPSET:
        yield StaticFinding(
            code="old_opset",
            count=1,
            where=[f"opset {opset}"],
            why=f"the graph is written for opset {opset}: before {_GOOD_OPSET}, quantised weights have "
            "one scale for a whole tensor instead of one for each channel, and fewer optimisations know its "
            "nodes",
            remedy=f"export it anew with opset_version={_GOOD_OPSET + 4}, or convert it with "
            f"onnx.version_converter.convert_version(model, {_GOOD_OPSET + 4}), and compare the results",
        )


def _unused_outputs(graph: onnx.GraphProto, manifest: Manifest) -> Iterator[StaticFinding]:
    """Find outputs that the task never reads; the task `tensor` returns them all."""
    read = manifest.postprocessing.output
    if manifest.task == "tensor" or read is None:
        return
    unused = [value.name for value in graph.output if value.name != read]
    if unused:
        yield _finding(
            "unused_output",
            unused,
            f"the task reads {read!r} alone; what else the graph returns may be computed and is held in "
            "memory with each run",
            "export the graph without them (output_names), or cut it with onnx.utils.extract_model",
        )


def _doubles(graph: onnx.GraphProto) -> Iterator[StaticFinding]:
    doubles = [
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.DOUBLE and _elements(tensor.dims) >= _LEAST_DOUBLES
    ]
    if doubles:
        yield _finding(
            "double_weights",
            doubles,
            "these weights are float64: twice the memory and about half the speed of float32, which hardly "
            "any model needs",
            "train or export with float32, such as model.float() in PyTorch, or FloatTensorType inputs with "
            "skl2onnx",
        )


def _fixed_batch(graph: onnx.GraphProto) -> Iterator[StaticFinding]:
    weights = {tensor.name for tensor in graph.initializer}
    fixed = [
        value.name
        for value in graph.input
        if value.name not in weights
        and value.type.tensor_type.shape.dim
        and value.type.tensor_type.shape.dim[0].dim_value > 0
    ]
    if fixed:
        yield _finding(
            "fixed_batch",
            fixed,
            "the first axis of these inputs has a fixed size, so that rows of a call, or of several callers, "
            "cannot share a run",
            "export with a dynamic first axis: dynamic_axes or dynamic_shapes in PyTorch, None in TensorFlow "
            "and skl2onnx",
        )


def _given_weights(graph: onnx.GraphProto) -> Iterator[StaticFinding]:
    weights = {tensor.name for tensor in graph.initializer}
    both = [value.name for value in graph.input if value.name in weights]
    if both:
        yield _finding(
            "initializers_as_inputs",
            both,
            "these weights are inputs too, which a caller could override: ONNX Runtime must not fold them or "
            "prepack them, and callers of /v2 see them in the signature",
            "export with keep_initializers_as_inputs=False, or take them out of graph.input",
        )


def _of_tokenizer(package: Package) -> Iterator[StaticFinding]:
    preprocessing = package.manifest.preprocessing
    if preprocessing.tokenizer is None:
        return
    said = json.loads(package.read(preprocessing.tokenizer))
    if isinstance(said, dict) and said.get("truncation") is None:
        yield StaticFinding(
            code="tokenizer_without_truncation",
            where=[preprocessing.tokenizer],
            count=1,
            why=f"the tokenizer itself cuts nothing: only preprocessing.max_tokens, "
            f"{preprocessing.max_tokens:,} here, bounds what a long text costs, and attention costs the "
            "square of that; used elsewhere, the package takes texts that are longer than what the model was "
            "trained on",
            remedy="set the truncation in tokenizer.json (tokenizer.enable_truncation(max_length=…)), and "
            "max_tokens to what your texts need",
        )


def _finding(code: str, where: Sequence[str], why: str, remedy: str) -> StaticFinding:
    return StaticFinding(code=code, where=list(where[:_MOST_SHOWN]), count=len(where), why=why, remedy=remedy)


def _elements(dims: Sequence[int]) -> int:
    size = 1
    for each in dims:
        size *= each
    return size
