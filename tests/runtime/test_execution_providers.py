from __future__ import annotations

import logging

import numpy as np
import onnxruntime as ort
import pytest

from reference_server.runtime import execution_providers
from reference_server.runtime.execution_providers import (
    CPU,
    ExecutionProviderError,
    Providers,
    cuda,
    installed_wheels,
    open_session,
)

HAS_CUDA = "CUDAExecutionProvider" in ort.get_available_providers()
needs_cpu_wheel = pytest.mark.skipif(HAS_CUDA, reason="the GPU wheel is installed")


@pytest.fixture
def second_wheel(tmp_path, monkeypatch):
    """Make Python believe that the GPU wheel is installed beside the plain one."""
    info = tmp_path / "onnxruntime_gpu-1.25.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.25.0\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_cpu_is_taken_as_it_is():
    """The CPU needs no proof."""
    assert Providers("cpu")("auto") is CPU
    assert CPU.device == "cpu"


@needs_cpu_wheel
def test_auto_settles_for_the_cpu_and_says_why(caplog):
    """Without CUDA `auto` runs on the CPU; the log tells what is missing."""
    caplog.set_level(logging.INFO)
    assert Providers("auto")("auto") is CPU
    assert "models run on the CPU: CUDAExecutionProvider does not work" in caplog.text
    assert "without CUDAExecutionProvider" in caplog.text
    assert [record.levelname for record in caplog.records] == ["INFO"]


@needs_cpu_wheel
def test_a_demand_for_cuda_never_falls_back():
    """`cuda` without CUDA is an error that says what to install."""
    with pytest.raises(ExecutionProviderError, match=r"maas-client\[server-gpu\]"):
        Providers("cuda")("auto")


@pytest.mark.usefixtures("second_wheel")
@needs_cpu_wheel
def test_wheels_side_by_side_are_found(caplog):
    """Both wheels at once overwrite each other: an error for `cuda`, a warning for `auto`."""
    assert installed_wheels() == ["onnxruntime", "onnxruntime-gpu"]
    with pytest.raises(
        ExecutionProviderError, match="onnxruntime and onnxruntime-gpu are installed side by side"
    ):
        Providers("cuda")("auto")
    assert Providers("auto")("auto") is CPU
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@needs_cpu_wheel
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_onnx_runtimes_own_fallback_is_seen_through(monkeypatch):
    """Where ONNX Runtime promises CUDA and quietly takes the CPU, the tiny model gives it away."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(ExecutionProviderError, match="CUDAExecutionProvider"):
        Providers("cuda")("auto")


def test_the_tiny_model_computes_on_the_cpu():
    """The graph of the proof is sound: it doubles its input."""
    session = open_session(execution_providers._tiny_graph(), CPU)
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert session.run(None, {"x": np.array([1, 2], np.float32)})[0].tolist() == [2, 4]


@needs_cpu_wheel
def test_a_model_that_demands_cuda_is_not_run_elsewhere():
    """The manifest's own demand holds where the server itself settled for the CPU."""
    providers = Providers("auto")
    assert providers("cpu") is CPU
    with pytest.raises(ExecutionProviderError, match="CUDAExecutionProvider"):
        providers("cuda")


def test_the_limit_of_gpu_memory_reaches_the_arena(monkeypatch):
    """Every session gets it; without one there is no limit."""
    monkeypatch.setattr(execution_providers, "prove", lambda provider: None)
    limited = Providers("cuda", gpu_memory_bytes=2**30)("auto")
    assert limited.options["gpu_mem_limit"] == str(2**30)
    assert limited.options["arena_extend_strategy"] == "kSameAsRequested"
    assert "gpu_mem_limit" not in cuda(0).options


def test_several_gpus_take_turns(monkeypatch):
    """Models are loaded on each in turn, after a proof on each."""
    proven = []
    monkeypatch.setattr(execution_providers, "prove", lambda provider: proven.append(provider.device))
    providers = Providers("cuda", devices=[0, 2])
    assert proven == ["cuda:0", "cuda:2"]
    assert [providers("auto").device for _ in range(3)] == ["cuda:0", "cuda:2", "cuda:0"]
