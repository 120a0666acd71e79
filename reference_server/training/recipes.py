"""From checked rows to features and to the model that is fitted on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maas_client._package import GRAPH
from reference_server.errors import Unprocessable
from reference_server.training.descent import SCHEDULES, Descent, Plan
from reference_server.training.features import Columns, Embeddings, Ngrams, buckets_for, ids_of_texts
from reference_server.training.fit import Fit, Labelled
from reference_server.training.heads import Head, Scale
from reference_server.training.linear import LinearClassifier
from reference_server.training.losses import CrossEntropy, MeanSquaredError, balanced
from reference_server.training.optimizers import optimizer
from reference_server.training.rows import TEXT, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from maas_client.types import TrainingOptions
    from reference_server.training.features import Recipe
    from reference_server.training.linear import Features
    from reference_server.training.optimizers import OptimizerName
    from reference_server.training.packaging import Base
    from reference_server.training.rows import Data, Part

# What settles within some twenty epochs, by whether features are dense and scaled, or bags of length 1.
_DENSE_RATES = {"sgd": 0.05, "momentum": 0.005, "adam": 0.003}
_BAG_RATES = {"sgd": 20.0, "momentum": 2.0, "adam": 0.03}


@dataclass(frozen=True, slots=True)
class Source:
    """Features of all rows, and how they were made.

    Args:
        name: `embeddings`, `ngrams` or `columns`.
        recipe: How they were made.
        features: By part.
        width: How many features there are.
        means: Of columns, by name; else empty.
    """

    name: str
    recipe: Recipe
    features: Mapping[str, Features]
    width: int
    means: Mapping[str, float]


def from_embeddings(base: Base, rows: NDArray[np.float32], parts: Mapping[str, Part]) -> Source:
    """Return embeddings of all parts, one after the other, as features."""
    by_part, options = _by_part(rows, parts), base.manifest.postprocessing
    recipe = Embeddings(base.files[GRAPH], base.output, options, Scale.of(by_part["train"]))
    features = {part: recipe.features(each) for part, each in by_part.items()}
    return Source("embeddings", recipe, features, rows.shape[1], {})


def from_texts(data: Data, parts: Mapping[str, Part], *, each: Callable[[int], object]) -> Source:
    """Return hashed n-grams of all texts as features; `each` is told how many texts are done."""
    buckets = buckets_for(len(data.labels))
    texts = [row[TEXT] for part in parts.values() for row in part.inputs]
    by_part, start = {}, 0
    ids = ids_of_texts(texts, buckets, each=each)
    for part, rows in parts.items():
        by_part[part] = ids[start : start + len(rows)]
        start += len(rows)
    recipe = Ngrams.learnt(by_part["train"], buckets)
    features = {part: recipe.features(each_ids) for part, each_ids in by_part.items()}
    return Source("ngrams", recipe, features, len(recipe.known), {})


def from_columns(data: Data, parts: Mapping[str, Part]) -> Source:
    """Return columns of numbers as features."""
    tables = {part: table_of(rows.inputs, data.names) for part, rows in parts.items()}
    recipe = Columns(data.names, Scale.of(tables["train"]))
    means = dict(zip(data.names, (float(f"{mean:.6g}") for mean in recipe.scale.mean), strict=True))
    features = {part: recipe.features(table) for part, table in tables.items()}
    return Source("columns", recipe, features, len(data.names), means)


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets as descent sees them: classes, or numbers brought to mean 0 and deviation 1."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, data: Data, train: Part) -> Targets:
        """Return the scale of the training rows' numbers; classes stay as they are."""
        if not data.is_regression:
            return cls(0.0, 1.0)
        deviation = float(train.targets.std())
        if not deviation:
            raise Unprocessable(
                "all training rows have the same target; there is nothing to learn",
                code="one_target",
                param="train.targets",
            )
        return cls(float(train.targets.mean()), deviation)

    def scaled(self, part: Part, *, is_regression: bool) -> NDArray[Any]:
        """Return a part's targets."""
        return (part.targets - self.mean) / self.deviation if is_regression else part.targets


def rate_of(options: TrainingOptions, source: Source) -> float:
    """Return the learning rate that was asked for, or the one that suits the features."""
    rates = _BAG_RATES if source.name == "ngrams" else _DENSE_RATES
    return options.learning_rate or rates[optimizer_of(options, source)]


def optimizer_of(options: TrainingOptions, source: Source) -> OptimizerName:
    """Return the optimizer that was asked for, or the one that suits the features.

    Plain descent touches only the weights of features that a batch has, of many thousands.
    """
    return options.optimizer or ("sgd" if source.name == "ngrams" else "adam")


def begin(
    options: TrainingOptions, data: Data, parts: Mapping[str, Part], source: Source, targets: Targets
) -> Fit[Any]:
    """Return a fit that has not begun."""
    plan: Plan[Any] = Plan(
        loss=_loss(options, data, parts["train"]),
        learning_rate=rate_of(options, source),
        epochs=options.epochs,
        batch_size=options.batch_size,
        schedule=SCHEDULES[options.schedule],
        l2=options.l2,
    )
    model = LinearClassifier(source.width, max(1, len(data.labels)))
    descent = Descent(
        model, plan, optimizer(optimizer_of(options, source)), np.random.default_rng(options.seed)
    )
    labelled = {
        part: Labelled(source.features[part], targets.scaled(rows, is_regression=data.is_regression))
        for part, rows in parts.items()
    }
    validation = labelled.get("validation")
    patience = options.patience if options.early_stopping and validation is not None else None
    return Fit(descent, labelled["train"], validation, patience)


def head_of(fit: Fit[Any], data: Data, targets: Targets) -> Head:
    """Return the best parameters of a fit that has ended, in the targets' own unit."""
    fit.keep_best()
    head = Head.of(fit.descent.model, is_classifier=not data.is_regression)
    return head.scaled(targets.mean, targets.deviation) if data.is_regression else head


def _loss(options: TrainingOptions, data: Data, train: Part) -> CrossEntropy | MeanSquaredError:
    if data.is_regression:
        return MeanSquaredError()
    weights = options.class_weights
    if weights is None:
        own = None
    elif weights == "balanced":
        own = balanced(train.targets, len(data.labels))
    else:
        own = np.array([weights.get(label, 1.0) for label in data.labels])
    return CrossEntropy(label_smoothing=options.label_smoothing, class_weights=own)


def _by_part(rows: NDArray[np.float32], parts: Mapping[str, Part]) -> dict[str, NDArray[np.float32]]:
    ends = np.cumsum([len(part) for part in parts.values()])[:-1]
    return dict(zip(parts, np.split(rows, ends), strict=True))
