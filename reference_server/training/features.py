"""Where the features of a fine-tune come from: embeddings by a base, hashed n-grams, or columns of numbers.

Each kind is learnt from the training rows, turns rows into features, and writes the graph that does the same
before a trained head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from onnx import TensorProto, helper

from reference_server.errors import Unprocessable
from reference_server.training.heads import Head
from reference_server.training.joining import joined
from reference_server.training.linear import SMALLEST, Bags, Matrix
from reference_server.training.ngrams import IDS, KINDS, hashed_id_nodes, hashed_ids, make_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from maas_client.types import Postprocessing
    from reference_server.training.heads import Scale
    from reference_server.training.linear import Features

    Singles = NDArray[np.float32]

Inputs: TypeAlias = Sequence[Mapping[str, Any]]
# A collision of two of 100,000 n-grams costs little, and a table of more costs every server memory.
_MOST_BUCKETS = 2**18
_MOST_WEIGHTS = 2**24
# As 64-bit ids and values, 16 bytes for each n-gram: about a gigabyte.
MOST_CHARACTERS = 2**24
_COLUMNS_OPSET, _COLUMNS_IR_VERSION = 17, 8


class Recipe(Protocol):
    """How rows become features, in training and in the graph."""

    def features(self, rows: Any, /) -> Features:  # noqa: ANN401 - each kind has rows of its own
        """Return the features of some rows."""

    def graph(self, head: Head, /) -> bytes:
        """Return the graph from a call's inputs to the head's outputs."""


@dataclass(frozen=True, slots=True)
class Ngrams:
    """Runs of words and of characters, hashed into buckets, rare ones counting for more.

    Args:
        values: ln((1 + rows) / (1 + rows with it)) + 1 for each bucket (smoothed idf; Spärck Jones, "A
            Statistical Interpretation of Term Specificity", 1972), 0 for what no training row has,
            `[1 + buckets]`.
    """

    values: Singles

    @classmethod
    def learnt(cls, ids: Sequence[NDArray[np.int64]], buckets: int) -> Ngrams:
        """Return what training rows, as their ids, tell of the buckets."""
        rows = np.zeros(buckets + 1)
        for each in ids:
            rows[np.unique(each)] += 1
        values = np.where(rows > 0, np.log((1 + len(ids)) / (1 + rows)) + 1, 0.0)
        return cls(values.astype(np.float32))

    @property
    def known(self) -> NDArray[np.int64]:
        """The buckets that count anything: the features that a head has weights for."""
        return np.flatnonzero(self.values)

    def features(self, rows: Sequence[NDArray[np.int64]]) -> Bags:
        """Return the features of texts, given as their ids: places in `known`."""
        places = np.full(len(self.values), -1)
        places[self.known] = np.arange(len(self.known))
        found = [places[row] for row in rows]
        return Bags.of([row[row >= 0] for row in found], self.values[self.known].astype(np.float64))

    def graph(self, head: Head) -> bytes:
        """Return the graph from `text` to `probabilities`."""
        weights = np.zeros((len(head.bias), len(self.values)), np.float32)
        weights[:, self.known] = head.weights
        whole = Head(weights, head.bias, head.is_classifier)
        nodes = [
            *hashed_id_nodes(KINDS, len(self.values) - 1),
            *whole.bag_nodes(IDS, self.values, SMALLEST, "probabilities"),
        ]
        output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(head.bias)])
        content: bytes = make_model(nodes, [output]).SerializeToString(deterministic=True)
        return content


def buckets_for(classes: int) -> int:
    """Return how many buckets there are: fewer for very many classes, each of which has a weight in each."""
    return min(_MOST_BUCKETS, 1 << (_MOST_WEIGHTS // classes).bit_length() - 1)


def ids_of_texts(
    texts: Sequence[str], buckets: int, *, each: Callable[[int], object]
) -> list[NDArray[np.int64]]:
    """Return the hashed ids of each text.

    Args:
        texts: All of them.
        buckets: How many there are.
        each: Told how many texts are done, now and then; what it raises ends the work.

    Raises:
        Unprocessable: Code `too_much_text`.
    """
    characters = sum(map(len, texts))
    if characters > MOST_CHARACTERS:
        raise Unprocessable(
            f"the rows have {characters:,} characters, and n-grams are made of {MOST_CHARACTERS:,} at most; "
            "take fewer rows, or a base, whose embeddings need less memory",
            code="too_much_text",
            param="train",
        )
    ids: list[NDArray[np.int64]] = []
    for part in hashed_ids(KINDS, buckets, texts):
        ids += part
        each(len(ids))
    return ids


@dataclass(frozen=True, slots=True)
class Columns:
    """Numbers, each column brought to mean 0 and deviation 1.

    Args:
        names: Of the columns, in the order of the graph's input.
        scale: Of the training rows.
    """

    names: tuple[str, ...]
    scale: Scale

    def features(self, rows: Singles) -> Matrix:
        """Return the features of rows `[rows, columns]`."""
        return Matrix(self.scale.apply(rows))

    def graph(self, head: Head) -> bytes:
        """Return the graph from `columns` to `probabilities`, or to `value`."""
        output = "probabilities" if head.is_classifier else "value"
        nodes = [
            *self.scale.nodes("columns", "features", prefix=""),
            *head.dense_nodes("features", output, prefix=""),
        ]
        graph = helper.make_graph(
            nodes,
            "linear",
            [helper.make_tensor_value_info("columns", TensorProto.FLOAT, ["batch", len(self.names)])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", len(head.bias)])],
        )
        opsets = [helper.make_opsetid("", _COLUMNS_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_COLUMNS_IR_VERSION)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors that a base makes of texts, each dimension brought to mean 0 and deviation 1.

    Args:
        base: The base's graph.
        output: Which of its outputs holds the embeddings.
        options: How those become one vector for each text.
        scale: Of the training rows.
    """

    base: bytes
    output: str
    options: Postprocessing
    scale: Scale

    def features(self, rows: Singles) -> Matrix:
        """Return the features of embeddings `[rows, dimensions]`."""
        return Matrix(self.scale.apply(rows))

    def graph(self, head: Head) -> bytes:
        """Return the base with the head at its end."""
        return joined(self.base, self.output, self.options, self.scale, head)
