"""How each version of the demo's model is trained, measured and packed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from maas_client._manifest_text import MANIFEST
from maas_client._package import GRAPH, pack
from reference_server.demo.features import id_nodes, ids_of, learn
from reference_server.evaluation import metrics
from reference_server.training.descent import Plan, descend
from reference_server.training.linear import SMALLEST, Bags, LinearClassifier
from reference_server.training.losses import CrossEntropy, softmax
from reference_server.training.ngrams import IDS, Kind, make_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reference_server.demo.data import Sentences

LABELS = ("negative", "positive")
EXAMPLE = "This is a sample text for classification."
_HELD_OUT = 0.2
_SPLIT_SEED = 2014
_TRAINING_SEED = 0
_BATCH_ROWS = 64
_MAX_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to train and how."""

    file: str
    title: str
    kinds: tuple[Kind, ...]
    learning_rate: float
    epochs: int


RECIPES = (
    Recipe("v1.zip", "single words", (Kind("word", 1, 2),), learning_rate=10.0, epochs=12),
    Recipe(
        "v2.zip",
        "words, pairs of words and runs of characters",
        (Kind("word", 1, 2), Kind("word", 2, 2), Kind("character", 4, 3), Kind("character", 5, 3)),
        learning_rate=20.0,
        epochs=15,
    ),
)


@dataclass(frozen=True, slots=True)
class Built:
    """A trained version, packed."""

    file: str
    package: bytes
    notes: str
    default_note: str | None
    measured: dict[str, float]


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """Parameters over the features of a recipe, in the precision that the graph has.

    Args:
        values: What one occurrence of each feature counts before scaling, `[features]`; 0 for the id 0.
    """

    kinds: tuple[Kind, ...]
    known: Mapping[str, Mapping[str, int]]
    values: NDArray[np.float32]
    model: LinearClassifier

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each label, `[texts, labels]`."""
        bags = Bags.of(ids_of(self.kinds, self.known, texts), self.values.astype(np.float64))
        return softmax(self.model.logits(bags))

    def graph(self) -> bytes:
        """Return the classifier as one graph, from `text` `[batch]` to `probabilities` `[batch, labels]`."""
        weighted = (self.model.weights * self.values).T.astype(np.float32)
        constants: dict[str, NDArray[Any]] = {
            "squares": self.values**2,
            "weighted": weighted,
            "bias": self.model.bias.astype(np.float32),
            "smallest": np.array([SMALLEST], np.float32),
            "along_row": np.array([1], np.int64),
        }
        nodes = [
            *id_nodes(self.kinds, self.known),
            helper.make_node("Gather", ["weighted", IDS], ["contributions"]),
            helper.make_node("ReduceSum", ["contributions", "along_row"], ["sums"], keepdims=0),
            helper.make_node("Gather", ["squares", IDS], ["own_squares"]),
            helper.make_node("ReduceSum", ["own_squares", "along_row"], ["square_sums"], keepdims=1),
            helper.make_node("Max", ["square_sums", "smallest"], ["positive_sums"]),
            helper.make_node("Sqrt", ["positive_sums"], ["lengths"]),
            helper.make_node("Div", ["sums", "lengths"], ["scaled"]),
            helper.make_node("Add", ["scaled", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ]
        output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(LABELS)])
        initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
        graph: bytes = make_model(nodes, [output], initializers).SerializeToString(deterministic=True)
        return graph


def build_all(sentences: Sentences, *, log: Callable[[str], None]) -> Iterator[Built]:
    """Train, measure and pack each recipe in turn."""
    train_rows, held_out = split(sentences)
    before: Built | None = None
    for recipe in RECIPES:
        log(f"Training on {recipe.title} of {len(train_rows):,} sentences ...")
        trained = train(recipe, sentences, train_rows)
        before = _built(recipe, trained, sentences, held_out, before)
        log(f"  {before.notes}")
        yield before


def split(sentences: Sentences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows for training and those held out; equal texts are on one side."""
    texts = sorted(set(sentences.texts))
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(texts))
    chosen = {texts[index] for index in order[: round(_HELD_OUT * len(texts))]}
    is_held_out = np.array([text in chosen for text in sentences.texts])
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def train(recipe: Recipe, sentences: Sentences, rows: NDArray[np.int64]) -> TrainedClassifier:
    """Learn the features and then the weights, by gradient descent on the cross-entropy."""
    texts = [sentences.texts[row] for row in rows]
    known = learn(recipe.kinds, texts)
    values = _rarity(recipe.kinds, known, len(texts))
    bags = Bags.of(ids_of(recipe.kinds, known, texts), values.astype(np.float64))
    model = LinearClassifier(len(values), len(LABELS))
    for _ in descend(
        model,
        bags,
        np.array([sentences.labels[row] for row in rows]),
        plan=Plan(
            loss=CrossEntropy(),
            learning_rate=recipe.learning_rate,
            epochs=recipe.epochs,
            batch_size=_BATCH_ROWS,
        ),
        seed=_TRAINING_SEED,
    ):
        pass
    return TrainedClassifier(recipe.kinds, known, values, model)


def _rarity(kinds: Sequence[Kind], known: Mapping[str, Mapping[str, int]], rows: int) -> NDArray[np.float32]:
    """Return ln((1 + rows) / (1 + rows with the feature)) + 1 for each feature (smoothed idf), 0 for id 0."""
    values = [0.0]
    for kind in kinds:
        values += [math.log((1 + rows) / (1 + count)) + 1 for count in known[kind.name].values()]
    return np.array(values, np.float32)


def _built(
    recipe: Recipe,
    trained: TrainedClassifier,
    sentences: Sentences,
    held_out: NDArray[np.int64],
    before: Built | None,
) -> Built:
    probabilities = trained.probabilities([sentences.texts[row] for row in held_out])
    targets = np.array([sentences.labels[row] for row in held_out])
    measured = metrics.of_probabilities(probabilities, targets)
    percent = f"{measured['accuracy']:.1%}"
    notes = f"Learns from {recipe.title}; {percent} of {len(held_out):,} held-out sentences are right."
    default_note = None
    if before is not None and measured["accuracy"] > before.measured["accuracy"]:
        default_note = (
            f"{percent} of the held-out sentences are right, {before.measured['accuracy']:.1%} before."
        )
    manifest = _manifest(recipe, sentences, measured, len(held_out))
    package = pack({GRAPH: trained.graph(), MANIFEST: manifest.encode()})
    return Built(recipe.file, package, notes, default_note, measured)


def _manifest(recipe: Recipe, sentences: Sentences, measured: dict[str, float], rows: int) -> str:
    # A JSON string is a TOML basic string too, as long as it holds no surrogates.
    text = json.dumps
    top = f"""\
format = 1
task = "text-classification"
description = "Tells whether an English sentence is positive or negative, from {recipe.title}."
license = {text(f"Apache-2.0; trained on data under {sentences.licence}")}
intended_use = "Sentences from tweets, film and product reviews and editorials; demonstrations and tests."
limitations = "English only. Knows no neutral class, no irony and no context beyond the sentence."
tags = ["sentiment", "english", "demo"]
labels = {text(list(LABELS))}

[preprocessing]
max_characters = {_MAX_CHARACTERS}

[postprocessing]
output = "probabilities"

[example]
text = {text(EXAMPLE)}
"""
    tables = (
        f"""
[[metrics]]
name = {text(name)}
value = {value!r}
dataset = {text(sentences.name)}
rows = {rows}
split = "held out, {_HELD_OUT:.0%}, seed {_SPLIT_SEED}, equal texts on one side"
"""
        for name, value in measured.items()
    )
    return top + "".join(tables)
