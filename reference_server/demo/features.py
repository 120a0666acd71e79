"""From a text to the ids of features that training has listed: the look-up behind the strings of a graph.

Unknown strings and padding get the id 0. What strings there are is told by `training/ngrams.py`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from onnx import TensorProto, helper

from reference_server.training.ngrams import IDS, MARKS, run_front, string_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from reference_server.training.ngrams import Kind


def learn(kinds: Sequence[Kind], texts: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the strings of each kind that are to be known, by its name: in how many texts each occurs."""
    counts: list[Counter[str]] = [Counter() for _ in kinds]
    for outputs in run_front(string_nodes(kinds), [(kind.name, TensorProto.STRING) for kind in kinds], texts):
        for count, strings in zip(counts, outputs, strict=True):
            for row in strings.tolist():
                count.update(set(row))
    return {
        kind.name: {
            string: rows
            for string, rows in sorted(count.items())
            if rows >= kind.least_rows and _admits(kind, string)
        }
        for kind, count in zip(kinds, counts, strict=True)
    }


def id_nodes(kinds: Sequence[Kind], known: Mapping[str, Mapping[str, int]]) -> list[onnx.NodeProto]:
    """Return the nodes from `text` to `ids`, int64 `[batch, n]`: kind after kind, 0 for what is unknown."""
    nodes = string_nodes(kinds)
    first = 1
    for kind in kinds:
        strings = list(known[kind.name])
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                [kind.name],
                [f"{kind.name}_ids"],
                domain="ai.onnx.ml",
                keys_strings=strings,
                values_int64s=list(range(first, first + len(strings))),
                default_int64=0,
            )
        )
        first += len(strings)
    return [*nodes, helper.make_node("Concat", [f"{kind.name}_ids" for kind in kinds], [IDS], axis=1)]


def ids_of(
    kinds: Sequence[Kind], known: Mapping[str, Mapping[str, int]], texts: Sequence[str]
) -> list[NDArray[np.int64]]:
    """Return the known feature ids of each text, by running the graph's own front part."""
    parts = run_front(id_nodes(kinds, known), [(IDS, TensorProto.INT64)], texts)
    return [row[row > 0] for (ids,) in parts for row in ids]


def _admits(kind: Kind, string: str) -> bool:
    """Tell whether a string is made of the text alone: what padding adds depends on the batch."""
    if kind.unit == "character":
        return len(string) == kind.run
    words = string.split(" ")
    # An empty text has marks in a batch with others and none by itself, so marks alone say nothing.
    return all(words) and not set(MARKS).issuperset(words)
