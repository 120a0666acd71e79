"""A trained head as a model package: its graph, and a manifest that says what it is and how good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maas_client._package import GRAPH, LABELS, pack
from maas_client.types import Column, Manifest, Metric, Postprocessing, Preprocessing, Serving
from reference_server.manifest_files import manifest_file
from reference_server.training.rows import MOST_TEXT_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maas_client.types import Evaluation, TrainingOptions
    from reference_server.training.rows import Data

_EXAMPLE = "A short text to classify."
_INHERITED = ("LICENSE", "LICENSE.txt", "NOTICE")
# Of more labels than these the manifest would be hard to read.
_MOST_LABELS_IN_MANIFEST = 100
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Base:
    """What a package takes over from its base.

    Args:
        name: As its owner calls it.
        manifest: Its own.
        files: Its files by name, the graph among them.
        output: Which of the graph's outputs holds the embeddings.
    """

    name: str
    manifest: Manifest
    files: Mapping[str, bytes]
    output: str


def package_of(  # noqa: PLR0917 - what a package is made of
    graph: bytes,
    data: Data,
    means: Mapping[str, float],
    options: TrainingOptions,
    base: Base | None,
    measured: tuple[str, Evaluation] | None,
) -> bytes:
    """Return the package, a zip: the same bytes for the same arguments.

    Args:
        graph: From a call's inputs to probabilities or to a value.
        data: Labels and the names of columns.
        means: Of each column, for the example; no row of anybody's is shown.
        options: What was asked for.
        base: Whose embeddings the features are.
        measured: What was measured, and on which part of the rows.
    """
    manifest = Manifest(
        task=task_of(data),
        description=options.description or _description(data, base),
        license=options.license or (base.manifest.license if base else "unstated"),
        limitations="Knows what its training rows showed: measure it on rows of your own first.",
        tags=["fine-tune"],
        labels=list(data.labels) if len(data.labels) <= _MOST_LABELS_IN_MANIFEST else [],
        preprocessing=_preprocessing(data, base),
        postprocessing=Postprocessing(),
        serving=base.manifest.serving if base else Serving(),
        metrics=[] if measured is None else _metrics(*measured),
        example=dict(means) if data.kind == "columns" else {"text": _example(base)},
    )
    files = {**manifest_file(manifest), GRAPH: graph}
    if len(data.labels) > _MOST_LABELS_IN_MANIFEST:
        files[LABELS] = "\n".join(data.labels).encode()
    if base is not None:
        kept = (*_INHERITED, base.manifest.preprocessing.tokenizer)
        files |= {name: content for name, content in base.files.items() if name in kept}
    return pack(files)


def task_of(data: Data) -> str:
    """Return the task of a model that is trained on such rows."""
    if data.kind == "text":
        return "text-classification"
    return "tabular-regression" if data.is_regression else "tabular-classification"


def _description(data: Data, base: Base | None) -> str:
    what = "Predicts a number" if data.is_regression else f"Tells {len(data.labels):,} labels apart"
    how = f"{len(data.names):,} columns" if data.kind == "columns" else "words and runs of characters"
    return f"{what} by a linear head on {f'the embeddings of {base.name}' if base else how}."


def _preprocessing(data: Data, base: Base | None) -> Preprocessing:
    if base is not None:
        return base.manifest.preprocessing
    if data.kind == "columns":
        return Preprocessing(columns=[Column(name=name) for name in data.names])
    return Preprocessing(max_characters=MOST_TEXT_CHARACTERS)


def _example(base: Base | None) -> str:
    given = base.manifest.example.get("text") if base else None
    return given if isinstance(given, str) else _EXAMPLE


def _metrics(part: str, evaluation: Evaluation) -> list[Metric]:
    return [
        Metric(
            name=metric.name,
            value=round(metric.value, _DIGITS),
            dataset="rows of the fine-tune",
            rows=evaluation.rows,
            split=part,
            interval=metric.interval
            and (round(metric.interval[0], _DIGITS), round(metric.interval[1], _DIGITS)),
        )
        for metric in evaluation.metrics
    ]
