"""From a text to feature ids, inside the graph: the trainer and the served model share this one tokeniser.

Each kind of feature is a tensor of strings that the graph makes (words, pairs of words, runs of characters),
then a look-up of the strings that training knows. Unknown ones and padding get the id 0.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

INPUT = "text"
IDS = "ids"
OPSETS = (
    helper.make_opsetid("", 20),
    helper.make_opsetid("ai.onnx.ml", 3),
    helper.make_opsetid("com.microsoft", 1),
)
IR_VERSION = 9

# Words with their apostrophes, runs of ! and ?, and emoticons, all in lower case (RE2).
_WORD = r"[\pL\pN']+|[!?]+|[:;=][-o']?[)(\]\[dp/\\|]+"
# What `Tokenizer` puts before and after each text.
_MARKS = {"\x02", "\x03"}
_CHUNK_ROWS = 512
_LAST = 2**62


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of feature.

    Args:
        unit: `word` or `character`.
        run: How many neighbouring units make one feature.
        least_rows: In how many training texts it must occur to be known.
    """

    unit: str
    run: int
    least_rows: int

    @property
    def name(self) -> str:
        """A name for its tensors."""
        return f"{self.unit}_{self.run}"

    def admits(self, string: str) -> bool:
        """Tell whether a string is made of the text alone: what padding adds depends on the batch."""
        if self.unit == "character":
            return len(string) == self.run
        words = string.split(" ")
        # An empty text has marks in a batch with others and none by itself, so marks alone say nothing.
        return all(words) and not _MARKS.issuperset(words)


def string_nodes(kinds: Sequence[Kind]) -> list[onnx.NodeProto]:
    """Return the nodes from `text`, strings `[batch]`, to a tensor `[batch, n]` named after each kind."""
    nodes = [
        helper.make_node(
            # Other locales may be missing on a machine, and then this operator fails.
            "StringNormalizer",
            [INPUT],
            ["lower"],
            case_change_action="LOWER",
            locale="C.UTF-8",
        )
    ]
    for unit in dict.fromkeys(kind.unit for kind in kinds):
        nodes.append(_tokenizer(unit))
        nodes += [node for kind in kinds if kind.unit == unit for node in _runs(kind)]
    return nodes


def learn(kinds: Sequence[Kind], texts: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the strings of each kind that are to be known, by its name: in how many texts each occurs."""
    counts: list[Counter[str]] = [Counter() for _ in kinds]
    graph = _model(string_nodes(kinds), [(kind.name, TensorProto.STRING) for kind in kinds])
    for outputs in _run(graph, texts):
        for count, strings in zip(counts, outputs, strict=True):
            for row in strings.tolist():
                count.update(set(row))
    return {
        kind.name: {
            string: rows
            for string, rows in sorted(count.items())
            if rows >= kind.least_rows and kind.admits(string)
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
    graph = _model(id_nodes(kinds, known), [(IDS, TensorProto.INT64)])
    return [row[row > 0] for (ids,) in _run(graph, texts) for row in ids]


def make_model(
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """Return a model whose input is `text`, strings `[batch]`."""
    text = helper.make_tensor_value_info(INPUT, TensorProto.STRING, ["batch"])
    graph = helper.make_graph(nodes, "text_classifier", [text], outputs, initializers)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=IR_VERSION)


def _tokenizer(unit: str) -> onnx.NodeProto:
    # The marks tell the ends of a text from its middle.
    how = {"tokenexp": _WORD} if unit == "word" else {"separators": [""]}
    return helper.make_node(
        "Tokenizer",
        ["lower"],
        [f"{unit}_1"],
        domain="com.microsoft",
        mark=1,
        mincharnum=1,
        pad_value="",
        **how,
    )


def _runs(kind: Kind) -> Iterator[onnx.NodeProto]:
    """Join each unit with its next neighbours: slices of one tensor, shifted against each other."""
    if kind.run == 1:
        return
    joined = ""
    for shift in range(kind.run):
        part = f"{kind.name}_part_{shift}"
        yield from _slice(f"{kind.unit}_1", part, shift, shift - kind.run + 1 or _LAST)
        if shift == 0:
            joined = part
            continue
        if kind.unit == "word":
            yield helper.make_node("Constant", [], [f"{part}_space"], value_string=" ")
            yield helper.make_node("StringConcat", [joined, f"{part}_space"], [f"{part}_spaced"])
            joined = f"{part}_spaced"
        output = kind.name if shift == kind.run - 1 else f"{part}_joined"
        yield helper.make_node("StringConcat", [joined, part], [output])
        joined = output


def _slice(source: str, target: str, start: int, end: int) -> Iterator[onnx.NodeProto]:
    bounds = {"start": start, "end": end, "axis": 1}
    for name, value in bounds.items():
        yield helper.make_node("Constant", [], [f"{target}_{name}"], value_ints=[value])
    yield helper.make_node("Slice", [source, *(f"{target}_{name}" for name in bounds)], [target])


def _model(nodes: Sequence[onnx.NodeProto], outputs: Sequence[tuple[str, int]]) -> bytes:
    values = [helper.make_tensor_value_info(name, kind, ["batch", None]) for name, kind in outputs]
    graph: bytes = make_model(nodes, values).SerializeToString()
    return graph


def _run(graph: bytes, texts: Sequence[str]) -> Iterator[list[NDArray[np.generic]]]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for start in range(0, len(texts), _CHUNK_ROWS):
        yield session.run(None, {INPUT: np.array(texts[start : start + _CHUNK_ROWS], dtype=object)})
