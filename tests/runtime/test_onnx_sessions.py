from __future__ import annotations

import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper

from reference_server.errors import DeadlineExceeded, Unavailable, Unprocessable
from reference_server.runtime.execution_providers import CPU, ExecutionProvider
from reference_server.runtime.sessions import OnnxRunner, _device

VECTOR = ["n"]


def _info(name, kind=TensorProto.FLOAT, shape=VECTOR):
    return helper.make_tensor_value_info(name, kind, shape)


def _runner(model):
    return OnnxRunner(model.SerializeToString(), provider=CPU)


@pytest.fixture
def doubling(onnx_model):
    """Return a runner with the outputs `double` = x + x and `square` = x · x."""
    nodes = [helper.make_node("Add", ["x", "x"], ["double"]), helper.make_node("Mul", ["x", "x"], ["square"])]
    return _runner(onnx_model(nodes, [_info("x")], [_info("double"), _info("square")]))


@pytest.fixture
def slow(onnx_model):
    """Return a runner that multiplies matrices two thousand times, node by node: many seconds of work."""
    names = ["x", *(f"m{step}" for step in range(2000))]
    nodes = [helper.make_node("MatMul", [a, "x"], [b]) for a, b in pairwise(names)]
    square = ["n", "n"]
    return _runner(onnx_model(nodes, [_info("x", shape=square)], [_info(names[-1], shape=square)]))


def test_all_outputs_come_back_by_name(doubling):
    """Without a wish every output of the graph is computed."""
    results = doubling.run({"x": np.array([3], np.float32)})
    assert {name: tensor.tolist() for name, tensor in results.items()} == {"double": [6], "square": [9]}


def test_chosen_outputs_come_back_alone(doubling):
    """A wish is obeyed."""
    assert list(doubling.run({"x": np.array([3], np.float32)}, outputs=["square"])) == ["square"]


def test_what_ran_is_told(doubling):
    """A CPU runner says so, and that its rows do not depend on each other."""
    assert doubling.device == "cpu"
    assert doubling.batch_invariant


@pytest.mark.parametrize(
    ("kind", "datatype"),
    [
        (TensorProto.BOOL, "BOOL"),
        (TensorProto.UINT8, "UINT8"),
        (TensorProto.UINT16, "UINT16"),
        (TensorProto.UINT32, "UINT32"),
        (TensorProto.UINT64, "UINT64"),
        (TensorProto.INT8, "INT8"),
        (TensorProto.INT16, "INT16"),
        (TensorProto.INT32, "INT32"),
        (TensorProto.INT64, "INT64"),
        (TensorProto.FLOAT16, "FP16"),
        (TensorProto.BFLOAT16, "BF16"),
        (TensorProto.FLOAT, "FP32"),
        (TensorProto.DOUBLE, "FP64"),
        (TensorProto.STRING, "BYTES"),
    ],
)
def test_signatures_use_open_inference_datatypes(onnx_model, kind, datatype):
    """Every element type has its Open Inference name; dimensions that vary are -1."""
    ends = [_info("x", kind, ["n", 3]), _info("y", kind, ["n", 3])]
    loaded = _runner(onnx_model([helper.make_node("Identity", ["x"], ["y"])], ends[:1], ends[1:]))
    (spec,) = loaded.tensors.inputs
    assert (spec.name, spec.datatype, spec.shape) == ("x", datatype, [-1, 3])
    assert loaded.tensors.outputs[0].shape == [-1, 3]


def test_outputs_that_are_no_tensors_are_refused(onnx_model):
    """A sequence has no Open Inference datatype; the message says how to export it."""
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    with pytest.raises(Unprocessable, match="export plain tensors") as caught:
        _runner(onnx_model([node], [_info("x")], [output]))
    assert caught.value.code == "model_rejected"


def test_a_graph_that_cannot_be_loaded_is_refused(onnx_model):
    """ONNX Runtime's reason comes along, without its status prefix."""
    with pytest.raises(Unprocessable, match="cannot load the graph") as caught:
        _runner(onnx_model([helper.make_node("NoSuchOperator", ["x"], ["y"])], [_info("x")], [_info("y")]))
    assert "NoSuchOperator" in caught.value.message
    assert "[ONNXRuntimeError]" not in caught.value.message


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"z": np.zeros(1, np.float32)},
        {"x": np.zeros(1, np.float64)},
        {"x": np.zeros((1, 1), np.float32)},
    ],
)
def test_inputs_that_do_not_fit_are_unprocessable(doubling, inputs):
    """Missing, unknown, of another type or rank: the caller's fault, never a server error."""
    with pytest.raises(Unprocessable) as caught:
        doubling.run(inputs)
    assert caught.value.code == "model_failed"


def test_a_failure_within_the_graph_is_unprocessable(onnx_model):
    """An index out of bounds is told in one line."""
    nodes = [helper.make_node("Gather", ["x", "i"], ["y"])]
    loaded = _runner(onnx_model(nodes, [_info("x"), _info("i", TensorProto.INT64)], [_info("y")]))
    with pytest.raises(Unprocessable, match="cannot compute this input") as caught:
        loaded.run({"x": np.zeros(2, np.float32), "i": np.array([7])})
    assert "\n" not in caught.value.message


def test_strings_keep_nul_characters_and_all_of_unicode(onnx_model):
    """Strings go through the runtime unharmed, NUL included."""
    ends = [_info("x", TensorProto.STRING), _info("y", TensorProto.STRING)]
    loaded = _runner(onnx_model([helper.make_node("Identity", ["x"], ["y"])], ends[:1], ends[1:]))
    texts = ["a\0b", "\0", "", "a\0", "😀é中"]
    assert loaded.run({"x": np.array(texts, dtype=object)})["y"].tolist() == texts


def test_a_run_ends_soon_after_its_deadline(slow):
    """The graph stops at its next node and the caller gets DeadlineExceeded."""
    matrix = np.eye(400, dtype=np.float32)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        slow.run({"x": matrix}, deadline=started + 0.03)
    assert time.monotonic() - started < 2


def test_a_passed_deadline_runs_nothing(slow):
    """Work that is already late is not begun."""
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        slow.run({"x": np.eye(400, dtype=np.float32)}, deadline=started)
    assert time.monotonic() - started < 0.5


def test_one_runs_deadline_does_not_end_another(doubling, slow):
    """Termination is each run's own."""
    with pytest.raises(DeadlineExceeded):
        slow.run({"x": np.eye(400, dtype=np.float32)}, deadline=time.monotonic() + 0.02)
    assert slow.run({"x": np.eye(1, dtype=np.float32)}, deadline=time.monotonic() + 60)
    assert doubling.run({"x": np.array([1], np.float32)}, deadline=time.monotonic() + 60)


def test_runs_from_many_threads_do_not_mix(doubling):
    """One session serves several threads at once."""
    results = {}

    def work(value):
        for _ in range(50):
            results[value] = doubling.run({"x": np.full(100, value, np.float32)})["double"]

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((results[value] == 2 * value).all() for value in range(4))


def test_a_closed_runner_asks_for_a_repeat(doubling):
    """After close the answer is 503 with a time to wait."""
    doubling.close()
    with pytest.raises(Unavailable) as caught:
        doubling.run({"x": np.zeros(1, np.float32)})
    assert caught.value.retry_after == 1


class Part:
    """Stands in for a part of a graph that was given to a provider."""

    def __init__(self, ep_name):
        self.ep_name = ep_name


class Session:
    """Stands in for a session with nodes on several providers."""

    def __init__(self, *names):
        self._names = names

    def get_provider_graph_assignment_info(self):
        """Return one part per provider."""
        return [Part(name) for name in self._names]


CUDA = ExecutionProvider("CUDAExecutionProvider", "cuda:0")


def test_the_device_is_where_nodes_really_run():
    """A graph with some nodes on the GPU runs there; one with none runs on the CPU and says so."""
    assert _device(Session("CPUExecutionProvider", "CUDAExecutionProvider"), CUDA) == "cuda:0"
    assert _device(Session("CPUExecutionProvider"), CUDA) == "cpu"


def test_a_demanded_gpu_that_runs_nothing_is_refused():
    """Under a demand the CPU is no answer."""
    demanded = ExecutionProvider("CUDAExecutionProvider", "cuda:0", demanded=True)
    with pytest.raises(Unprocessable, match="was demanded"):
        _device(Session("CPUExecutionProvider"), demanded)
