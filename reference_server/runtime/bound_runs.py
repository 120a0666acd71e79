"""Runs with inputs and outputs bound beforehand (ONNX Runtime, "I/O Binding"), for devices with own memory.

Inputs are laid side by side in page-locked memory, from which binding copies them to the device; outputs come
back to the host. A binding holds one run's tensors, so each run has its own, in whichever thread.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reference_server.runtime.deadlines import WATCHDOG
from reference_server.runtime.run_options import run_options

if TYPE_CHECKING:
    from maas_client.types import TensorSignature
    from reference_server.runtime.pinned_memory import Staging
    from reference_server.runtime.runner import Tensor, Tensors

# What CUDA's allocators align to, so that no copy begins within a line of another.
_ALIGNMENT = 256
# Strings have no fixed size, and numpy has no BF16 that a binding takes.
_UNBOUND = frozenset({"BYTES", "BF16"})


def can_bind(tensors: TensorSignature) -> bool:
    """Return whether all of a graph's tensors are of datatypes that can be bound."""
    return not any(spec.datatype in _UNBOUND for spec in (*tensors.inputs, *tensors.outputs))


class BoundRuns:
    """Runs a session's graph by bindings.

    Args:
        tensors: The graph's inputs and outputs, of datatypes that can be bound.
        staging: The memory that inputs go through.
    """

    def __init__(self, tensors: TensorSignature, staging: Staging) -> None:
        self._needed = {spec.name for spec in tensors.inputs}
        self._staging = staging

    def __call__(
        self,
        session: Any,  # noqa: ANN401 - ONNX Runtime publishes no types
        names: list[str],
        inputs: Tensors,
        deadline: float | None,
    ) -> list[Tensor]:
        """Run; arguments and results as of `InferenceSession.run`.

        Raises:
            ValueError: Inputs do not fit or the graph fails, in ONNX Runtime's words.
        """
        # A binding that lacks an input fails inside a kernel, or not at all.
        if inputs.keys() != self._needed:
            odd = ", ".join(sorted(inputs.keys() ^ self._needed))
            raise ValueError(f"inputs are missing or unknown: {odd}")
        for name, array in inputs.items():
            if array.dtype.hasobject:
                raise ValueError(f"input {name!r} is of type {array.dtype}, and the graph takes numbers")
        options = run_options()
        with self._staging.lend(sum(map(_room, inputs.values()))) as memory:
            try:
                binding = _bound(session, names, _laid_out(inputs, memory))
                with WATCHDOG.watch(options, deadline):
                    session.run_with_iobinding(binding, options)
                results = [value.numpy() for value in binding.get_outputs()]
            except RuntimeError as error:  # what bindings raise for every reason
                raise ValueError(str(error).removeprefix("Error in execution: ")) from error
            # A graph that hands an input on returns the very memory that is lent again.
            return [np.array(result) if np.may_share_memory(result, memory) else result for result in results]


def _bound(session: Any, names: list[str], arrays: Tensors) -> Any:  # noqa: ANN401 - as above
    binding = session.io_binding()
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    for name in names:
        binding.bind_output(name)
    # The copies may be queued on another stream than the run's.
    binding.synchronize_inputs()
    return binding


def _room(array: Tensor) -> int:
    return math.ceil(array.nbytes / _ALIGNMENT) * _ALIGNMENT


def _laid_out(inputs: Tensors, memory: Tensor) -> dict[str, Tensor]:
    arrays, begin = {}, 0
    for name, array in inputs.items():
        room = memory[begin : begin + array.nbytes]
        arrays[name] = room.view(array.dtype).reshape(array.shape)
        arrays[name][...] = array
        begin += _room(array)
    return arrays
