"""Variants' graphs, made in a process of their own and tried in another before they run beside others.

Converters run native code on graphs that were uploaded: ONNX's shape inference crashes on a text classifier
that ONNX Runtime runs. What crashes there is a variant that there is not, and not the end of a job process.
"""

from __future__ import annotations

import io
import multiprocessing
from typing import TYPE_CHECKING, TypeAlias

from maas_client._package import GRAPH, open_package, pack
from reference_server import processes
from reference_server.advice.graphs import MAKERS, CannotBeMade
from reference_server.runtime.probe import probe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_client._package import Package

# A graph, or why there is none.
Made: TypeAlias = bytes | CannotBeMade


def make(graph: bytes, names: Sequence[str]) -> dict[str, Made]:
    """Return the graphs of some variants by name, or why there is none.

    Args:
        graph: The original.
        names: Of `graphs.MAKERS`.
    """
    spawn = multiprocessing.get_context("spawn")
    try:
        return processes.call(spawn, make_here, graph, list(names))
    except ChildProcessError as error:
        if len(names) == 1:
            return {names[0]: CannotBeMade(f"the converter crashed on this graph ({error})")}
    # One of them spoils it for the others: each by itself.
    return {name: made for each in names for name, made in make(graph, [each]).items()}


def make_here(graph: bytes, names: Sequence[str]) -> dict[str, Made]:
    """Do what `make` does, in this process."""
    return {name: _made(graph, name) for name in names}


def try_out(package: Package, graph: bytes) -> bool:
    """Try a variant as an upload is tried; return whether its rows are the same in any company.

    Args:
        package: The original's.
        graph: The variant's.

    Raises:
        Unprocessable, Unavailable: As `probe`.
    """
    files = {name: package.read(name) for name in package.sizes}
    with open_package(io.BytesIO(pack({**files, GRAPH: graph}))) as variant:
        return probe(variant).batch_invariant


def _made(graph: bytes, name: str) -> Made:
    try:
        return MAKERS[name](graph)
    except CannotBeMade as error:
        # Without its cause, which may be nothing that can be sent.
        return CannotBeMade(str(error))
