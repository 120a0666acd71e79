"""Measures whether a row's result depends on the other rows of its run.

Dynamic quantisation takes one scale from the whole batch: a text's embedding by a small int8 BERT moved by
0.014 with its companions. What a graph's operators do not tell, a trial does: a row alone against the same
row in company.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reference_server.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maas_client.types import TensorSignature
    from reference_server.runtime.runner import Runner, Tensor, Tensors

# Kernels of other batch sizes add in another order, which moves float32 results by some 1e-6 of their size; a
# scale of int8 that changes moves them by 1e-2.
_TOLERANCE = 1e-4
_COMPANIONS = 3


class Recorder:
    """A runner that remembers what the last run was given.

    Args:
        runner: What really runs.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.tensors = runner.tensors
        self.device = runner.device
        self.batch_invariant = runner.batch_invariant
        self.inputs: Tensors = {}

    def run(
        self, inputs: Tensors, *, outputs: Sequence[str] | None = None, deadline: float | None = None
    ) -> dict[str, Tensor]:
        """Run, and remember the inputs; see `Runner.run`."""
        self.inputs = dict(inputs)
        return self._runner.run(inputs, outputs=outputs, deadline=deadline)

    def close(self) -> None:
        """Close the runner."""
        self._runner.close()


def rows_first(tensors: TensorSignature) -> bool:
    """Return whether the first axis of every input and output is one that may be of any length."""
    return all(spec.shape[:1] == [-1] for spec in (*tensors.inputs, *tensors.outputs))


def is_invariant(runner: Runner, inputs: Tensors) -> bool:
    """Return whether a row's outputs stay what they are when other rows join it.

    Args:
        runner: The model.
        inputs: What it takes, one row or several; the first row is tried.
    """
    if not runner.batch_invariant:
        return False
    if not rows_first(runner.tensors) or any(len(array) == 0 for array in inputs.values()):
        # A graph of one row at a time, or of no rows at all: nothing is ever joined.
        return True
    alone = {name: array[:1] for name, array in inputs.items()}
    try:
        first = runner.run(alone)
        together = runner.run(_in_company(alone))
    except ServiceError:
        return False
    return all(_same(first[name], together[name]) for name in first)


def _in_company(alone: Tensors) -> Mapping[str, Tensor]:
    random = np.random.default_rng(0)
    return {
        name: np.concatenate([row, *(_companion(row, random) for _ in range(_COMPANIONS))])
        for name, row in alone.items()
    }


def _companion(row: Tensor, random: np.random.Generator) -> Tensor:
    """Return another row that the graph can take: the same values in another order, or larger ones."""
    if row.dtype.kind == "f":
        other: Tensor = (row * random.uniform(-4, 4, row.shape)).astype(row.dtype)
        return other
    return random.permuted(row.reshape(1, -1), axis=1).reshape(row.shape)


def _same(alone: Any, together: Any) -> bool:  # noqa: ANN401 - arrays of whatever the graph returns
    if together.shape[:1] != (1 + _COMPANIONS,) or together.shape[1:] != alone.shape[1:]:
        return False
    if alone.dtype.kind != "f":
        return bool(np.array_equal(alone[:1], together[:1]))
    largest = np.abs(alone[np.isfinite(alone)]).max(initial=1.0)
    return bool(np.allclose(alone[0], together[0], rtol=0, atol=_TOLERANCE * largest, equal_nan=True))
