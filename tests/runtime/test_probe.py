from __future__ import annotations

import os
import sys
import time

import psutil
import pytest
from onnx import TensorProto, helper

from maas_client._package import open_package
from reference_server.errors import Unavailable, Unprocessable
from reference_server.runtime import probe_processes
from reference_server.runtime.probe import probe

POSIX = pytest.mark.skipif(os.name != "posix", reason="limits and signals are POSIX's")


def trials():
    """Return the processes that try packages for this one; servers of other tests may run beside them."""
    return [each for each in psutil.Process().children() if each.cmdline()[1:3] == ["-P", "-m"]]


# Each process that starts has to load everything; what differs then, one test below sees.
STARTED = pytest.param(False, id="started", marks=pytest.mark.long)


@pytest.fixture(autouse=True, params=[pytest.param(True, id="forked"), STARTED])
def _each_way(request, monkeypatch):
    """Try packages in forks of a process that waits, and in a process of their own; leave nothing behind."""
    if request.param and sys.platform != "linux":
        pytest.skip("only Linux forks")
    monkeypatch.setattr(probe_processes, "_CAN_FORK", request.param)
    probe_processes.close()
    process = psutil.Process()
    files = process.num_fds() if os.name == "posix" else 0
    yield
    probe_processes.close()
    assert trials() == []
    assert (process.num_fds() if os.name == "posix" else 0) <= files


@pytest.fixture
def bomb(onnx_model):
    """Return a graph of few bytes that asks for 16 GB and needs them for its answer."""
    nodes = [
        helper.make_node(
            "ConstantOfShape",
            ["size"],
            ["ones"],
            value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]),
        ),
        helper.make_node("CumSum", ["ones", "axis"], ["sums"]),
        helper.make_node("Reshape", ["text", "flat"], ["texts"]),
        helper.make_node("Slice", ["sums", "zero", "two"], ["scores"]),
    ]
    return onnx_model(
        nodes,
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["n"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, None])],
        [
            helper.make_tensor("size", TensorProto.INT64, [1], [2**32]),
            helper.make_tensor("axis", TensorProto.INT64, [], [0]),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
            helper.make_tensor("two", TensorProto.INT64, [1], [2]),
        ],
    )


def _refusal(folder, **limits):
    with open_package(folder) as package, pytest.raises(Unprocessable) as caught:
        probe(package, **limits)
    return caught.value


def _runs(pid):
    # Whoever adopts an orphan may take its time to bury it.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def child(monkeypatch, tmp_path):
    """Return a function that puts other code in the place of the trial."""

    def replace(*lines):
        code = "\n    ".join(("def inspect(memory_bytes, key):", *lines))
        (tmp_path / "stand_in.py").write_text(
            f"from reference_server.runtime import probe_child\n{code}\n"
            "probe_child.inspect = inspect\nprobe_child.main()\n"
        )
        monkeypatch.setattr(probe_processes, "_CHILD", "stand_in")
        monkeypatch.syspath_prepend(tmp_path)

    return replace


def test_a_good_package_is_inspected(text_package):
    """Both signatures come back as the wire knows them."""
    with open_package(text_package) as package:
        inspection = probe(package)
    assert [spec.name for spec in inspection.signature.inputs] == ["text"]
    assert [(spec.datatype, spec.shape) for spec in inspection.tensors.outputs] == [("FP32", [-1, 2])]


@POSIX
def test_where_nothing_forks_each_package_has_a_process_of_its_own(text_package, child, monkeypatch):
    """It ends with its answer, and a crash of it is a refusal there too."""
    monkeypatch.setattr(probe_processes, "_CAN_FORK", False)
    with open_package(text_package) as package:
        assert probe(package).batch_invariant
    assert trials() == []
    child("import os", "os.abort()")
    assert "SIGABRT" in _refusal(text_package).message


def test_a_zip_is_inspected_like_a_folder(token_package, tmp_path):
    """What is probed is the package's contents, however they are stored."""
    from maas_client._package import write_zip

    with open_package(token_package) as package, (tmp_path / "package.zip").open("wb") as target:
        write_zip(package, target)
    with open_package(tmp_path / "package.zip") as package:
        assert [spec.name for spec in probe(package).tensors.inputs] == ["input_ids", "attention_mask"]


def test_an_example_that_does_not_run_is_refused(package_writer, text_graph):
    """The manifest's own example must pass the task's checks."""
    error = _refusal(package_writer(text_graph(), preprocessing={"max_characters": 3}))
    assert (error.code, error.param) == ("model_rejected", "example")
    assert "the text has 10 characters, at most 3" in error.message


def test_the_runtimes_refusal_comes_through(package_writer, onnx_model):
    """What the child finds wrong is told in its own words and code."""
    error = _refusal(package_writer(onnx_model([], [], [])))
    assert error.code == "model_rejected"
    assert error.message


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")
def test_a_memory_bomb_is_refused(package_writer, bomb):
    """A graph of some hundred bytes that wants 16 GB is refused within the limits."""
    assert len(bomb.SerializeToString()) < 400
    started = time.monotonic()
    error = _refusal(package_writer(bomb), seconds=20, memory_bytes=2**31)
    assert error.code == "model_rejected"
    assert time.monotonic() - started < 20


@POSIX
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "longer than"),
    ],
)
def test_a_crash_of_the_child_is_a_clean_refusal(text_package, child, code, words):
    """Native code that crashes takes the child along and nothing else."""
    child(code)
    error = _refusal(text_package)
    assert words in error.message
    assert error.code == "model_rejected"


@POSIX
def test_a_child_that_hangs_is_killed_with_its_children(text_package, child, tmp_path):
    """At the time limit the whole process group goes, grandchildren included."""
    pid_file = tmp_path / "pid"
    child(
        "import pathlib, subprocess, sys, time",
        "started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",
        f"pathlib.Path({str(pid_file)!r}).write_text(str(started.pid))",
        "time.sleep(60)",
    )
    # One that starts anew has to load Python first.
    seconds = 1 if probe_processes._CAN_FORK else 4
    assert f"longer than the {seconds} s" in _refusal(text_package, seconds=seconds).message
    grandchild = int(pid_file.read_text())
    for _ in range(500):
        if not _runs(grandchild):
            break
        time.sleep(0.01)
    assert not _runs(grandchild)


def test_a_defect_of_the_probe_is_not_blamed_on_the_package(text_package, child, caplog):
    """A child that fails by itself is a server error, with its traceback in the log."""
    child("raise SystemError('the probe is broken')")
    with open_package(text_package) as package, pytest.raises(RuntimeError, match="no answer"):
        probe(package)
    assert "the probe is broken" in caplog.text


def test_the_child_gets_no_secrets(text_package, child, monkeypatch):
    """Only a few harmless variables are inherited."""
    monkeypatch.setenv("MAAS_SERVER_SECRET", "hunter2")
    child(
        "import os",
        "return {'error': {'message': ' '.join(os.environ), 'code': 'c', 'param': None}}",
    )
    names = _refusal(text_package).message.split()
    assert "PYTHONPATH" in names
    assert "MAAS_SERVER_SECRET" not in names


@POSIX
def test_the_clock_of_a_trial_outlives_whoever_waits(text_package, child):
    """A child whose server has died ends by itself, even when it only sleeps."""
    child("import signal", "return {'error': {'message': str(signal.alarm(0)), 'code': 'c', 'param': None}}")
    assert _refusal(text_package, seconds=7).message in ("6", "7")


@pytest.fixture
def forked(request):
    """Run a test where packages are tried in forks only."""
    if "started" in request.node.name:
        pytest.skip("of the process that waits for packages")


@pytest.mark.usefixtures("forked")
def test_the_next_package_finds_the_runtime_loaded(text_package, token_package):
    """Two packages are tried by one process, each in a child with limits and a processor time of its own."""
    for folder in (text_package, token_package):
        with open_package(folder) as package:
            probe(package)
    (waiting,) = trials()
    assert waiting.num_threads() == 1  # a fork takes one thread along
    assert waiting.cpu_times().children_user < 1


@pytest.mark.usefixtures("forked")
def test_after_a_crash_another_process_waits(text_package, child, monkeypatch):
    """A process whose child has crashed tries no further package."""
    child("import os", "os.abort()")
    assert "SIGABRT" in _refusal(text_package).message
    assert trials() == []
    monkeypatch.setattr(probe_processes, "_CHILD", "reference_server.runtime.probe_child")
    with open_package(text_package) as package:
        assert probe(package).batch_invariant


@pytest.mark.usefixtures("forked")
def test_a_process_that_was_killed_meanwhile_is_replaced(text_package):
    """Whatever ended the process that waits, the next package is not to blame."""
    with open_package(text_package) as package:
        probe(package)
        (waiting,) = trials()
        waiting.kill()
        waiting.wait()
        assert probe(package).batch_invariant


@pytest.mark.usefixtures("forked")
def test_nobody_waits_for_packages_for_ever(text_package, monkeypatch):
    """After a while without packages the process ends, and its memory is free."""
    monkeypatch.setattr(probe_processes, "_KEPT_SECONDS", 0.01)
    with open_package(text_package) as package:
        probe(package)
    for _ in range(500):
        if not trials():
            break
        time.sleep(0.01)
    assert trials() == []


@pytest.mark.usefixtures("forked")
def test_a_process_that_cannot_start_is_our_own_defect(text_package, monkeypatch, caplog):
    """What it says as it fails is in the log."""
    monkeypatch.setattr(probe_processes, "_CHILD", "no_such_module")
    with open_package(text_package) as package, pytest.raises(RuntimeError, match="no answer"):
        probe(package)
    assert "no_such_module" in caplog.text


def test_one_package_is_tried_at_a_time(text_package, monkeypatch):
    """Who waits for too long is told to come back."""
    with (
        probe_processes._one_at_a_time,
        open_package(text_package) as package,
        pytest.raises(Unavailable) as caught,
    ):
        probe(package, seconds=0.01)
    assert caught.value.code == "busy"
