"""Raw tensors: a graph's own inputs as nested lists in, its outputs as nested lists out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from maas_client._tensors import DTYPES, TensorError, from_json
from maas_client.types import RESERVED_INPUT_NAMES, InputSpec, OutputSpec, TaskSignature
from reference_server.errors import Unprocessable
from reference_server.runtime.batch_invariance import rows_first
from reference_server.runtime.tasks.faults import json_type
from reference_server.runtime.tasks.instances import InputFault, Inputs
from reference_server.runtime.tasks.row_runs import run_rows, stacked
from reference_server.runtime.tasks.task import Outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maas_client._package import Package
    from maas_client.types import TensorSpec
    from reference_server.runtime.runner import Runner, Tensor
    from reference_server.runtime.tasks.task import Batch


class RawTensors:
    """A task that knows nothing of meaning: the task signature is the graph's.

    Where every tensor of the graph has a first axis of any length, that axis runs over the instances, and an
    instance is one row without it. Any other graph takes one instance a call, whole.
    """

    def __init__(self, package: Package, runner: Runner) -> None:
        del package  # the graph says all
        self._runner = runner
        self._by_rows = rows_first(runner.tensors)
        specs = {spec.name: _instance_shape(spec, by_rows=self._by_rows) for spec in runner.tensors.inputs}
        _check_names(specs)
        checks = {
            name: (_described(spec, shape), _reader(spec, shape)) for name, (spec, shape) in specs.items()
        }
        self._inputs = Inputs("the task tensor", checks)
        self.signature = TaskSignature(
            inputs=[
                InputSpec(name=name, type="tensor", datatype=spec.datatype, shape=shape)
                for name, (spec, shape) in specs.items()
            ],
            outputs=[
                OutputSpec(
                    name=spec.name,
                    type="tensor",
                    description=f"{spec.datatype} {_instance_shape(spec, by_rows=self._by_rows)[1]}",
                )
                for spec in runner.tensors.outputs
            ],
        )

    def decode(
        self, instances: Sequence[object], parameters: Mapping[str, object], *, single: bool = False
    ) -> Batch:
        """Check that every instance holds the graph's inputs in their shapes; see `Task.decode`."""
        if len(instances) > 1 and not self._by_rows:
            raise Unprocessable(
                f"there are {len(instances):,} instances; this graph's tensors have no common axis of any "
                "length, so it takes one at a time",
                code="too_many_instances",
                param="instances",
            )
        batch = self._inputs.decode(instances, parameters, single=single)
        if len(instances) > 1:
            _check_alike(batch)
        batch.shape = tuple([column[0].shape for column in batch.columns.values()]) if self._by_rows else None
        return batch

    def predict(self, batch: Batch, *, deadline: float | None = None) -> Outputs:
        """Return every output of the graph, `[batch, …]`; see `Task.predict`."""
        if self._by_rows:
            feeds = {name: stacked(column) for name, column in batch.columns.items()}
            return Outputs(run_rows(self._runner, feeds, deadline=deadline), batch.parameters)
        whole = {name: column[0] for name, column in batch.columns.items()}
        results = self._runner.run(whole, deadline=deadline)
        return Outputs({name: array[None] for name, array in results.items()}, batch.parameters)

    def encode(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Return the outputs' rows; see `Task.encode`."""
        if outputs.rows == 1:
            return [{name: _rows(tensor)[0] for name, tensor in outputs.tensors.items()}]
        columns = {name: _rows(tensor) for name, tensor in outputs.tensors.items()}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _instance_shape(spec: TensorSpec, *, by_rows: bool) -> tuple[TensorSpec, list[int]]:
    return spec, spec.shape[1:] if by_rows else spec.shape


def _described(spec: TensorSpec, shape: list[int]) -> str:
    return f"{spec.datatype} tensor of shape {shape}" if shape else f"{spec.datatype} number"


def _reader(spec: TensorSpec, shape: list[int]) -> Callable[[Any], Tensor]:
    """Return what reads one input of an instance; a plain list of numbers in a fifth of the time."""
    slow = partial(_read, spec, shape)
    if spec.datatype not in _VECTORS or len(shape) != 1:
        return slow
    dtype, most = DTYPES[spec.datatype], float(np.finfo(DTYPES[spec.datatype]).max)
    length = shape[0]

    def read(value: Any) -> Tensor:  # noqa: ANN401 - any JSON value
        plain = (
            type(value) is list
            and 0 < len(value) <= _SHORT
            and length in (-1, len(value))
            and {*map(type, value)} <= _NUMBERS
            and max(value) <= most
            and min(value) >= -most
        )
        return np.array(value, dtype) if plain else slow(value)

    return read


def _read(spec: TensorSpec, shape: list[int], value: Any) -> Tensor:  # noqa: ANN401 - any JSON value
    found = _shape_of(value)
    if len(found) != len(shape) or any(
        want not in (-1, have) for want, have in zip(shape, found, strict=True)
    ):
        what = f"nested lists of the shape {found}" if found else json_type(value)
        raise InputFault(
            "wrong_shape", f"{_described(spec, shape)} is expected, -1 being any size, not {what}"
        )
    try:
        tensor = from_json(spec.name, spec.datatype, found, value if found else [value])
    except TensorError as error:
        raise InputFault("wrong_type", f"{_described(spec, shape)} is expected: {error}") from error
    if spec.datatype == "BYTES":
        return _texts(tensor.array)
    return tensor.array


def _shape_of(value: object) -> list[int]:
    """Return the shape that a value's first elements have; ragged ones are found when all are read."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _texts(array: Tensor) -> Tensor:
    texts = np.empty(array.size, dtype=object)
    texts[:] = [item.decode() for item in array.ravel()]
    return texts.reshape(array.shape)


def _check_alike(batch: Batch) -> None:
    for name, column in batch.columns.items():
        for row, array in enumerate(column):
            if array.shape != column[0].shape:
                raise Unprocessable(
                    f"instances[{row}].{name} has the shape {list(array.shape)}, the first instance's "
                    f"is {list(column[0].shape)}; all instances of a call have the same shape: pad "
                    "them, or send them in calls of their own",
                    code="wrong_shape",
                    param=f"instances[{row}].{name}",
                )


def _rows(tensor: Tensor) -> Sequence[Any]:
    if tensor.dtype.kind in "OSU":
        texts: list[Any] = tensor.tolist()
        return texts
    if tensor.dtype not in _WRITTEN:
        tensor = tensor.astype(np.float32)  # BF16
    rows: Sequence[Any] = tensor if tensor.ndim > 1 else tensor.tolist()  # type: ignore[assignment] # iterable by rows
    return rows


_VECTORS = ("FP16", "FP32", "FP64")
_NUMBERS = {int, float}
_SHORT = 1000
# What orjson writes by itself.
_WRITTEN = frozenset(DTYPES.values())


def _check_names(specs: Mapping[str, object]) -> None:
    for name in specs:
        if name in RESERVED_INPUT_NAMES:
            raise Unprocessable(
                f"the graph's input is called {name!r}, which means something else in a call; rename it",
                code="model_rejected",
            )
