"""Small models trained on the spot from scikit-learn's data, with what they reach on rows they never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from maas_client._package import BACKGROUND, GRAPH
from maas_client.types import Column, ImagePreprocessing, Manifest, Metric, Postprocessing, Preprocessing
from reference_server.catalogue import scikit_data
from reference_server.catalogue.backgrounds import background_file
from reference_server.catalogue.linear_heads import classifier, regressor
from reference_server.evaluation import metrics
from reference_server.manifest_files import manifest_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from reference_server.catalogue.entry import Entry
    from reference_server.catalogue.scikit_data import Rows, Split
    from reference_server.catalogue.sources import Wheels

    Floats = NDArray[np.float64]
    Measure = Callable[[Any, Any], dict[str, float]]

_SIDE = 8
_MOST_INK = 16
_WHITE = 255
_METRIC_DIGITS = 6
_SPECIES = ("setosa", "versicolor", "virginica")
_IRIS_COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
_DIABETES_COLUMNS = (
    Column(name="age", unit="years"),
    Column(name="sex", description="1 or 2, as coded in the data; their authors do not say which is which."),
    Column(name="bmi", unit="kg/m²", description="Body mass index."),
    Column(name="blood_pressure", unit="mmHg", description="Average blood pressure."),
    Column(name="total_cholesterol", unit="mg/dl"),
    Column(name="ldl", unit="mg/dl", description="Low-density lipoproteins."),
    Column(name="hdl", unit="mg/dl", description="High-density lipoproteins."),
    Column(name="cholesterol_ratio", description="Total cholesterol by HDL."),
    Column(name="log_triglycerides", description="Probably the natural logarithm, of mg/dl."),
    Column(name="glucose", unit="mg/dl", description="Blood sugar."),
)


def digits(entry: Entry, wheels: Wheels) -> Mapping[str, bytes]:
    """Return a softmax regression over 8 by 8 grey pixels."""
    inks = scikit_data.digits(wheels)
    pixels = np.rint(inks.features * _WHITE / _MOST_INK)
    # As the server sees a picture: whole pixels of 0 to 255, scaled to 0 to 1.
    parts = scikit_data.split(scikit_data.Rows(pixels / _WHITE, inks.targets))
    head = classifier(parts.train, classes=10, learning_rate=0.1, epochs=60, one_unit=True)
    manifest = Manifest(
        task=entry.task,
        description=entry.description,
        license=entry.licence,
        intended_use="Demonstrations and tests of image classification.",
        limitations="White ink on black, one digit that fills a square picture, which is scaled to 8 by 8 "
        "pixels; invert pictures of dark ink on white. The held-out digits are by the same 13 people as "
        "those it learnt from: other hands are read less well, thin or printed ones often wrongly.",
        tags=["digits", "scikit-learn"],
        labels=[str(digit) for digit in range(10)],
        preprocessing=Preprocessing(
            image=ImagePreprocessing(width=_SIDE, height=_SIDE, mode="L", layout="NHW")
        ),
        metrics=_measured(
            metrics.of_probabilities,
            head.probabilities(parts.held_out.features),
            parts,
            "digits (scikit-learn 1.7.2)",
        ),
        example={"image": _pixels(parts.held_out)},
    )
    graph = head.graph("pixels", [_SIDE, _SIDE], output="probabilities", is_classifier=True)
    return {**manifest_file(manifest), GRAPH: graph}


def iris(entry: Entry, wheels: Wheels) -> Mapping[str, bytes]:
    """Return a softmax regression over four lengths."""
    parts = scikit_data.split(scikit_data.iris(wheels))
    head = classifier(parts.train, classes=len(_SPECIES), learning_rate=0.5, epochs=100, one_unit=False)
    columns = [
        Column(name=name, unit="cm", description=name.replace("_", " ").capitalize() + ".")
        for name in _IRIS_COLUMNS
    ]
    manifest = Manifest(
        task=entry.task,
        description=entry.description,
        license=entry.licence,
        intended_use="Demonstrations and tests of tabular classification.",
        limitations="Knows three species and nothing of any other flower, for which it is as sure as ever.",
        tags=["iris", "scikit-learn"],
        labels=list(_SPECIES),
        preprocessing=Preprocessing(columns=columns, background=BACKGROUND),
        metrics=_measured(
            metrics.of_probabilities,
            head.probabilities(parts.held_out.features),
            parts,
            "iris (scikit-learn 1.7.2)",
        ),
        example=dict(zip(_IRIS_COLUMNS, parts.held_out.features[0].tolist(), strict=True)),
    )
    graph = head.graph("lengths", [len(columns)], output="probabilities", is_classifier=True)
    background = background_file(parts.train.features, _IRIS_COLUMNS)
    return {**manifest_file(manifest), GRAPH: graph, **background}


def diabetes(entry: Entry, wheels: Wheels) -> Mapping[str, bytes]:
    """Return a linear regression over ten figures of a patient."""
    parts = scikit_data.split(scikit_data.diabetes(wheels))
    head = regressor(parts.train, learning_rate=0.01, epochs=200)
    names = [column.name for column in _DIABETES_COLUMNS]
    manifest = Manifest(
        task=entry.task,
        description=entry.description,
        license=entry.licence,
        intended_use="Demonstrations and tests of tabular regression. Never for the care of anybody.",
        limitations="442 patients of one study (Efron and others, Least Angle Regression, 2004); it explains "
        "less than half of what makes them differ.",
        tags=["diabetes", "scikit-learn"],
        preprocessing=Preprocessing(columns=list(_DIABETES_COLUMNS), background=BACKGROUND),
        postprocessing=Postprocessing(unit="points of progression in a year"),
        metrics=_measured(
            metrics.of_values,
            head.outputs(parts.held_out.features)[:, 0],
            parts,
            "diabetes (scikit-learn 1.7.2)",
        ),
        example=dict(zip(names, parts.held_out.features[0].tolist(), strict=True)),
    )
    graph = head.graph("figures", [len(names)], output="progression", is_classifier=False)
    return {**manifest_file(manifest), GRAPH: graph, **background_file(parts.train.features, names)}


def _measured(measure: Measure, predicted: Floats, parts: Split, dataset: str) -> list[Metric]:
    targets = parts.held_out.targets
    return [
        Metric(
            name=name,
            value=round(value, _METRIC_DIGITS),
            dataset=dataset,
            rows=len(targets),
            split=parts.described,
        )
        for name, value in measure(predicted, targets).items()
    ]


def _pixels(rows: Rows) -> list[Any]:
    first = np.rint(rows.features[0] * _WHITE).astype(int)
    pixels: list[Any] = first.reshape(_SIDE, _SIDE).tolist()
    return pixels
