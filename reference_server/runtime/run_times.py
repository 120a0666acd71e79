"""Whether the size of an input tells how long a graph will run: only then may a run keep others waiting."""

from __future__ import annotations

import onnx

# A number in the input says how often these turn, or how large what they make is.
_BY_VALUE = frozenset(
    {
        "CenterCropPad",
        "ConstantOfShape",
        "Expand",
        "Loop",
        "NonMaxSuppression",
        "OneHot",
        "Pad",
        "Range",
        "Resize",
        "Scan",
        "Tile",
        "Upsample",
    }
)


def depends_on_values(graph: bytes) -> bool:
    """Return whether one number of an input can make a run of a graph as long as it likes.

    Operators by which it could are enough: where their numbers are constants, the model only loses a little
    speed. A graph that calls functions of its own counts as such a one.
    """
    model = onnx.ModelProto.FromString(graph)
    return bool(model.functions) or _has_any(model.graph)


def _has_any(graph: onnx.GraphProto) -> bool:
    return any(node.op_type in _BY_VALUE or any(map(_has_any, _bodies(node))) for node in graph.node)


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]
