"""What is counted in a package's graph; the one part of the SDK that reads ONNX, with the extra `diff`."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from maas_client._package import GRAPH, open_package
from maas_client.differences import GraphFacts
from maas_client.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_OWN_DOMAINS = ("", "ai.onnx")


def cannot_read() -> str | None:
    """Return why graphs cannot be read here, or None where they can."""
    try:
        import onnx  # noqa: F401 - whether it is there is the question
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        return "reading graphs needs onnx, which the extra brings: pip install 'maas-client[diff]'"
    return None


def facts_of(package: Path) -> GraphFacts:
    """Return what is counted in the graph of a package.

    Args:
        package: The package's zip.

    Raises:
        PackageError: It is no package, or its graph is none.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    with open_package(package) as opened:
        content = opened.read(GRAPH)
    try:
        model = ModelProto.FromString(content)
    except DecodeError as error:
        raise PackageError(f"{GRAPH} is no ONNX graph: {error}") from error
    counted = _Counted()
    counted.add(model)
    return GraphFacts(
        operators=dict(sorted(counted.operators.items())),
        opsets={_domain(opset.domain): opset.version for opset in model.opset_import},
        parameters=counted.parameters,
        size=len(content),
    )


@dataclass(slots=True)
class _Counted:
    operators: Counter[str] = field(default_factory=Counter)
    parameters: int = 0

    def add(self, model: ModelProto) -> None:
        self._add_graph(model.graph)
        for function in model.functions:
            self._add_nodes(function.node)

    def _add_graph(self, graph: GraphProto) -> None:
        self._add_nodes(graph.node)
        self._add_tensors(graph.initializer)
        self._add_tensors(sparse.values for sparse in graph.sparse_initializer)

    def _add_tensors(self, tensors: Iterable[TensorProto]) -> None:
        self.parameters += sum(math.prod(tensor.dims) for tensor in tensors)

    def _add_nodes(self, nodes: Iterable[NodeProto]) -> None:
        for node in nodes:
            own = node.domain in _OWN_DOMAINS
            self.operators[node.op_type if own else f"{node.domain}::{node.op_type}"] += 1
            for attribute in node.attribute:
                for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                    self._add_graph(graph)


def _domain(name: str) -> str:
    return name or "ai.onnx"
