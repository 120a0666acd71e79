"""The same graph with smaller weights: int8 for weights alone in two ways, int8 for all, float16.

Weights are quantised symmetrically, q = round(w / s) with s = max|w| / 127 over a channel or a block (Jacob
et al., "Quantization and Training of Neural Networks", CVPR 2018, with the zero point at 0). The same graph
gives the same bytes.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

# Smaller ones save nothing and cost a node.
_LEAST_WEIGHTS = 256
_BLOCK = 32
# DequantizeLinear takes one scale for a tensor from opset 10 on, and one for each channel from 13 on.
_PER_TENSOR_OPSET, _PER_CHANNEL_OPSET = 10, 13
_LARGEST = 127
_CONTRIB = "com.microsoft"
# ConvInteger has no kernel for int8 weights on x86.
_NOT_DYNAMIC = frozenset({"Conv"})
_MOST_REASON_CHARACTERS = 300
# Those of the library that infer shapes by way of files.
_MODULES = ("base_quantizer", "onnx_quantizer", "quant_utils")


class CannotBeMade(Exception):  # noqa: N818 - a finding, told with the result
    """A graph has no such variant; the message tells why."""


def int8_weights(graph: bytes) -> bytes:
    """Return a graph whose large weights are int8 and turned back into float32 where they are used.

    A matrix has one scale for each of its outputs, a table of embeddings one for each row.

    Raises:
        CannotBeMade: The opset is too old, or there are no such weights.
    """
    model = onnx.ModelProto.FromString(graph)
    opset = opset_of(model)
    if opset < _PER_TENSOR_OPSET:
        raise CannotBeMade(
            f"DequantizeLinear comes with opset {_PER_TENSOR_OPSET}, and the graph has {opset}"
        )
    axes = _channel_axes(model.graph)
    nodes: list[onnx.NodeProto] = []
    names = _Names(model.graph)
    for tensor in _large_weights(model.graph):
        if tensor.name not in axes:
            continue
        values = numpy_helper.to_array(tensor)
        axis = axes[tensor.name] % values.ndim if opset >= _PER_CHANNEL_OPSET else None
        whole, scales = _quantised(values, axis)
        kept, scale = names.free(f"{tensor.name}_int8"), names.free(f"{tensor.name}_scale")
        node = helper.make_node("DequantizeLinear", [kept, scale], [tensor.name])
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        nodes.append(node)
        tensor.CopyFrom(numpy_helper.from_array(whole, kept))
        model.graph.initializer.append(numpy_helper.from_array(scales, scale))
    if not nodes:
        raise CannotBeMade(_no_weights())
    _put_first(model.graph, nodes)
    return _serialised(model)


def int8_blocks(graph: bytes) -> bytes:
    """Return a graph that multiplies by matrices of int8 in blocks of 32, each with a scale: MatMulNBits.

    ONNX Runtime's own operator (ContribOperators.md), which needs no opset but its own; activations stay
    float32.

    Raises:
        CannotBeMade: There are no such matrices.
    """
    model = onnx.ModelProto.FromString(graph)
    weights = {tensor.name: tensor for tensor in _large_weights(model.graph)}
    names, changed = _Names(model.graph), False
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.domain not in ("", "ai.onnx") or node.input[1] not in weights:
            continue
        values = numpy_helper.to_array(weights[node.input[1]])
        if values.ndim != 2:  # noqa: PLR2004 - rows and columns
            continue
        _multiply_by_blocks(model.graph, node, values, names)
        changed = True
    if not changed:
        raise CannotBeMade(_no_weights("that MatMul multiplies by"))
    _drop_unused(model.graph)
    if not any(each.domain == _CONTRIB for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
    return _serialised(model)


def int8_dynamic(graph: bytes) -> bytes:
    """Return a graph that multiplies int8 by int8, with a scale for the activations of each run.

    By `onnxruntime.quantization`.

    Raises:
        CannotBeMade: There is nothing to quantise, or the library cannot.
    """
    from onnxruntime.quantization import QuantType, onnx_quantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode
    from onnxruntime.quantization.quantize import update_opset_version
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    model = onnx.ModelProto.FromString(graph)
    before = _operators(model)
    if not any(True for _ in _large_weights(model.graph)):
        raise CannotBeMade(_no_weights())
    with _library_without_files(), _telling("onnxruntime.quantization"):
        model = update_opset_version(_marked(model), QuantType.QInt8)
        quantizer = onnx_quantizer.ONNXQuantizer(
            model,
            per_channel=False,
            reduce_range=False,
            mode=QuantizationMode.IntegerOps,
            static=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=None,
            nodes_to_quantize=[],
            nodes_to_exclude=[],
            op_types_to_quantize=[each for each in IntegerOpsRegistry if each not in _NOT_DYNAMIC],
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
        )
        quantizer.quantize_model()
        made = quantizer.model.model
    if not any(name.startswith("DynamicQuantize") for name in (_operators(made) - before)):
        raise CannotBeMade(_no_weights("that it can multiply as int8"))
    # What shape inference noted is not the graph's.
    del made.graph.value_info[:]
    return _serialised(made)


def fp16(graph: bytes) -> bytes:
    """Return a graph that computes in float16, its inputs and outputs as they were.

    By `onnxruntime.transformers.float16`.

    Raises:
        CannotBeMade: The library cannot.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with _telling("onnxruntime.transformers.float16"):
        made = convert_float_to_float16(onnx.ModelProto.FromString(graph), keep_io_types=True)
    return _serialised(made)


MAKERS: dict[str, Callable[[bytes], bytes]] = {
    "int8-weights": int8_weights,
    "int8-blocks": int8_blocks,
    "int8-dynamic": int8_dynamic,
    "fp16": fp16,
}


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a graph is written for; 0 where it has none."""
    return max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)


class _Names:
    """Names that a graph does not have yet."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._taken = {name for node in graph.node for name in (*node.input, *node.output)}
        self._taken |= {each.name for each in (*graph.input, *graph.initializer)}

    def free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _large_weights(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the float32 initializers of two axes and more that are worth it and that no caller can give."""
    given = {value.name for value in graph.input} | {value.name for value in graph.output}
    for tensor in graph.initializer:
        is_large = len(tensor.dims) > 1 and np.prod(tensor.dims) >= _LEAST_WEIGHTS
        if tensor.data_type == TensorProto.FLOAT and is_large and tensor.name not in given:
            yield tensor


def _channel_axes(graph: onnx.GraphProto) -> dict[str, int]:
    """Return along which axis each weight has its channels, by what uses it first."""
    axes: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "MatMul":
            axes.setdefault(node.input[1], -1)
            axes.setdefault(node.input[0], -2)
        elif node.op_type == "Gemm":
            transposed = any(each.name == "transB" and each.i for each in node.attribute)
            axes.setdefault(node.input[1], 0 if transposed else 1)
        elif node.op_type in ("Conv", "Gather"):
            axes.setdefault(node.input[0 if node.op_type == "Gather" else 1], 0)
    return axes


def _quantised(values: NDArray[np.float32], axis: int | None) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    others = tuple(each for each in range(values.ndim) if each != axis)
    largest = np.abs(values).max(axis=None if axis is None else others, keepdims=True)
    scales = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
    whole = np.clip(np.rint(values / scales), -_LARGEST, _LARGEST).astype(np.int8)
    return whole, scales.reshape(() if axis is None else -1)


def _multiply_by_blocks(
    graph: onnx.GraphProto, node: onnx.NodeProto, values: NDArray[np.float32], names: _Names
) -> None:
    """Make a MatMul by `values` `[inputs, outputs]` a MatMulNBits of 8 bits."""
    inputs, outputs = values.shape
    blocks = -(-inputs // _BLOCK)
    padded = np.zeros((outputs, blocks * _BLOCK), np.float32)
    padded[:, :inputs] = values.T
    parts = padded.reshape(outputs, blocks, _BLOCK)
    largest = np.abs(parts).max(axis=2, keepdims=True)
    scales = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
    # Without zero points the operator takes 128 for 0.
    whole = (np.clip(np.rint(parts / scales), -_LARGEST, _LARGEST) + 128).astype(np.uint8)
    kept, scale = names.free(f"{node.input[1]}_int8"), names.free(f"{node.input[1]}_scale")
    graph.initializer.append(numpy_helper.from_array(whole, kept))
    graph.initializer.append(numpy_helper.from_array(scales.reshape(outputs, blocks), scale))
    made = helper.make_node(
        "MatMulNBits",
        [node.input[0], kept, scale],
        list(node.output),
        name=node.name,
        domain=_CONTRIB,
        K=inputs,
        N=outputs,
        bits=8,
        block_size=_BLOCK,
    )
    node.CopyFrom(made)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Take the initializers away that nothing uses; those of graphs within a graph are left as they are."""
    if any(
        attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute
    ):
        return
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _put_first(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def _operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def _marked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Tell the library that shapes were inferred, which it only wants to know types by; those are told it.

    `onnx.shape_inference` ends the process on some graphs, such as ones with a `Tokenizer`.
    """
    from onnxruntime.quantization.quant_utils import add_infer_metadata

    add_infer_metadata(model)
    return model


def _is_serious(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING


@contextmanager
def _library_without_files() -> Iterator[None]:
    """Keep the library from inferring shapes: it would write the weights to a temporary file, in clear.

    It warns, by the root logger, of each tensor whose type it then takes as float32.
    """
    modules = [import_module(f"onnxruntime.quantization.{each}") for each in _MODULES]
    name = "save_and_reload_model_with_shape_infer"
    before = [getattr(module, name) for module in modules]
    for module in modules:
        setattr(module, name, _marked)
    logging.getLogger().addFilter(_is_serious)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(_is_serious)
        for module, function in zip(modules, before, strict=True):
            setattr(module, name, function)


@contextmanager
def _telling(library: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Whatever a converter meets in a graph, the other variants are measured.
        told = " ".join(str(error).split())[:_MOST_REASON_CHARACTERS]
        raise CannotBeMade(f"{library} cannot convert this graph: {told or type(error).__name__}") from error


def _no_weights(which: str = "") -> str:
    told = f" {which}" if which else ""
    return f"the graph has no float32 weights of at least {_LEAST_WEIGHTS} elements{told}"


def _serialised(model: onnx.ModelProto) -> bytes:
    content: bytes = model.SerializeToString(deterministic=True)
    return content
