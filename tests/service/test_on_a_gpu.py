"""A whole server that demands CUDA: on a card it says so in its replies, without one it does not start."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from reference_server.runtime.cuda_parts import CUDA_PROVIDER


@pytest.fixture
def doubler(onnx_model, package_writer):
    """Return the folder of a package that doubles a row of four numbers."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    graph = onnx_model([helper.make_node("Add", ["x", "x"], ["y"])], ends[:1], ends[1:])
    return package_writer(graph, task="tensor", labels=(), example={"x": [1.0, 2.0, 3.0, 4.0]})


@pytest.mark.skipif(CUDA_PROVIDER in ort.get_available_providers(), reason="the GPU wheel is installed")
def test_a_demand_for_cuda_fails_at_start_and_says_what_is_missing(launch, tmp_path):
    """The process ends with 1 and names the part, instead of running on the CPU."""
    process = launch("--provider", "cuda")
    assert process.wait(60) == 1
    output = (tmp_path / "server" / "out.txt").read_text()
    assert "without CUDAExecutionProvider" in output
    assert "maas-client[server-gpu]" in output
    assert "Traceback" not in output


@pytest.mark.usefixtures("gpu")
def test_replies_name_the_gpu_that_ran_them(serve, doubler):
    """Alone and many at once, as JSON and as tensors."""
    with serve("--provider", "cuda") as server, server.account("ada") as client:
        client.models.publish(doubler, name="doubler")
        result = client.predict("doubler", x=[1.0, 2.0, 3.0, 4.0])
        assert result.device == "cuda:0"

        def double(number):
            row = np.full((1, 4), number, np.float32)
            return client.model("doubler").infer({"x": row})["y"].tolist() == [[2.0 * number] * 4]

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(double, range(200)))


@pytest.mark.usefixtures("gpu")
def test_a_model_may_ask_for_the_cpu_on_a_gpu_server(serve, onnx_model, package_writer):
    """The manifest's wish holds for its model alone."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in "xy"]
    graph = onnx_model([helper.make_node("Neg", ["x"], ["y"])], ends[:1], ends[1:])
    package = package_writer(
        graph, task="tensor", labels=(), example={"x": [1.0]}, serving={"provider": "cpu"}
    )
    with serve("--provider", "auto") as server, server.account("ada") as client:
        client.models.publish(package, name="negative")
        assert client.predict("negative", x=[1.0]).device == "cpu"
