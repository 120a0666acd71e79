"""Tabular tasks: a row of named columns in, a class or a number out."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from maas_client.types import InputSpec, OutputSpec, TaskSignature
from reference_server.errors import Unprocessable
from reference_server.runtime.tasks.backgrounds import Background, read_background
from reference_server.runtime.tasks.class_scores import SCORES, ClassScores
from reference_server.runtime.tasks.faults import json_type
from reference_server.runtime.tasks.instances import InputFault, Inputs, top_k
from reference_server.runtime.tasks.outputs import output_spec
from reference_server.runtime.tasks.row_runs import run_rows
from reference_server.runtime.tasks.task import Outputs
from reference_server.runtime.tasks.text_inputs import check_unicode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client._package import Package
    from maas_client.types import Column, TensorSpec
    from reference_server.runtime.runner import Runner, Tensor
    from reference_server.runtime.tasks.task import Batch

_FLOATS: dict[str, type[np.floating[Any]]] = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64}
_INTEGERS: dict[str, type[np.integer[Any]]] = {"INT32": np.int32, "INT64": np.int64}
_NUMBERS = {**_FLOATS, **_INTEGERS}


class _Columns:
    """Feeds columns to a graph: one input of floats `[batch, columns]`, or one input of its own for each."""

    def __init__(self, package: Package, runner: Runner, task: str) -> None:
        columns = package.manifest.preprocessing.columns
        if not columns:
            raise _rejected(f"{task} needs preprocessing.columns in maas.toml: the names in their order")
        names = [column.name for column in columns]
        if len(set(names)) != len(names):
            raise _rejected("preprocessing.columns names a column twice")
        self._names = names
        self._specs = {spec.name: spec for spec in runner.tensors.inputs}
        self._matrix = self._one_input(columns)
        if self._matrix is None:
            self._check_own_inputs(columns)
        self.signature = [_input_spec(column) for column in columns]
        self.checks = {column.name: (column.type, partial(_read, column)) for column in columns}

    def feeds(self, batch: Batch) -> dict[str, Tensor]:
        """Return the graph's inputs for a batch."""
        if self._matrix is not None:
            columns = [batch.columns[name] for name in self._names]
            kind = _FLOATS[self._matrix.datatype]
            # Made of float64 first: a number beyond the range becomes an infinity, not an error.
            with np.errstate(over="ignore"):
                return {self._matrix.name: np.array(columns, np.float64).T.astype(kind, order="C")}
        return {name: self._own_input(self._specs[name], batch.columns[name]) for name in self._names}

    def background(self, package: Package) -> Background | None:
        """Return the rows that stand for columns left out, if the package ships some that the graph takes.

        Raises:
            Unprocessable: Code `model_rejected`: they are damaged, or do not fit the columns.
        """
        found = read_background(package, self.checks)
        if found is not None:
            self.feeds(found.batch)
        return found

    def _one_input(self, columns: Sequence[Column]) -> TensorSpec | None:
        if len(self._specs) != 1:
            return None
        (spec,) = self._specs.values()
        if spec.name in self._names and len(columns) == 1 and spec.shape[1:] in ([], [1]):
            return None
        if (
            spec.datatype not in _FLOATS
            or spec.shape[:1] not in ([-1], [1])
            or spec.shape[1:] not in ([len(columns)], [-1])
        ):
            raise _rejected(
                f"the graph's input {spec.name!r} is {spec.datatype} {spec.shape}; with {len(columns)} "
                f"columns it must be floats [-1, {len(columns)}]"
            )
        if texts := [column.name for column in columns if column.type != "number"]:
            raise _rejected(
                f"the graph takes one matrix of floats, and the column {texts[0]!r} holds strings"
            )
        return spec

    def _check_own_inputs(self, columns: Sequence[Column]) -> None:
        if set(self._specs) != set(self._names):
            raise _rejected(
                f"the graph's inputs are {', '.join(self._specs)}, the columns {', '.join(self._names)}; "
                "they must have the same names, or the graph one input for all"
            )
        for column in columns:
            spec = self._specs[column.name]
            fits = spec.datatype in _NUMBERS if column.type == "number" else spec.datatype == "BYTES"
            if not fits or spec.shape[1:] not in ([], [1], [-1]):
                raise _rejected(
                    f"the graph's input {spec.name!r} is {spec.datatype} {spec.shape}, which a column of the "
                    f"type {column.type} cannot fill"
                )

    def _own_input(self, spec: TensorSpec, values: Sequence[Any]) -> Tensor:
        shape = (len(values), *([1] if spec.shape[1:] else []))
        if spec.datatype == "BYTES":
            return np.array(values, dtype=object).reshape(shape)
        if spec.datatype in _INTEGERS:
            _check_whole(spec, values)
        return np.array(values).astype(_NUMBERS[spec.datatype]).reshape(shape)


class TabularClassification:
    """A task over a graph that returns one row of logits or probabilities per row; see `ClassScores`."""

    def __init__(self, package: Package, runner: Runner) -> None:
        self._runner = runner
        self._columns = _Columns(package, runner, "tabular classification")
        self._scores = ClassScores(package, runner)
        self._inputs = Inputs("tabular classification", self._columns.checks, {"top_k": top_k})
        self.labels = self._scores.labels
        self.background = self._columns.background(package)
        self.signature = TaskSignature(inputs=self._columns.signature, outputs=SCORES)

    def decode(
        self, instances: Sequence[object], parameters: Mapping[str, object], *, single: bool = False
    ) -> Batch:
        """Check that every instance holds the columns; see `Task.decode`."""
        return self._inputs.decode(instances, parameters, single=single)

    def predict(self, batch: Batch, *, deadline: float | None = None) -> Outputs:
        """Return `scores`, `[batch, labels]`; see `Task.predict`."""
        feeds = self._columns.feeds(batch)
        results = run_rows(self._runner, feeds, outputs=[self._scores.output], deadline=deadline)
        return Outputs(
            {"scores": self._scores.activated(self._scores.read(results, len(batch)))}, batch.parameters
        )

    def encode(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Return `label`, `score` and `scores` for every row; see `Task.encode`."""
        return self._scores.encode(outputs)


class TabularRegression:
    """A task over a graph that returns one number per row, `[batch]` or `[batch, 1]`."""

    def __init__(self, package: Package, runner: Runner) -> None:
        self._runner = runner
        self._columns = _Columns(package, runner, "tabular regression")
        self._inputs = Inputs("tabular regression", self._columns.checks)
        self.background = self._columns.background(package)
        spec = output_spec(package, runner)
        if spec.datatype not in _FLOATS or spec.shape[1:] not in ([], [1], [-1]):
            raise _rejected(
                f"the graph's output {spec.name!r} is {spec.datatype} {spec.shape}; a regression returns "
                "floats [-1] or [-1, 1]"
            )
        self._output = spec.name
        unit = package.manifest.postprocessing.unit
        described = f"The predicted value, in {unit}." if unit else "The predicted value."
        self.signature = TaskSignature(
            inputs=self._columns.signature,
            outputs=[OutputSpec(name="value", type="number", description=described)],
        )

    def decode(
        self, instances: Sequence[object], parameters: Mapping[str, object], *, single: bool = False
    ) -> Batch:
        """Check that every instance holds the columns; see `Task.decode`."""
        return self._inputs.decode(instances, parameters, single=single)

    def predict(self, batch: Batch, *, deadline: float | None = None) -> Outputs:
        """Return `value`, `[batch]`; see `Task.predict`."""
        feeds = self._columns.feeds(batch)
        values = run_rows(self._runner, feeds, outputs=[self._output], deadline=deadline)[self._output]
        if values.size != len(batch):
            raise _rejected(
                f"the graph's output {self._output!r} has the shape {list(values.shape)} for {len(batch)} "
                "rows"
            )
        return Outputs({"value": values.reshape(-1)}, batch.parameters)

    def encode(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Return `value` for every row; see `Task.encode`."""
        # numpy's scalars are written with the fewest digits that tell a float32 from its neighbours.
        return [{"value": value} for value in outputs.tensors["value"]]


def _input_spec(column: Column) -> InputSpec:
    return InputSpec(
        name=column.name,
        type=column.type,
        description=column.description,
        unit=column.unit or None,
        categories=column.categories or None,
    )


def _read(column: Column, value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if column.type == "number":
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            hint = "; this model was not made for missing values" if value is None else ""
            raise InputFault("wrong_type", f"a number is expected, not {json_type(value)}{hint}")
        return value
    if not isinstance(value, str):
        raise InputFault("wrong_type", f"a string is expected, not {json_type(value)}")
    if column.categories and value not in column.categories:
        known = ", ".join(column.categories[:20])
        raise InputFault("unknown_category", f"one of {known} is expected, not {value!r:.100}")
    check_unicode(value)
    return value


def _check_whole(spec: TensorSpec, values: Sequence[int | float]) -> None:
    limits = np.iinfo(_INTEGERS[spec.datatype])
    for value in values:
        if value != int(value) or not limits.min <= value <= limits.max:
            raise Unprocessable(
                f"the column {spec.name!r} holds {value}, the model takes whole numbers from {limits.min} to "
                f"{limits.max}",
                code="wrong_type",
                param=spec.name,
            )


def _rejected(message: str) -> Unprocessable:
    return Unprocessable(message, code="model_rejected")
