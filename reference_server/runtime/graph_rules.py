"""What an ONNX graph may hold, checked on the parsed message before ONNX Runtime sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError, Message

from reference_server.errors import Unprocessable

if TYPE_CHECKING:
    from collections.abc import Iterator

# Those that the plain ONNX Runtime wheel brings; others need a custom-op library, which is code.
ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})

# An EPContext node carries or points to a compiled binary of a vendor's own.
_REFUSED_OPERATORS = frozenset({("com.microsoft", "EPContext")})

# Models that carry their attention's past as tensors have some hundreds.
_MOST_TENSORS = 1000
_MOST_NAME_CHARACTERS = 256
# numpy's own limit.
_MOST_AXES = 64


def parse_graph(graph: bytes) -> onnx.ModelProto:
    """Parse a graph and check it against the rules.

    Refused are: names that a signature cannot show, external data (it would be read from the server's own
    disk), operators outside `ALLOWED_DOMAINS` and the model's own functions, and sparse tensors, of which a
    few bytes can stand for any amount of memory once ONNX Runtime makes them dense.

    Raises:
        Unprocessable: Code `model_rejected`; the message names the node or tensor.
    """
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(graph)
    except DecodeError as error:
        raise _rejected("model.onnx is not an ONNX graph: it does not parse as a ModelProto") from error
    if not model.HasField("graph"):
        raise _rejected("model.onnx holds no graph")
    _check_names(model.graph)
    functions = {(function.domain, function.name) for function in model.functions}
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto):
            _check_tensor(message)
        elif isinstance(message, onnx.NodeProto):
            _check_node(message, functions)
        elif isinstance(message, onnx.SparseTensorProto):
            raise _rejected(f"the tensor {message.values.name!r} is sparse; store it as a dense one")
    return model


def is_batch_invariant(model: onnx.ModelProto) -> bool:
    """Return whether a row's result is independent of the other rows in its batch.

    Dynamic quantisation takes one scale from the whole batch: an embedding of a small BERT moved by 0.014
    with its companions.
    """
    nodes = (message for message in _messages(model) if isinstance(message, onnx.NodeProto))
    return not any(node.op_type.startswith("DynamicQuantize") for node in nodes)


def _messages(root: Message) -> Iterator[Message]:
    """Yield every message below one, at any depth; tensors are leaves, as touching their data copies it."""
    stack: list[Message] = [root]
    while stack:
        message = stack.pop()
        yield message
        if isinstance(message, onnx.TensorProto):
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                stack.extend([value] if isinstance(value, Message) else value)


def _check_names(graph: onnx.GraphProto) -> None:
    """Check what the signature shows to everybody who may see the model, in every listing."""
    for what, values in (("inputs", graph.input), ("outputs", graph.output)):
        if len(values) > _MOST_TENSORS:
            raise _rejected(f"the graph has {len(values):,} {what}; at most {_MOST_TENSORS:,} are taken")
        for value in values:
            if len(value.name) > _MOST_NAME_CHARACTERS or not _is_printable(value.name):
                raise _rejected(
                    f"the graph's {what} have the name {value.name[:100]!r}; a name has at most "
                    f"{_MOST_NAME_CHARACTERS} characters, all of them printable"
                )
            if len(value.type.tensor_type.shape.dim) > _MOST_AXES:
                raise _rejected(f"{value.name!r} has more than {_MOST_AXES} axes, which no caller could send")


def _is_printable(name: object) -> bool:
    """Tell whether a name is text; what is no UTF-8 comes out of a parsed message as bytes."""
    return isinstance(name, str) and name.isprintable()


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
        raise _rejected(
            f"the tensor {tensor.name!r} lies in external data; "
            "save the graph as one file (onnx.save_model with save_as_external_data=False)"
        )


def _check_node(node: onnx.NodeProto, functions: set[tuple[str, str]]) -> None:
    operator = (node.domain, node.op_type)
    if not (_is_printable(node.domain) and _is_printable(node.op_type)):
        raise _rejected(f"the node {node.name[:100]!r} is of an operator whose name is no text")
    if operator in functions:
        return
    if node.domain not in ALLOWED_DOMAINS or operator in _REFUSED_OPERATORS:
        known = ", ".join(sorted(ALLOWED_DOMAINS - {""}))
        raise _rejected(
            f"the node {node.name!r} is a {node.op_type} of the domain {node.domain!r}; "
            f"only operators of {known} that need no library of their own can run here"
        )


def _rejected(message: str) -> Unprocessable:
    return Unprocessable(message, code="model_rejected")
