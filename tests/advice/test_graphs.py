"""Graphs with smaller weights: what they compute, what they weigh, and when there are none."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from reference_server.advice import graphs
from reference_server.advice.graphs import CannotBeMade

INPUTS, HIDDEN, OUTPUTS, WORDS = 40, 64, 8, 50


def weights(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def model(nodes, initializers, *, inputs=None, opset=17):
    given = inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", INPUTS])]
    graph = helper.make_graph(
        nodes,
        "g",
        given,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)
    return made.SerializeToString()


def perceptron(opset=17):
    return model(
        [
            helper.make_node("MatMul", ["x", "a"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "b", "c"], ["y"], transB=1),
        ],
        {"a": weights(INPUTS, HIDDEN), "b": weights(OUTPUTS, HIDDEN), "c": weights(OUTPUTS)},
        opset=opset,
    )


def run(graph, feeds):
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def operators(graph):
    return [node.op_type for node in onnx.load_from_string(graph).graph.node]


@pytest.mark.parametrize("name", sorted(graphs.MAKERS))
def test_a_variant_computes_nearly_the_same_and_weighs_less(name):
    """To a few percent of the outputs' size, and twice the same bytes."""
    graph, x = perceptron(), weights(16, INPUTS)
    variant = graphs.MAKERS[name](graph)
    expected, found = run(graph, {"x": x}), run(variant, {"x": x})
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert not np.array_equal(found, expected)
    assert len(variant) < 0.8 * len(graph)
    assert graphs.MAKERS[name](graph) == variant


@pytest.mark.parametrize(("opset", "scales"), [(17, HIDDEN), (13, HIDDEN), (12, 1), (10, 1)])
def test_an_old_opset_has_one_scale_for_a_whole_tensor(opset, scales):
    """DequantizeLinear has an axis from opset 13 on."""
    variant = onnx.load_from_string(graphs.int8_weights(perceptron(opset)))
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in variant.graph.initializer}
    assert found["a_scale"].size == scales
    assert found["a_int8"].dtype == np.int8


def test_an_opset_without_the_operator_has_no_such_variant():
    """The reason names both."""
    with pytest.raises(CannotBeMade, match="comes with opset 10, and the graph has 9"):
        graphs.int8_weights(perceptron(9))


def test_quantised_weights_are_within_half_a_step():
    """Of each output's own scale."""
    variant = onnx.load_from_string(graphs.int8_weights(perceptron()))
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in variant.graph.initializer}
    back = found["a_int8"] * found["a_scale"]
    assert (np.abs(back - weights(INPUTS, HIDDEN)) <= found["a_scale"] / 2 + 1e-7).all()
    assert np.abs(found["a_int8"]).max(axis=0).tolist() == [127] * HIDDEN


def test_blocks_are_finer_than_channels():
    """A block of 32 inputs has a scale of its own; the last one is filled up with zeros."""
    graph = model([helper.make_node("MatMul", ["x", "a"], ["y"])], {"a": weights(INPUTS, HIDDEN)})
    x = weights(16, INPUTS)
    expected = run(graph, {"x": x})
    variant = graphs.int8_blocks(graph)
    assert operators(variant) == ["MatMulNBits"]
    blocks, channels = (
        np.abs(run(each, {"x": x}) - expected).mean() for each in (variant, graphs.int8_weights(graph))
    )
    assert blocks < channels
    assert [tensor.name for tensor in onnx.load_from_string(variant).graph.initializer] == [
        "a_int8",
        "a_scale",
    ]


def test_a_table_of_embeddings_has_a_scale_for_each_row():
    """So that one large vector does not cost all others their precision."""
    table = weights(WORDS, 16)
    table[0] *= 1000
    ids = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])]
    graph = model([helper.make_node("Gather", ["table", "ids"], ["y"])], {"table": table}, inputs=ids)
    found = run(graphs.int8_weights(graph), {"ids": np.arange(WORDS)})
    assert (np.abs(found - table) <= np.abs(table).max(axis=1, keepdims=True) / 254 + 1e-6).all()


def test_weights_of_zeros_stay_zeros():
    """There is no scale to divide by."""
    zeros = np.zeros((INPUTS, HIDDEN), np.float32)
    graph = model([helper.make_node("MatMul", ["x", "a"], ["y"])], {"a": zeros})
    for make in (graphs.int8_weights, graphs.int8_blocks):
        # ONNX Runtime may multiply by its own int8 kernels, which round.
        assert np.abs(run(make(graph), {"x": weights(3, INPUTS)})).max() < 1e-3


def test_weights_that_a_caller_may_give_are_left_alone():
    """An initializer that is an input too is a default."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", INPUTS]),
        helper.make_tensor_value_info("a", TensorProto.FLOAT, [INPUTS, HIDDEN]),
    ]
    graph = model(
        [helper.make_node("MatMul", ["x", "a"], ["y"])], {"a": weights(INPUTS, HIDDEN)}, inputs=inputs
    )
    for name in ("int8-weights", "int8-blocks", "int8-dynamic"):
        with pytest.raises(CannotBeMade, match="no float32 weights"):
            graphs.MAKERS[name](graph)


def test_small_weights_are_left_alone():
    """They save nothing."""
    graph = model([helper.make_node("MatMul", ["x", "a"], ["y"])], {"a": weights(INPUTS, 2)})
    for name in ("int8-weights", "int8-blocks", "int8-dynamic"):
        with pytest.raises(CannotBeMade, match="at least 256 elements"):
            graphs.MAKERS[name](graph)


def test_names_that_are_taken_are_not_taken_again():
    """The scale of `a` is not the tensor that is called so already."""
    graph = model(
        [
            helper.make_node("MatMul", ["x", "a"], ["h"]),
            helper.make_node("Add", ["h", "a_scale"], ["y"]),
        ],
        {"a": weights(INPUTS, HIDDEN), "a_scale": weights(HIDDEN)},
    )
    x = weights(5, INPUTS)
    for make in (graphs.int8_weights, graphs.int8_blocks):
        assert np.abs(run(make(graph), {"x": x}) - run(graph, {"x": x})).max() < 1


def test_nothing_of_a_graph_is_written_to_a_disk(monkeypatch):
    """What lies encrypted in the store must not lie in clear in a temporary folder."""
    import tempfile

    def refuse(*_args, **_options):
        raise AssertionError("a temporary file was made")

    for name in ("mkdtemp", "mkstemp", "NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    for name in graphs.MAKERS:
        graphs.MAKERS[name](perceptron(9) if name == "int8-dynamic" else perceptron())


def test_what_the_library_cannot_convert_is_told(monkeypatch):
    """The other variants are measured all the same."""
    from onnxruntime.transformers import float16

    def fail(*_args, **_options):
        raise ValueError("no such\noperator")

    monkeypatch.setattr(float16, "convert_float_to_float16", fail)
    with pytest.raises(CannotBeMade, match="float16 cannot convert this graph: no such operator"):
        graphs.fp16(perceptron())
