from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from maas_client._package import open_package
from maas_client.errors import PackageError
from reference_server.errors import Unavailable
from reference_server.runtime.execution_providers import CPU
from reference_server.runtime.memory import give_back_memory
from reference_server.runtime.pool import Loadable, ModelPool, State, estimate_memory

MEGABYTE = 2**20


class Source:
    """Opens a package, counts how often, and may be held up or broken."""

    def __init__(self, folder):
        self.folder = folder
        self.opened = 0
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.error = None

    @contextmanager
    def __call__(self):
        """Open the package, or fail as it was told to."""
        self.opened += 1
        self.entered.set()
        assert self.gate.wait(10)
        if self.error:
            raise self.error
        with open_package(self.folder) as package:
            yield package


@pytest.fixture
def source(text_package):
    """Return a source of the small text classifier."""
    return Source(text_package)


@pytest.fixture
def make_pool():
    """Return a maker of pools that are closed at the end."""
    pools = []

    def make(**options):
        pools.append(ModelPool(providers=lambda _: CPU, **{"memory_budget_bytes": 64 * MEGABYTE, **options}))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def get(pool, digest, source):
    return pool.get(Loadable(digest, source))


def _in_thread(function):
    results = []

    def work():
        try:
            results.append(function())
        except Unavailable as error:
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, results


def _classify(model, text="good"):
    return model.task.encode(model.task.predict(model.task.decode([{"text": text}], {})))[0]["label"]


def test_a_model_is_loaded_once_and_works(make_pool, source):
    """The second call gets the first one's model, warmed up and measured."""
    pool = make_pool()
    model = get(pool, "a", source)
    assert get(pool, "a", source) is model
    assert source.opened == 1
    assert _classify(model) == "positive"
    assert 0 < model.compute_ms < 1000
    assert model.runner.device == "cpu"


def test_callers_at_once_share_one_load(make_pool, source):
    """While one loads, the others wait for its result."""
    pool = make_pool()
    source.gate.clear()
    callers = [_in_thread(lambda: get(pool, "a", source)) for _ in range(5)]
    assert source.entered.wait(5)
    source.gate.set()
    for thread, _ in callers:
        thread.join(10)
    assert source.opened == 1
    assert len({id(results[0]) for _, results in callers}) == 1


def test_waiting_for_a_load_is_bounded(make_pool, source):
    """A slow load gives callers 503 with a time to wait, and goes on."""
    pool = make_pool(wait_seconds=0.01)
    source.gate.clear()
    loading = pool.load(Loadable("a", source))
    assert pool.state("a") == (State.LOADING, "")
    with pytest.raises(Unavailable) as caught:
        get(pool, "a", source)
    assert (caught.value.code, caught.value.retry_after) == ("model_loading", 1)
    source.gate.set()
    assert get(make_pool(), "a", source) is not loading.result(10)
    assert get(pool, "a", source) is loading.result(10)
    assert pool.state("a") == (State.READY, "")


def test_states_tell_where_a_model_is(make_pool, source):
    """Not in memory at first and after a drop; failed, with the reason, when it could not be loaded."""
    pool = make_pool(failure_seconds=0)
    assert pool.state("a") == (State.UNLOADED, "")
    source.error = PackageError("the zip is damaged")
    with pytest.raises(Unavailable):
        get(pool, "a", source)
    state, reason = pool.state("a")
    assert state == State.FAILED
    assert "the zip is damaged" in reason
    source.error = None
    get(pool, "a", source)
    assert pool.drop("a")
    assert not pool.drop("a")
    assert pool.state("a") == (State.UNLOADED, "")


def test_other_models_load_meanwhile(make_pool, source, text_package):
    """A load under way holds up nobody else."""
    pool = make_pool()
    source.gate.clear()
    thread, _ = _in_thread(lambda: get(pool, "a", source))
    assert source.entered.wait(5)
    assert get(pool, "b", Source(text_package))
    source.gate.set()
    thread.join(10)


def test_the_least_recently_used_model_is_dropped(make_pool, source):
    """Within the budget the one that was used longest ago gives way."""
    with open_package(source.folder) as package:
        size = estimate_memory(package)
    pool = make_pool(memory_budget_bytes=2 * size)
    for digest in ("a", "b", "a", "c"):
        get(pool, digest, source)
    assert source.opened == 3
    get(pool, "a", source)
    assert source.opened == 3
    get(pool, "b", source)
    assert source.opened == 4


def test_a_dropped_model_lives_as_long_as_it_is_used(make_pool, source):
    """Whoever holds a model may go on running it; afterwards its memory is freed."""
    with open_package(source.folder) as package:
        pool = make_pool(memory_budget_bytes=estimate_memory(package))
    held = get(pool, "a", source)
    gone = weakref.ref(held.runner)
    get(pool, "b", source)
    assert _classify(held, "awful") == "negative"
    del held
    gc.collect()
    assert gone() is None


def test_a_model_beyond_the_whole_budget_is_refused(make_pool, source):
    """It would never fit: the message says what the operator can do, and no retry is advised."""
    with pytest.raises(Unavailable, match="memory_budget_bytes") as caught:
        get(make_pool(memory_budget_bytes=MEGABYTE), "a", source)
    assert (caught.value.code, caught.value.should_retry) == ("model_too_large", False)


def test_a_failed_load_is_neither_hammered_nor_kept(make_pool, source):
    """For a moment the failure is repeated without another try; then loading is tried again."""
    pool = make_pool(failure_seconds=60)
    source.error = PackageError("the zip is damaged")
    for _ in range(3):
        with pytest.raises(Unavailable, match="the zip is damaged") as caught:
            get(pool, "a", source)
        assert caught.value.code == "model_unavailable"
    assert source.opened == 1
    source.error = None
    impatient = make_pool(failure_seconds=0)
    source.error = PackageError("the zip is damaged")
    with pytest.raises(Unavailable):
        get(impatient, "a", source)
    source.error = None
    assert get(impatient, "a", source)


def test_waiters_learn_of_a_failed_load(make_pool, source):
    """Whoever waited gets the same answer, as an exception of its own."""
    pool = make_pool()
    source.gate.clear()
    source.error = PackageError("the zip is damaged")
    callers = [_in_thread(lambda: get(pool, "a", source)) for _ in range(3)]
    assert source.entered.wait(5)
    source.gate.set()
    for thread, _ in callers:
        thread.join(10)
    errors = [results[0] for _, results in callers]
    assert {error.code for error in errors} == {"model_unavailable"}
    assert len({id(error) for error in errors}) == 3


def test_a_storage_failure_is_not_blamed_on_the_model(make_pool, source, caplog):
    """Callers are asked to repeat; what the store raised is in the log, whole."""
    pool = make_pool()
    source.error = OSError("the disk is gone")
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            get(pool, "a", source)
        assert caught.value.retry_after == 1
    assert "the disk is gone" in caplog.text


def test_a_closed_pool_takes_no_more_calls(make_pool, source):
    """After close there is nothing to get, and what was got still runs."""
    pool = make_pool()
    model = get(pool, "a", source)
    pool.close()
    assert _classify(model) == "positive"
    with pytest.raises(Unavailable):
        get(pool, "a", source)


def test_a_hundred_callers_at_once_make_one_load(make_pool, source):
    """All of them get the same model."""
    pool = make_pool()
    source.gate.clear()
    together = threading.Barrier(100)

    def call():
        together.wait(30)
        return get(pool, "a", source)

    callers = [_in_thread(call) for _ in range(100)]
    assert source.entered.wait(30)
    source.gate.set()
    for thread, _ in callers:
        thread.join(30)
    assert source.opened == 1
    assert len({id(results[0]) for _, results in callers}) == 1
    assert pool.counts.now()["", 0, "cpu"].loads == 1


def test_a_model_in_use_finishes_its_run_when_it_has_to_give_way(make_pool, source, monkeypatch):
    """The pool makes room at once; who runs the model notices nothing."""
    with open_package(source.folder) as package:
        pool = make_pool(memory_budget_bytes=estimate_memory(package))
    held = get(pool, "a", source)
    running, may_end = threading.Event(), threading.Event()
    run = held.runner.run

    def slow(*arguments, **options):
        running.set()
        assert may_end.wait(10)
        return run(*arguments, **options)

    monkeypatch.setattr(held.runner, "run", slow)
    thread, results = _in_thread(lambda: _classify(held, "awful"))
    assert running.wait(10)
    get(pool, "b", source)
    assert pool.state("a") == (State.UNLOADED, "")
    may_end.set()
    thread.join(10)
    assert results == ["negative"]


def test_loads_failures_and_evictions_are_counted(make_pool, source):
    """By what a model is published as, and the device; a failure is repeated without being counted again."""
    with open_package(source.folder) as package:
        pool = make_pool(memory_budget_bytes=estimate_memory(package))
    for digest in ("a", "b", "a"):
        pool.get(Loadable(digest, source, published_as=(f"ada~{digest}", 1)))
    source.error = PackageError("the zip is damaged")
    for _ in range(5):
        with pytest.raises(Unavailable):
            pool.get(Loadable("c", source, published_as=("ada~c", 2)))
    counts = pool.counts.now()
    assert (counts["ada~a", 1, "cpu"].loads, counts["ada~a", 1, "cpu"].evictions) == (2, 1)
    assert (counts["ada~b", 1, "cpu"].loads, counts["ada~b", 1, "cpu"].evictions) == (1, 1)
    assert counts["ada~a", 1, "cpu"].seconds > 0
    assert counts["ada~c", 2, ""].failures == 1
    assert source.opened == 4


def heavy_graph(onnx_model):
    """Return a graph of 40 matrices of 0.6 MB each, as an encoder's are: `x`, `y` [batch, 384]."""
    size = 384
    weights = [
        numpy_helper.from_array(np.full((size, size), i / size**2, np.float32), f"w{i}") for i in range(40)
    ]
    names = ["x", *(f"v{i}" for i in range(len(weights) - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(len(weights))]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name in ("x", "y")]
    return onnx_model(nodes, sides[:1], sides[1:], weights)


# In a process of its own, where nothing else comes and goes.
COMING_AND_GOING = """
import sys
from pathlib import Path
import psutil
from maas_client._package import open_package
from reference_server.runtime.execution_providers import CPU
from reference_server.runtime.pool import Loadable, ModelPool

def come_and_go(times):
    pool = ModelPool(providers=lambda _: CPU, memory_budget_bytes=2**30)
    for _ in range(times):
        pool.get(Loadable("heavy", lambda: open_package(Path(sys.argv[1]))))
        pool.drop("heavy")
    pool.close()  # waits until no loader holds the last one
    return pool

resident = lambda: psutil.Process().memory_info().rss
come_and_go(1).tidy()
settled = resident()
pool = come_and_go(6)
kept = resident() - settled
pool.tidy()
print(kept, resident() - settled)
"""


@pytest.mark.skipif(not give_back_memory(), reason="the allocator has no malloc_trim")
def test_the_memory_of_dropped_models_goes_back(package_writer, onnx_model):
    """After models came and went the process is hardly larger than before."""
    folder = package_writer(heavy_graph(onnx_model), task="tensor", labels=[], example={"x": [0.0] * 384})
    command = [sys.executable, "-c", COMING_AND_GOING, str(folder)]
    kept, grown = map(int, subprocess.check_output(command, text=True, timeout=60).split())
    assert grown < 8 * MEGABYTE < kept
