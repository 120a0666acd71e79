"""Which graphs a number in the input can keep busy."""

import pytest
from onnx import TensorProto, helper

from reference_server.runtime.run_times import depends_on_values

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])


def model(*nodes):
    return helper.make_model(helper.make_graph(list(nodes), "g", [X], [Y])).SerializeToString()


@pytest.mark.parametrize("operator", ["Loop", "Range", "NonMaxSuppression", "Tile"])
def test_operators_whose_time_is_in_a_number(operator):
    """At the top of the graph and in the body of another operator."""
    found = helper.make_node(operator, ["x"], ["y"])
    assert depends_on_values(model(found))
    body = helper.make_graph([found], "body", [X], [Y])
    assert depends_on_values(model(helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)))


def test_plain_graphs_are_as_long_as_their_inputs(text_graph, token_graph):
    """Those of ordinary classifiers, and one whose name only sounds like another."""
    assert not depends_on_values(text_graph().SerializeToString())
    assert not depends_on_values(token_graph().SerializeToString())
    assert not depends_on_values(model(helper.make_node("Softmax", ["x"], ["y"], name="Loop")))
