from __future__ import annotations

import os
import sys
import time

import psutil
import pytest
from onnx import TensorProto, helper

from maas_client._package import open_package
from reference_server.errors import Unprocessable
from reference_server.runtime import probe as module
from reference_server.runtime.probe import probe

POSIX = pytest.mark.skipif(os.name != "posix", reason="limits and signals are POSIX's")


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Check that no child, zombie or open file outlives a probe."""
    process = psutil.Process()
    files = process.num_fds() if os.name == "posix" else 0
    yield
    assert process.children() == []
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
    """Return a function that puts other code in the place of the child's."""

    def replace(code):
        (tmp_path / "stand_in.py").write_text(code)
        monkeypatch.setattr(module, "__name__", "stand_in")
        monkeypatch.syspath_prepend(tmp_path)

    return replace


def test_a_good_package_is_inspected(text_package):
    """Both signatures come back as the wire knows them."""
    with open_package(text_package) as package:
        inspection = probe(package)
    assert [spec.name for spec in inspection.signature.inputs] == ["text"]
    assert [(spec.datatype, spec.shape) for spec in inspection.tensors.outputs] == [("FP32", [-1, 2])]


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
        "import pathlib, subprocess, sys, time\n"
        "started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(started.pid))\n"
        "time.sleep(60)\n"
    )
    assert "longer than the 1 s" in _refusal(text_package, seconds=1).message
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
        "import json, os\n"
        "error = {'message': ' '.join(os.environ), 'code': 'c', 'param': None}\n"
        "print(json.dumps({'error': error}))\n"
    )
    names = _refusal(text_package).message.split()
    assert "PYTHONPATH" in names
    assert "MAAS_SERVER_SECRET" not in names
