"""Packages of some hundred bytes, each of which answers with a number of its own."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from onnx import TensorProto, helper

if TYPE_CHECKING:
    from pathlib import Path

# Beyond it a float32 no longer holds every whole number.
MOST = 2**24

_MANIFEST = """\
task = "tensor"
description = "Adds {mark}."
license = "Apache-2.0"
[example]
x = [1.0]
"""


def write_package(folder: Path, mark: int, *, filler: int = 0) -> Path:
    """Write the package of a model that answers `x + mark`, and return its folder.

    Args:
        folder: Where; it is made.
        mark: The number, below `MOST`.
        filler: Bytes that no compression takes away, for a package that is sent in chunks.
    """
    folder.mkdir(parents=True)
    (folder / "maas.toml").write_text(_MANIFEST.format(mark=mark), encoding="utf-8")
    (folder / "model.onnx").write_bytes(_graph(mark))
    if filler:
        (folder / "README.md").write_bytes(random.Random(mark).randbytes(filler))
    return folder


def _graph(mark: int) -> bytes:
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "mark"], ["y"])],
        "adds",
        tensors[:1],
        tensors[1:],
        [helper.make_tensor("mark", TensorProto.FLOAT, [1], [float(mark)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
