"""Graphs that wish ill to whoever parses, loads or runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forging import REJECTED, Hostile, package
from onnx import GraphProto, ModelProto, SparseTensorProto, TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import NodeProto


def graph(
    nodes: Sequence[NodeProto],
    *,
    shape: Sequence[int | str] = ("n",),
    tensors: Sequence[TensorProto] = (),
    output: str = "y",
    gives: Sequence[int | str] | None = None,
) -> ModelProto:
    """Return a model that takes `x` and gives `y`, floats both."""
    made = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, gives)],
        tensors,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _number(name: str, value: int, *, kind: int = TensorProto.INT64) -> TensorProto:
    return helper.make_tensor(name, kind, [], [value])


def endless_loop() -> ModelProto:
    """Return a graph that adds one as long as true is true."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["more"], ["go_on"]),
            helper.make_node("Add", ["sum", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
    )
    loop = helper.make_node("Loop", ["most", "yes", "x"], ["y"], body=body)
    constants = [_number("most", 2**63 - 1), _number("yes", 1, kind=TensorProto.BOOL)]
    return graph([loop], tensors=constants, gives=["n"])


def _filled(size: Sequence[int], name: str = "big") -> tuple[NodeProto, TensorProto]:
    """Return what makes a tensor of ones, of which a graph's optimiser makes a constant."""
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    node = helper.make_node("ConstantOfShape", [f"{name}_size"], [name], value=value)
    return node, helper.make_tensor(f"{name}_size", TensorProto.INT64, [len(size)], size)


def _added_up(name: str) -> list[NodeProto]:
    return [
        helper.make_node("ReduceSum", [name], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]


def _huge_constant() -> ModelProto:
    fill, size = _filled([2**20, 2**14])
    return graph([fill, *_added_up("big")], tensors=[size])


def _slow_constant() -> ModelProto:
    """Return a graph that multiplies large matrices before it has seen any input."""
    fill, size = _filled([6000, 6000])
    nodes, last = [fill], "big"
    for turn in range(40):
        nodes.append(helper.make_node("MatMul", [last, "big"], [f"m{turn}"]))
        last = f"m{turn}"
    return graph([*nodes, *_added_up(last)], tensors=[size])


def _with_tensor(tensor: TensorProto) -> ModelProto:
    return graph([helper.make_node("Add", ["x", tensor.name], ["y"])], tensors=[tensor])


def _external() -> TensorProto:
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    return tensor


def _sparse() -> ModelProto:
    model = _with_tensor(helper.make_tensor("a", TensorProto.FLOAT, [1], [1.0]))
    values = helper.make_tensor("huge", TensorProto.FLOAT, [1], [1.0])
    model.graph.sparse_initializer.append(
        SparseTensorProto(
            values=values, indices=helper.make_tensor("i", TensorProto.INT64, [1], [0]), dims=[2**50]
        )
    )
    return model


def _deep() -> bytes:
    """Return subgraphs in subgraphs, deeper than a writer of protobuf goes."""
    content = GraphProto(name="inner").SerializeToString()
    for _ in range(200):
        for key in (b"\x32", b"\x2a", b"\x0a"):  # the graph of an attribute, of a node, of a graph
            content = key + _varint(len(content)) + content
    return b"\x3a" + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _many_inputs() -> ModelProto:
    model = graph([helper.make_node("Identity", ["x"], ["y"])])
    model.graph.input.extend([helper.make_tensor_value_info("i", TensorProto.FLOAT, [1])] * 100_000)
    return model


def _named(name: str) -> ModelProto:
    return graph([helper.make_node("Identity", ["x"], [name])], output=name)


def _no_text(model: ModelProto) -> bytes:
    """Return a model in which a name of eight letters is no UTF-8."""
    return model.SerializeToString().replace(b"yyyyyyyy", b"\xff\xfe\xed\xa0\x80\xc0\x80\xff")


def _calls_itself() -> ModelProto:
    model = graph([helper.make_node("F", ["x"], ["y"], domain="own")])
    body = [helper.make_node("F", ["a"], ["b"], domain="own")]
    model.functions.append(
        helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("own", 1)])
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def graphs() -> dict[str, Hostile]:
    identity = helper.make_node("Identity", ["x"], ["y"])
    cyclic = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Identity", ["a"], ["b"])]
    huge = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**40], raw_data=b"abcd")
    negative = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-1, 2**62], raw_data=b"abcd")
    overflowing = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**32, 2**32], raw_data=b"")
    cases: dict[str, tuple[ModelProto | bytes, str]] = {
        "no graph at all": (b"", "holds no graph"),
        "not protobuf": (b"\xff" * 1000, "does not parse"),
        "half a graph": (graph([identity]).SerializeToString()[:-7], "model.onnx"),
        "a message that says it is endless": (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "model.onnx"),
        "subgraphs without end": (_deep(), "model.onnx"),
        "external data": (_with_tensor(_external()), "external data"),
        "sparse data": (_sparse(), "sparse"),
        "a custom operator": (graph([helper.make_node("Run", ["x"], ["y"], domain="my.ops")]), "my.ops"),
        "an operator in a domain that looks alike": (
            graph([helper.make_node("Identity", ["x"], ["y"], domain="ai.\u043ennx")]),
            "domain",
        ),
        "a vendor's binary": (
            graph([helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")]),
            "EPContext",
        ),
        "an operator that is not there": (graph([helper.make_node("Nothing", ["x"], ["y"])]), "Nothing"),
        "an endless loop": (endless_loop(), "longer than"),
        "a huge constant": (_huge_constant(), "Failed to allocate memory"),
        "constants that take hours": (_slow_constant(), "longer than"),
        "a tensor larger than its data": (_with_tensor(huge), "cannot load the graph"),
        "a tensor of negative size": (_with_tensor(negative), "cannot load the graph"),
        "a tensor whose size overflows": (_with_tensor(overflowing), "cannot load the graph"),
        "an input of absurd shape": (graph([identity], shape=[2**40, 2**40]), "1099511627776"),
        "an input of a thousand axes": (graph([identity], shape=[1] * 1000), "more than 64 axes"),
        "a graph that goes round": (graph([*cyclic, identity]), "acyclic"),
        "a function that calls itself": (_calls_itself(), "cannot load the graph"),
        "a hundred thousand inputs": (_many_inputs(), "at most 1,000"),
        "an output with a long name": (_named("y" * 100_000), "at most 256 characters"),
        "an output written backwards": (_named("\u202ey"), "printable"),
        "an output with NUL in its name": (_named("y\0"), "printable"),
        "names that are no text": (_no_text(_named("yyyyyyyy")), "printable"),
        "operators that are no text": (
            _no_text(graph([helper.make_node("yyyyyyyy", ["x"], ["y"])])),
            "no text",
        ),
        "an output that nobody computes": (graph([identity], output="z"), "Graph output (z)"),
    }
    return {name: Hostile(package(graph=made), REJECTED, says) for name, (made, says) in cases.items()}
