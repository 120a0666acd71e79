"""What is promised of CUDA, on a real card; without one each test skips and says what is missing."""

import ctypes
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from reference_server import doctor
from reference_server.errors import DeadlineExceeded, Unprocessable
from reference_server.runtime.cuda_parts import driver, examine, runtime_library
from reference_server.runtime.execution_providers import CPU, ExecutionProviderError, Providers, cuda
from reference_server.runtime.pinned_memory import CudaHostMemory, Staging, staging_for
from reference_server.runtime.sessions import OnnxRunner
from reference_server.settings import Settings

pytestmark = pytest.mark.usefixtures("gpu")

NO_SUCH_GPU = 63


def _info(name, kind=TensorProto.FLOAT, shape=("n",)):
    return helper.make_tensor_value_info(name, kind, list(shape))


@pytest.fixture
def layers(onnx_model):
    """Return the bytes of a graph of some layers, `x` [n, 256] → `y` [n, 64] and `sums` [n]."""
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array((random.standard_normal(shape) / 16).astype(np.float32), name)
        for name, shape in (("w", (256, 512)), ("v", (512, 64)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["kept"]),
        helper.make_node("MatMul", ["kept", "v"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"]),
        helper.make_node("ReduceMean", ["kept"], ["sums"], axes=[1], keepdims=0),
    ]
    outputs = [_info("y", shape=["n", 64]), _info("sums")]
    return onnx_model(nodes, [_info("x", shape=["n", 256])], outputs, weights).SerializeToString()


@pytest.fixture
def texts_only(text_graph):
    """Return the bytes of a graph of which no node can run on a GPU."""
    model = text_graph()
    del model.graph.node[1:]
    del model.graph.initializer[0]
    del model.graph.output[:]
    model.graph.output.append(_info("texts", TensorProto.STRING))
    return model.SerializeToString()


def test_each_setting_gets_what_it_says(gpu):
    """`auto` takes the GPU without demanding it, `cuda` demands it, `cpu` leaves it alone."""
    assert Providers("auto")("auto") == gpu
    assert Providers("cuda")("auto") == cuda(0, demanded=True)
    assert Providers("cpu")("auto") is CPU
    assert Providers("cpu")("cuda") == cuda(0, demanded=True)
    assert not any(part.is_missing for part in examine([0]))


def test_a_gpu_that_is_not_there_is_named():
    """A demand for it fails at start, although another GPU works; `auto` takes the CPU."""
    with pytest.raises(ExecutionProviderError, match=f"shows no GPU {NO_SUCH_GPU}"):
        Providers("cuda", devices=[0, NO_SUCH_GPU])
    assert Providers("auto", devices=[0, NO_SUCH_GPU])("auto") is CPU


def test_a_graph_that_no_gpu_can_run_is_refused_on_demand(texts_only):
    """Under a demand the CPU is no answer; without one it is, and says so."""
    with pytest.raises(Unprocessable, match="can run no node"):
        OnnxRunner(texts_only, provider=cuda(0, demanded=True))
    assert OnnxRunner(texts_only, provider=cuda(0)).device == "cpu"


@pytest.mark.parametrize("rows", [1, 7, 512, 40_000])
def test_bound_runs_give_what_the_cpu_gives(layers, gpu, rows):
    """Within what another order of additions and TF32 may move, at every size up to 40 MB."""
    x = np.random.default_rng(1).standard_normal((rows, 256)).astype(np.float32)
    runner = OnnxRunner(layers, provider=gpu)
    assert runner.device == "cuda:0"
    there, here = runner.run({"x": x}), OnnxRunner(layers, provider=CPU).run({"x": x})
    for name, expected in here.items():
        assert there[name].shape == expected.shape
        np.testing.assert_allclose(there[name], expected, rtol=1e-2, atol=1e-3)
    assert staging_for(0).kept_bytes >= x.nbytes


def test_bound_runs_give_what_plain_runs_on_the_same_card_give(layers, gpu):
    """The way in and out changes no bit."""
    x = np.random.default_rng(1).standard_normal((64, 256)).astype(np.float32)
    runner = OnnxRunner(layers, provider=gpu)
    plain = runner._session.run(["y", "sums"], {"x": x})
    for _ in range(20):
        for one, other in zip(runner.run({"x": x}).values(), plain, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int32, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_numeric_types_come_through(onnx_model, gpu, kind, rows):
    """Bit for bit, empty arrays too."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    ends = [_info("x", element, ["n", 3]), _info("y", element, [3, "n"])]
    node = helper.make_node("Transpose", ["x"], ["y"])
    runner = OnnxRunner(onnx_model([node], ends[:1], ends[1:]).SerializeToString(), provider=gpu)
    x = np.random.default_rng(0).integers(0, 2, (rows, 3)).astype(kind)
    np.testing.assert_array_equal(runner.run({"x": x})["y"], x.T)


def test_strings_keep_their_own_way(text_graph, gpu):
    """A graph with text inside and arithmetic behind it runs on both, and counts as the GPU's."""
    runner = OnnxRunner(text_graph().SerializeToString(), provider=gpu)
    texts = {"text": np.array(["good and great", "dull"], object)}
    assert runner.device == "cuda:0"
    expected = OnnxRunner(text_graph().SerializeToString(), provider=CPU).run(texts)
    np.testing.assert_allclose(runner.run(texts)["scores"], expected["scores"], rtol=1e-2, atol=1e-3)


def test_staging_memory_is_page_locked():
    """CUDA itself knows the block as its own host memory, and ordinary memory as none of it."""
    library, flags = ctypes.CDLL(runtime_library()), ctypes.c_uint()
    with Staging(CudaHostMemory(0)).lend(2**20) as block:
        block[:] = 7
        asked = library.cudaHostGetFlags(ctypes.byref(flags), ctypes.c_void_p(block.ctypes.data))
        assert asked == 0
        ordinary = np.zeros(2**20, np.uint8)
        assert library.cudaHostGetFlags(ctypes.byref(flags), ctypes.c_void_p(ordinary.ctypes.data)) != 0
    library.cudaGetLastError()  # the expected failure is sticky until it is read


def test_several_lanes_share_one_card(layers, gpu):
    """Runs at once do not mix, and each is what it is alone."""
    runner = OnnxRunner(layers, provider=gpu)
    rows = [np.random.default_rng(seed).standard_normal((32, 256)).astype(np.float32) for seed in range(8)]
    alone = [runner.run({"x": x})["y"] for x in rows]
    wrong = []

    def work(number):
        results = [runner.run({"x": rows[number]})["y"] for _ in range(50)]
        if not all(np.allclose(each, alone[number], rtol=1e-4, atol=1e-6) for each in results):
            wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_run_on_the_card_ends_at_its_deadline(onnx_model, gpu):
    """It stops at a node, and the session computes whole results afterwards."""
    names = ["x", *(f"m{step}" for step in range(20_000))]
    nodes = [helper.make_node("MatMul", [a, "x"], [b]) for a, b in pairwise(names)]
    square = ["n", "n"]
    model = onnx_model(nodes, [_info("x", shape=square)], [_info(names[-1], shape=square)])
    runner = OnnxRunner(model.SerializeToString(), provider=gpu)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        runner.run({"x": np.eye(2000, dtype=np.float32)}, deadline=started + 0.05)
    assert time.monotonic() - started < 10
    assert (runner.run({"x": np.eye(3, dtype=np.float32)})[names[-1]] == np.eye(3)).all()


def test_a_model_stays_within_its_gpu_memory(onnx_model):
    """A run that needs more than the limit fails with the reason; a smaller one is computed."""
    nodes = [helper.make_node("Relu", ["x"], ["mid"]), helper.make_node("Exp", ["mid"], ["y"])]
    model = onnx_model(nodes, [_info("x")], [_info("y")]).SerializeToString()
    runner = OnnxRunner(model, provider=cuda(0, memory_bytes=2**25))
    with pytest.raises(Unprocessable, match="cannot compute"):
        runner.run({"x": np.zeros(2**25, np.float32)})
    assert (runner.run({"x": np.zeros(100, np.float32)})["y"] == 1).all()


def test_several_cards_take_turns(layers):
    """Models go to each in turn, run there, and agree."""
    count = len(driver().devices)
    if count < 2:
        pytest.skip("needs two GPUs, and there is one")
    providers = Providers("cuda", devices=list(range(count)))
    runners = [OnnxRunner(layers, provider=providers("auto")) for _ in range(count + 1)]
    assert [runner.device for runner in runners] == [*(f"cuda:{number}" for number in range(count)), "cuda:0"]
    x = np.ones((3, 256), np.float32)
    first, *others = [runner.run({"x": x})["y"] for runner in runners]
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-2, atol=1e-3)


def test_the_doctor_finds_a_whole_set_up(tmp_path):
    """With a card every part of CUDA is there, and the proof runs on it."""
    settings = Settings(provider="cuda", data_dir=tmp_path, port=0)
    checks = {finding.check: finding for finding in doctor.examine(settings)}
    assert checks["run on cuda:0"].state == "ok"
    assert not [finding for finding in checks.values() if finding.state == "fail"]
