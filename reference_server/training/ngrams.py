"""From a text to runs of words and of characters, inside the graph, and from those to feature ids.

The trainer and the served model share this one tokeniser: each kind of feature is a tensor of strings that
the graph makes. Here strings become ids by hashing (Weinberger et al., "Feature Hashing for Large Scale
Multitask Learning", ICML 2009), so that a graph holds no piece of the texts that it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

INPUT = "text"
IDS = "ids"
OPSETS = (
    helper.make_opsetid("", 20),
    helper.make_opsetid("ai.onnx.ml", 3),
    helper.make_opsetid("com.microsoft", 1),
)
IR_VERSION = 9
# What `Tokenizer` puts before and after each text.
MARKS = ("\x02", "\x03")

# Words with their apostrophes, runs of ! and ?, and emoticons, all in lower case (RE2).
_WORD = r"[\pL\pN']+|[!?]+|[:;=][-o']?[)(\]\[dp/\\|]+"
_CHUNK_ROWS = 512
_LAST = 2**62


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of feature.

    Args:
        unit: `word` or `character`.
        run: How many neighbouring units make one feature.
        least_rows: In how many training texts it must occur to be known, where known ones are listed.
    """

    unit: str
    run: int
    least_rows: int = 1

    @property
    def name(self) -> str:
        """A name for its tensors."""
        return f"{self.unit}_{self.run}"


KINDS = (Kind("word", 1), Kind("word", 2), Kind("character", 4), Kind("character", 5))


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


def hashed_id_nodes(kinds: Sequence[Kind], buckets: int) -> list[onnx.NodeProto]:
    """Return the nodes from `text` to `ids`, int64 `[batch, n]`: 1 to `buckets`, 0 for what is no feature.

    No feature is a run that reaches into the padding behind a text, which depends on the batch, and one of
    marks alone: an empty text has marks in a batch with others and none by itself.
    """
    nodes = string_nodes(kinds)
    nodes += _constants(empty="", begin=MARKS[0], end=MARKS[1], buckets=buckets, one=1, none=0)
    for unit in dict.fromkeys(kind.unit for kind in kinds):
        nodes += _judged(unit)
    for seed, kind in enumerate(kinds):
        nodes += _hashed(kind, seed)
    return [*nodes, helper.make_node("Concat", [f"{kind.name}_ids" for kind in kinds], [IDS], axis=1)]


def make_model(
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """Return a model whose input is `text`, strings `[batch]`."""
    text = helper.make_tensor_value_info(INPUT, TensorProto.STRING, ["batch"])
    graph = helper.make_graph(nodes, "text_classifier", [text], outputs, initializers)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=IR_VERSION)


def run_front(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[tuple[str, int]], texts: Sequence[str]
) -> Iterator[list[NDArray[np.generic]]]:
    """Run the front part of a graph on texts, some hundreds at a time.

    Args:
        nodes: From `text` on.
        outputs: What is wanted, `[batch, n]` each, by name with its element type.
        texts: All of them.
    """
    import onnxruntime  # with a thread, which a process that is forked from must not have (`loaded.py`)

    values = [helper.make_tensor_value_info(name, kind, ["batch", None]) for name, kind in outputs]
    graph = make_model(nodes, values).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for start in range(0, len(texts), _CHUNK_ROWS):
        yield session.run(None, {INPUT: np.array(texts[start : start + _CHUNK_ROWS], dtype=object)})


def hashed_ids(
    kinds: Sequence[Kind], buckets: int, texts: Sequence[str]
) -> Iterator[list[NDArray[np.int64]]]:
    """Yield the feature ids of each text, some hundreds of texts at a time."""
    nodes = hashed_id_nodes(kinds, buckets)
    for (ids,) in run_front(nodes, [(IDS, TensorProto.INT64)], texts):
        yield [row[row > 0] for row in ids.astype(np.int64)]


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
        yield from _shifted(f"{kind.unit}_1", part, shift, kind.run)
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


def _judged(unit: str) -> Iterator[onnx.NodeProto]:
    """Tell of each unit whether it is there, and whether it is of the text and no mark."""
    units = f"{unit}_1"
    yield helper.make_node("Equal", [units, "empty"], [f"{unit}_absent"])
    yield helper.make_node("Not", [f"{unit}_absent"], [f"{unit}_there"])
    yield helper.make_node("Equal", [units, "begin"], [f"{unit}_begins"])
    yield helper.make_node("Equal", [units, "end"], [f"{unit}_ends"])
    yield helper.make_node("Or", [f"{unit}_begins", f"{unit}_ends"], [f"{unit}_mark"])
    yield helper.make_node("Or", [f"{unit}_absent", f"{unit}_mark"], [f"{unit}_mute"])
    yield helper.make_node("Not", [f"{unit}_mute"], [f"{unit}_said"])


def _hashed(kind: Kind, seed: int) -> Iterator[onnx.NodeProto]:
    """Hash the strings of a kind into buckets; all units of a run must be there, one of them of the text."""
    name = kind.name
    yield from _folded(kind, "there", "And")
    yield from _folded(kind, "said", "Or")
    yield helper.make_node("And", [f"{name}_there", f"{name}_said"], [f"{name}_valid"])
    yield helper.make_node(
        "MurmurHash3", [name], [f"{name}_hash"], domain="com.microsoft", seed=seed, positive=1
    )
    yield helper.make_node("Cast", [f"{name}_hash"], [f"{name}_number"], to=TensorProto.INT64)
    yield helper.make_node("Mod", [f"{name}_number", "buckets"], [f"{name}_bucket"])
    yield helper.make_node("Add", [f"{name}_bucket", "one"], [f"{name}_id"])
    yield helper.make_node("Where", [f"{name}_valid", f"{name}_id", "none"], [f"{name}_ids"])


def _folded(kind: Kind, what: str, operator: str) -> Iterator[onnx.NodeProto]:
    """Fold what is told of single units over runs of them."""
    source, folded = f"{kind.unit}_{what}", ""
    for shift in range(kind.run):
        part = f"{kind.name}_{what}_{shift}"
        yield from _shifted(source, part, shift, kind.run)
        if shift == 0:
            folded = part
            continue
        yield helper.make_node(operator, [folded, part], [f"{part}_folded"])
        folded = f"{part}_folded"
    yield helper.make_node("Identity", [folded], [f"{kind.name}_{what}"])


def _shifted(source: str, target: str, shift: int, run: int) -> Iterator[onnx.NodeProto]:
    bounds = {"start": shift, "end": shift - run + 1 or _LAST, "axis": 1}
    for name, value in bounds.items():
        yield helper.make_node("Constant", [], [f"{target}_{name}"], value_ints=[value])
    yield helper.make_node("Slice", [source, *(f"{target}_{name}" for name in bounds)], [target])


def _constants(**values: str | int) -> Iterator[onnx.NodeProto]:
    for name, value in values.items():
        how = {"value_string": value} if isinstance(value, str) else {"value_int": value}
        yield helper.make_node("Constant", [], [name], **how)
