"""Chooses what runs the models, and proves that it does: ONNX Runtime falls back to the CPU in silence."""

from __future__ import annotations

import itertools
import logging
import threading
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from reference_server.runtime import cuda_parts
from reference_server.runtime.ort_errors import ORT_ERRORS, describe
from reference_server.runtime.runner import ExecutionProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Setting: TypeAlias = Literal["auto", "cpu", "cuda"]

logger = logging.getLogger(__name__)

# All of them unpack into the one folder `onnxruntime`; the last has overwritten parts of the others.
_WHEELS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
_FATAL_ONLY = 4

# ONNX Runtime's levels ("Graph Optimizations in ONNX Runtime"); servers use the last.
OPTIMIZATIONS = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

_OTHERWISE = "or choose the provider `cpu`"


@dataclass(frozen=True, slots=True)
class ExecutionProvider:
    """An execution provider of ONNX Runtime.

    Args:
        name: ONNX Runtime's own name.
        device: What replies call it: `cpu` or `cuda:0`.
        options: ONNX Runtime's options for it.
        demanded: Whether a model that cannot use it is refused instead of run on the CPU.
    """

    name: str
    device: str
    options: Mapping[str, str] = field(default_factory=dict)
    demanded: bool = False


CPU = ExecutionProvider("CPUExecutionProvider", "cpu")


class Providers:
    """Hands out execution providers that a tiny model has run on; several GPUs in turn.

    Args:
        setting: What a model gets that asks for none: `auto` takes CUDA where it works and says in the log
            why it does not; `cuda` demands it.
        devices: The numbers of the GPUs.
        gpu_memory_bytes: The most GPU memory that each loaded model may take for weights and activations;
            None for no limit.

    Raises:
        ExecutionProviderError: CUDA was demanded and does not work, or two ONNX Runtime wheels overwrite
            each other.
    """

    def __init__(
        self, setting: Setting, *, devices: Sequence[int] = (0,), gpu_memory_bytes: int | None = None
    ) -> None:
        self._devices = devices
        self._gpu_memory_bytes = gpu_memory_bytes
        self._turns = itertools.count()
        self._lock = threading.Lock()
        self._proven: dict[int, ExecutionProviderError | None] = {}
        silence()
        self._default: Setting = setting
        if setting == "auto":
            self._default = "cuda" if self._find_cuda() else "cpu"
        self._demanded = setting == "cuda"
        if self._demanded:
            for device in devices:
                self._cuda(device, demanded=True)

    def __call__(self, wanted: str) -> ExecutionProvider:
        """Return what runs a model that wants `cpu`, `cuda`, or `auto`: what the server has.

        Raises:
            ExecutionProviderError: The model wants CUDA, and it does not work.
        """
        name = self._default if wanted == "auto" else wanted
        if name == "cpu":
            return CPU
        device = self._devices[next(self._turns) % len(self._devices)]
        return self._cuda(device, demanded=self._demanded or wanted == "cuda")

    def _find_cuda(self) -> bool:
        try:
            for device in self._devices:
                self._cuda(device, demanded=False)
        except ExecutionProviderError as error:
            # A CPU-only installation is the usual case and needs no warning.
            level = logging.INFO if installed_wheels() == ["onnxruntime"] else logging.WARNING
            logger.log(level, "models run on the CPU: %s", error)
            return False
        return True

    def _cuda(self, device: int, *, demanded: bool) -> ExecutionProvider:
        provider = cuda(device, demanded=demanded, memory_bytes=self._gpu_memory_bytes)
        with self._lock:
            if device not in self._proven:
                self._proven[device] = _failure_of(provider)
            if (failure := self._proven[device]) is not None:
                raise ExecutionProviderError(str(failure)) from failure
        return provider


def cuda(device: int, *, demanded: bool = False, memory_bytes: int | None = None) -> ExecutionProvider:
    """Return the provider of a GPU by its number, unproven.

    Args:
        device: Its number.
        demanded: Whether a model that cannot use it is refused.
        memory_bytes: The limit of each session's arena on the GPU; None for none.
    """
    options = {
        "device_id": str(device),
        # The arena grows by what is asked for: doubling, ONNX Runtime's own way, keeps up to twice that.
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_use_max_workspace": "1",
    }
    if memory_bytes is not None:
        options["gpu_mem_limit"] = str(memory_bytes)
    return ExecutionProvider(cuda_parts.CUDA_PROVIDER, f"cuda:{device}", options, demanded)


def silence() -> None:
    """Let ONNX Runtime log nothing by itself: what matters is raised, and told by whoever catches it."""
    ort.set_default_logger_severity(_FATAL_ONLY)


def available_providers() -> list[str]:
    """Return the names of the execution providers that this ONNX Runtime was built with."""
    names: list[str] = ort.get_available_providers()
    return names


def installed_wheels() -> list[str]:
    """Return the ONNX Runtime wheels that are installed; more than one is a broken installation."""
    found = []
    for name in _WHEELS:
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        found.append(name)
    return found


def open_session(
    graph: bytes,
    provider: ExecutionProvider,
    *,
    threads: int = 1,
    strict: bool = False,
    optimization: str = "all",
) -> Any:  # noqa: ANN401 - ONNX Runtime publishes no types
    """Open an ONNX Runtime session on a graph.

    Args:
        graph: A serialised ModelProto.
        provider: What is to run it.
        threads: Threads within one operator.
        strict: Whether every node must run on the provider itself. Real models keep shape arithmetic and
            strings on the CPU, so only the proof asks for it.
        optimization: How far the graph is rewritten first; one of `OPTIMIZATIONS`.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = OPTIMIZATIONS[optimization]
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if provider.name != CPU.name:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return ort.InferenceSession(graph, options, providers=[(provider.name, dict(provider.options))])


def _failure_of(provider: ExecutionProvider) -> ExecutionProviderError | None:
    try:
        prove(provider)
    except ExecutionProviderError as error:
        return error
    return None


def prove(provider: ExecutionProvider) -> None:
    """Run a tiny model on a provider.

    Raises:
        ExecutionProviderError: It cannot be; the message says what is missing and what to install.
    """
    wheels = installed_wheels()
    if len(wheels) > 1 and provider.name != CPU.name:
        raise ExecutionProviderError(
            f"{' and '.join(wheels)} are installed side by side and overwrite each other; "
            f"{cuda_parts.INSTALL}; {_OTHERWISE}"
        )
    if provider.name not in available_providers():
        raise _lacking(provider, f"this ONNX Runtime has no {provider.name}")
    cuda_parts.preload()
    try:
        session = open_session(_tiny_graph(), provider, strict=provider.name != CPU.name)
        (result,) = session.run(None, {"x": np.array([1.0, 2.0], np.float32)})
    except ORT_ERRORS as error:
        raise _lacking(provider, describe(error)) from error
    if session.get_providers()[0] != provider.name or result.tolist() != [2.0, 4.0]:
        raise _lacking(provider, "it did not run a tiny model as it should")


def _lacking(provider: ExecutionProvider, told: str) -> ExecutionProviderError:
    """Name the missing part where one is; only ONNX Runtime's own words where all are there."""
    lacks = ""
    if provider.name == cuda_parts.CUDA_PROVIDER:
        lacks = cuda_parts.missing([int(provider.options["device_id"])])
    return ExecutionProviderError(f"{provider.name} does not work: {lacks or told}; {_OTHERWISE}")


def _tiny_graph() -> bytes:
    vector = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "tiny", vector[:1], vector[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
