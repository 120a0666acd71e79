"""Runs graphs in this process with ONNX Runtime."""

from __future__ import annotations

import ctypes
import math
import time
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnxruntime as ort
from onnx import TensorProto

from maas_client.types import TensorSignature, TensorSpec
from reference_server.errors import DeadlineExceeded, Unavailable, Unprocessable
from reference_server.runtime.bound_runs import BoundRuns, can_bind
from reference_server.runtime.deadlines import WATCHDOG
from reference_server.runtime.execution_providers import CPU, open_session
from reference_server.runtime.graph_rules import is_batch_invariant, parse_graph
from reference_server.runtime.ort_errors import ORT_ERRORS, describe
from reference_server.runtime.pinned_memory import staging_for
from reference_server.runtime.run_options import run_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reference_server.runtime.execution_providers import ExecutionProvider
    from reference_server.runtime.runner import Tensor, Tensors

# Open Inference Protocol, "Tensor Data Types"; BF16 as Triton extends it.
_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class OnnxRunner:
    """A graph loaded from its bytes.

    Args:
        graph: A serialised ModelProto, complete in itself.
        provider: What is to run it, as `execution_providers.choose` returns it.
        threads: Threads within one operator.
        batch_invariant: What a trial found; None when there was none.
        optimization: How far the graph is rewritten first, as `open_session` has it.

    Raises:
        Unprocessable: Code `model_rejected`: the graph breaks a rule, or ONNX Runtime cannot load it, or a
            demanded provider can run no part of it.
    """

    def __init__(
        self,
        graph: bytes,
        *,
        provider: ExecutionProvider,
        threads: int = 1,
        batch_invariant: bool | None = None,
        optimization: str = "all",
    ) -> None:
        # A trial may find what the operators do not tell, never the other way round.
        self.batch_invariant = is_batch_invariant(parse_graph(graph)) and batch_invariant is not False
        try:
            self._session: Any = open_session(graph, provider, threads=threads, optimization=optimization)
        except ORT_ERRORS as error:
            raise Unprocessable(
                f"ONNX Runtime cannot load the graph: {describe(error)}", code="model_rejected"
            ) from error
        self.tensors = _signature(self._session)
        self.device = _device(self._session, provider)
        self._outputs = [output.name for output in self.tensors.outputs]
        self._run = _way_to_run(self.tensors, self.device, provider)

    def run(
        self, inputs: Tensors, *, outputs: Sequence[str] | None = None, deadline: float | None = None
    ) -> dict[str, Tensor]:
        """Compute outputs from inputs; see `Runner.run`."""
        session = self._session
        if session is None:
            raise Unavailable("the model was unloaded just now; repeat the call", retry_after=1)
        _check_time(deadline)
        names = self._outputs if outputs is None else list(outputs)
        try:
            results = self._run(session, names, inputs, deadline)
        except ORT_ERRORS as error:
            _check_time(deadline)
            raise Unprocessable(
                f"the model cannot compute this input: {describe(error)}", code="model_failed"
            ) from error
        _check_time(deadline)
        return dict(zip(names, results, strict=True))

    def close(self) -> None:
        """Take no more runs; the session is freed when the last one under way has ended."""
        self._session = None


def _way_to_run(tensors: TensorSignature, device: str, provider: ExecutionProvider) -> Callable[..., Any]:
    if any(spec.datatype == "BF16" for spec in (*tensors.inputs, *tensors.outputs)):
        return _run_values
    if device != CPU.device and can_bind(tensors):
        return BoundRuns(tensors, staging_for(int(provider.options["device_id"])))
    return _run


def _run(session: Any, names: list[str], inputs: Tensors, deadline: float | None) -> Any:  # noqa: ANN401 - ONNX Runtime publishes no types
    if deadline is None:
        return session.run(names, inputs, _UNWATCHED)
    options = run_options()  # `terminate` is sticky: one per run
    with WATCHDOG.watch(options, deadline):
        return session.run(names, inputs, options)


def _run_values(session: Any, names: list[str], inputs: Tensors, deadline: float | None) -> list[Tensor]:  # noqa: ANN401 - as above
    """Run by ONNX Runtime's own values, which know BF16 as numpy does not; it comes and goes as its bits."""
    values = {name: _value(array) for name, array in inputs.items()}
    options = run_options()
    with WATCHDOG.watch(options, deadline):
        results = session.run_with_ort_values(names, values, options)
    return [_array(result) for result in results]


def _value(array: Tensor) -> Any:  # noqa: ANN401 - as above
    if array.dtype.name == "bfloat16":
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), TensorProto.BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _array(value: Any) -> Tensor:  # noqa: ANN401 - as above
    if value.element_type() != TensorProto.BFLOAT16:
        array: Tensor = value.numpy()
        return array
    bits = np.frombuffer(_bytes_of(value), np.uint16).reshape(value.shape())
    return bits.view(ml_dtypes.bfloat16)


def _bytes_of(value: Any) -> bytes:  # noqa: ANN401 - as above
    size = 2 * math.prod(value.shape())
    return ctypes.string_at(value.data_ptr(), size) if size else b""


# Never told to end, so all runs without a deadline share it.
_UNWATCHED = run_options()


def _check_time(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise DeadlineExceeded("the time for this call ran out before the model had finished")


def _signature(session: Any) -> TensorSignature:  # noqa: ANN401 - ONNX Runtime publishes no types
    return TensorSignature(inputs=_specs(session.get_inputs()), outputs=_specs(session.get_outputs()))


def _specs(nodes: Iterable[Any]) -> list[TensorSpec]:
    specs = []
    for node in nodes:
        if node.type not in _DATATYPES:
            raise Unprocessable(
                f"{node.name!r} of the graph is a {node.type}, which has no Open Inference datatype; "
                "export plain tensors (for scikit-learn: without ZipMap)",
                code="model_rejected",
            )
        shape = [size if isinstance(size, int) and size >= 0 else -1 for size in node.shape]
        specs.append(TensorSpec(name=node.name, datatype=_DATATYPES[node.type], shape=shape))
    return specs


def _device(session: Any, provider: ExecutionProvider) -> str:  # noqa: ANN401 - as above
    """Return the device that nodes were really given to: a graph may have none that a GPU can run."""
    if provider.name == CPU.name:
        return CPU.device
    used = {part.ep_name for part in session.get_provider_graph_assignment_info()}
    if provider.name in used:
        return provider.device
    if provider.demanded:
        raise Unprocessable(
            f"{provider.name} was demanded and can run no node of this graph", code="model_rejected"
        )
    return CPU.device
