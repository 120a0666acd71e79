"""Runs by binding give what plain runs give; here on the CPU, whose sessions bind as well."""

import gc
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper

from maas_client.types import TensorSignature, TensorSpec
from reference_server.errors import DeadlineExceeded, Unprocessable
from reference_server.runtime.bound_runs import BoundRuns, can_bind
from reference_server.runtime.execution_providers import CPU
from reference_server.runtime.pinned_memory import Staging
from reference_server.runtime.sessions import OnnxRunner

NUMERIC = [
    np.bool_,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.float16,
    np.float32,
    np.float64,
]


def _info(name, kind=TensorProto.FLOAT, shape=("n",)):
    return helper.make_tensor_value_info(name, kind, list(shape))


@pytest.fixture
def bound():
    """Return what makes a runner that binds, with staging memory of its own, and the plain one beside it."""

    def make(model):
        content = model.SerializeToString()
        runner, plain = OnnxRunner(content, provider=CPU), OnnxRunner(content, provider=CPU)
        runner._run = BoundRuns(runner.tensors, Staging(None))
        return runner, plain

    return make


@pytest.fixture
def sums(onnx_model, bound):
    """Return both runners of a graph of two inputs, `total` = x + z and `product` = x · z."""
    nodes = [helper.make_node("Add", ["x", "z"], ["total"]), helper.make_node("Mul", ["x", "z"], ["product"])]
    return bound(onnx_model(nodes, [_info("x"), _info("z")], [_info("total"), _info("product")]))


@pytest.mark.parametrize("kind", NUMERIC)
@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (1000, 3)])
def test_every_numeric_type_comes_through(onnx_model, bound, kind, shape):
    """Bit for bit as by a plain run, at every size, empty ones too."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    ends = [_info("x", element, ["n", 3]), _info("y", element, ["n", 3])]
    runner, plain = bound(onnx_model([helper.make_node("Identity", ["x"], ["y"])], ends[:1], ends[1:]))
    given = {"x": np.random.default_rng(0).integers(0, 2, shape).astype(kind)}
    result = runner.run(given)["y"]
    assert result.dtype == kind
    np.testing.assert_array_equal(result, plain.run(given)["y"])


def test_scalars_and_strided_arrays_are_laid_out(onnx_model, bound):
    """A tensor without axes and one that is not contiguous go through the same memory."""
    node = helper.make_node("Mul", ["x", "by"], ["y"])
    inputs = [_info("x", shape=["n", "m"]), _info("by", shape=[])]
    runner, _ = bound(onnx_model([node], inputs, [_info("y", shape=["n", "m"])]))
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    result = runner.run({"x": array[::2, ::-1], "by": np.array(2, np.float32)})["y"]
    np.testing.assert_array_equal(result, 2 * array[::2, ::-1])


def test_chosen_outputs_come_back_alone_and_in_order(sums):
    """The wish is obeyed, in its order."""
    runner, plain = sums
    given = {"x": np.arange(5, dtype=np.float32), "z": np.full(5, 3, np.float32)}
    for wish in (["product"], ["total", "product"], ["product", "total"]):
        results = runner.run(given, outputs=wish)
        assert list(results) == wish
        for name, result in plain.run(given, outputs=wish).items():
            np.testing.assert_array_equal(results[name], result)


def test_results_outlive_their_run(sums):
    """A later run in the same memory leaves earlier results alone."""
    runner, _ = sums
    ones = np.ones(10_000, np.float32)
    kept = [runner.run({"x": ones * value, "z": ones})["total"] for value in range(20)]
    gc.collect()
    assert all((result == value + 1).all() for value, result in enumerate(kept))


def test_an_input_handed_on_as_an_output_is_copied(onnx_model, bound):
    """The memory that is lent again is never part of a result."""
    ends = [_info("x"), _info("y")]
    runner, _ = bound(onnx_model([helper.make_node("Neg", ["x"], ["y"])], ends[:1], [*ends[1:], ends[0]]))
    first = runner.run({"x": np.ones(100, np.float32)})
    runner.run({"x": np.zeros(100, np.float32)})
    assert (first["x"] == 1).all()
    assert (first["y"] == -1).all()


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, "missing or unknown: x, z"),
        ({"x": np.zeros(1, np.float32)}, "missing or unknown: z"),
        ({"x": np.zeros(1, np.float32), "z": np.zeros(1, np.float32), "w": np.zeros(1)}, "unknown: w"),
        ({"x": np.zeros(1, np.float32), "z": np.zeros(1, np.float64)}, "data type"),
        ({"x": np.zeros(1, np.float32), "z": np.zeros((1, 1), np.float32)}, "rank"),
        ({"x": np.zeros(1, np.float32), "z": np.array(["text"], object)}, "'z' is of type object"),
        ({"x": np.zeros(2, np.float32), "z": np.zeros(3, np.float32)}, "cannot compute"),
    ],
)
def test_inputs_that_do_not_fit_are_unprocessable(sums, inputs, told):
    """As in a plain run: the caller's fault, never a server error, and told in one line."""
    with pytest.raises(Unprocessable, match=told) as caught:
        sums[0].run(inputs)
    assert caught.value.code == "model_failed"
    assert "Error in execution" not in caught.value.message


def test_an_unknown_output_is_unprocessable(sums):
    """A name that the graph does not have is refused."""
    array = np.zeros(1, np.float32)
    with pytest.raises(Unprocessable, match="nothing"):
        sums[0].run({"x": array, "z": array}, outputs=["nothing"])


def test_a_run_ends_soon_after_its_deadline(onnx_model, bound):
    """The watchdog ends a bound run too, and the next run of the same session is a whole one."""
    names = ["x", *(f"m{step}" for step in range(2000))]
    nodes = [helper.make_node("MatMul", [a, "x"], [b]) for a, b in pairwise(names)]
    square = ["n", "n"]
    runner, _ = bound(onnx_model(nodes, [_info("x", shape=square)], [_info(names[-1], shape=square)]))
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        runner.run({"x": np.eye(400, dtype=np.float32)}, deadline=started + 0.03)
    assert time.monotonic() - started < 2
    assert (runner.run({"x": np.eye(3, dtype=np.float32)})[names[-1]] == np.eye(3)).all()


def test_runs_from_many_threads_do_not_mix(sums):
    """Each run has its own binding and its own memory."""
    runner, _ = sums
    spoilt = []

    def work(value):
        array = np.full(1000, value, np.float32)
        totals = [runner.run({"x": array, "z": array})["total"] for _ in range(100)]
        if not all((total == 2 * value).all() for total in totals):
            spoilt.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not spoilt


@pytest.mark.parametrize("datatype", ["BYTES", "BF16"])
def test_strings_and_bf16_are_not_bound(datatype):
    """They have no place in a binding, wherever in the signature they are."""
    number = TensorSpec(name="n", datatype="FP32", shape=[-1])
    other = TensorSpec(name="t", datatype=datatype, shape=[-1])
    assert can_bind(TensorSignature(inputs=[number], outputs=[number]))
    assert not can_bind(TensorSignature(inputs=[number, other], outputs=[number]))
    assert not can_bind(TensorSignature(inputs=[number], outputs=[number, other]))
