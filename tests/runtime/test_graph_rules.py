from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from reference_server.errors import Unprocessable
from reference_server.runtime.graph_rules import is_batch_invariant, parse_graph


def _refusal(model):
    with pytest.raises(Unprocessable) as caught:
        parse_graph(model.SerializeToString())
    assert caught.value.code == "model_rejected"
    return caught.value.message


def _external(name="weights"):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secrets")
    return tensor


def _constant(tensor):
    return helper.make_node("Constant", [], ["c"], value=tensor)


def test_a_plain_graph_passes(text_graph):
    """Operators of the standard and of the wheel's own contrib domain are taken."""
    assert parse_graph(text_graph().SerializeToString()).graph.name == "test"


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"not an onnx graph", b""])
def test_other_bytes_are_refused(content):
    """What is no ModelProto with a graph is refused by name, not with a parser's exception."""
    with pytest.raises(Unprocessable, match=r"model\.onnx"):
        parse_graph(content)


def test_external_data_is_refused_in_an_initializer(onnx_model):
    """External data would be read from the server's disk."""
    assert "'weights' lies in external data" in _refusal(onnx_model([], [], [], [_external()]))


def test_external_data_is_refused_in_an_attribute(onnx_model):
    """A Constant's value is a tensor as well."""
    assert "external data" in _refusal(onnx_model([_constant(_external())], [], []))


def test_external_data_is_refused_in_a_subgraph(onnx_model):
    """So is what lies in the branch of an If."""
    branch = helper.make_graph([], "branch", [], [], [_external("inner")])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    assert "'inner'" in _refusal(onnx_model([node], [], []))


def test_external_data_is_refused_in_a_function(onnx_model):
    """So is what lies in a function of the model's own."""
    model = onnx_model([], [], [])
    function = helper.make_function("own", "F", [], ["c"], [_constant(_external("f"))], [])
    model.functions.append(function)
    assert "'f'" in _refusal(model)


def test_external_data_entries_without_the_flag_are_refused(onnx_model):
    """The entries alone are suspicious enough."""
    tensor = _external()
    tensor.data_location = TensorProto.DEFAULT
    assert "external data" in _refusal(onnx_model([], [], [], [tensor]))


def test_sparse_tensors_are_refused(onnx_model):
    """A few bytes of a sparse tensor can stand for any amount of memory."""
    model = onnx_model([], [], [])
    values = helper.make_tensor("huge", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("at", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2**40]))
    assert "'huge' is sparse" in _refusal(model)


@pytest.mark.parametrize("domain", ["custom.ops", "ai.onnx.preview.training", "ai.onnx.contrib"])
def test_operators_that_need_a_library_are_refused(onnx_model, domain):
    """The message names the node, its operator and the domains that may be used."""
    node = helper.make_node("Secret", ["x"], ["y"], name="n1", domain=domain)
    message = _refusal(onnx_model([node], [], []))
    assert "'n1'" in message
    assert domain in message
    assert "ai.onnx.ml, com.microsoft" in message


def test_compiled_contexts_are_refused(onnx_model):
    """An EPContext node points to a vendor's binary."""
    node = helper.make_node("EPContext", [], ["y"], domain="com.microsoft")
    assert "EPContext" in _refusal(onnx_model([node], [], []))


def test_the_models_own_functions_may_be_called(onnx_model):
    """Exporters put functions into domains of their own; these need no library."""
    model = onnx_model([helper.make_node("F", ["x"], ["y"], domain="own")], [], [])
    body = [helper.make_node("Identity", ["a"], ["b"])]
    model.functions.append(helper.make_function("own", "F", ["a"], ["b"], body, []))
    assert isinstance(parse_graph(model.SerializeToString()), onnx.ModelProto)


def test_operators_inside_functions_are_checked(onnx_model):
    """A function is no place to hide a custom operator."""
    model = onnx_model([], [], [])
    body = [helper.make_node("Secret", ["a"], ["b"], domain="custom.ops")]
    model.functions.append(helper.make_function("own", "F", ["a"], ["b"], body, []))
    assert "custom.ops" in _refusal(model)


def test_dynamic_quantisation_is_not_batch_invariant(onnx_model, text_graph):
    """One scale for the whole batch makes rows depend on each other."""
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
    assert not is_batch_invariant(onnx_model([node], [], []))
    assert is_batch_invariant(text_graph())
