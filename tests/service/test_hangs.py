"""Workers that are alive and do nothing: replaced, and nobody is told anything else meanwhile."""

import json
import os
import signal
import socket
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import requests
from onnx import TensorProto, helper, numpy_helper

# Every pair of as many boxes is compared in one kernel: a minute of processor time, or several.
ENDLESS = 400_000


def comparisons():
    """Return a graph: `boxes` [batch, 1] → `y` [batch, 1], after comparing so many boxes with each other."""
    values = {
        "zero": np.float32(0),
        "one": np.float32(1),
        "last": np.array([1], np.int64),
        "first": np.array([0], np.int64),
        "whole": np.array([-1], np.int64),
        "box": np.array([[0, 0, 0.5, 0.5]], np.float32),
        "nothing": np.float32(0),
    }
    nodes = [
        helper.make_node("Cast", ["boxes"], ["given"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["given"], ["most"], keepdims=0),
        helper.make_node("Range", ["zero", "most", "one"], ["numbers"]),
        helper.make_node("Unsqueeze", ["numbers", "last"], ["column"]),
        helper.make_node("Add", ["column", "box"], ["corners"]),
        helper.make_node("Unsqueeze", ["corners", "first"], ["all"]),
        helper.make_node("Unsqueeze", ["numbers", "first"], ["row"]),
        helper.make_node("Unsqueeze", ["row", "first"], ["scores"]),
        helper.make_node("ReduceMax", ["boxes"], ["count"], keepdims=0),
        helper.make_node("NonMaxSuppression", ["all", "scores", "count"], ["chosen"]),
        helper.make_node("Cast", ["chosen"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["real"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "nothing"], ["none"]),
        helper.make_node("Add", ["given", "none"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "comparisons",
        [helper.make_tensor_value_info("boxes", TensorProto.INT64, ["batch", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def becomes(condition, running, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, running.output()
        time.sleep(0.05)


def health(url, seconds=1):
    """Return the status of /healthz, or None when nobody answers in time."""
    try:
        return requests.get(url + "/healthz", timeout=seconds).status_code
    except requests.RequestException:
        return None


def key_of(client):
    return client.keys.create("test", scopes=["predict"]).secret.get_secret_value()


def ask(running, key, boxes, *, seconds):
    return requests.post(
        running.url + "/v1/models/boxes/predict",
        json={"boxes": [boxes]},
        headers={"Authorization": f"Bearer {key}", "X-Request-Timeout-Ms": str(int(seconds * 1000))},
        timeout=60,
    )


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.long)])
def test_a_stopped_worker_is_replaced(serve, text_package, workers):
    """Nobody is told that all is well by a process that does nothing, and the SDK's call ends well."""
    settings = {"MAAS_SERVER_HANG_SECONDS": "3"}
    with serve("--workers", workers, **settings) as running, running.account("ada") as client:
        client.models.publish(text_package, name="words")
        before = {each.pid for each in running.workers()}
        stopped = running.workers()[0]
        stopped.send_signal(signal.SIGSTOP)
        if workers == "1":
            assert health(running.url) is None
        # Connections that the stopped one had taken drop when it is killed; the SDK asks again.
        with running.client(api_key=key_of(client) if workers == "2" else None, max_retries=8) as caller:
            if workers == "2":
                assert caller.predict("words", text="good").label == "positive"
            else:
                assert caller.service.health().status == "ok"
        becomes(lambda: not stopped.is_running(), running)
        becomes(lambda: health(running.url) == 200, running)
        becomes(lambda: len(running.workers()) == int(workers), running)
        after = {each.pid for each in running.workers()}
        assert stopped.pid not in after
        # The other one was left alone.
        assert len(before & after) == int(workers) - 1
        assert "no sign of life" in running.output()
        assert client.predict("words", text="good").label == "positive"


@pytest.mark.long
def test_a_worker_that_starts_or_idles_is_not_taken_for_one_that_hangs(serve):
    """Starting takes what it takes; only who has spoken and falls silent is killed."""
    with serve(MAAS_SERVER_HANG_SECONDS="1") as running:
        first = running.workers()[0]
        time.sleep(2.5)
        assert first.is_running()
        assert health(running.url, 20) == 200
        assert "sign of life" not in running.output()


@contextmanager
def slow_body(url, key):
    """Give a connection on which a call has begun whose body is still to come."""
    parts = urlsplit(url)
    body = json.dumps({"boxes": [3]}).encode()
    lines = [
        "POST /v1/models/boxes/predict HTTP/1.1",
        "Host: a",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body[:1])
        yield connection, body[1:]


@pytest.mark.long
def test_a_kernel_that_does_not_end_costs_its_worker_and_nobody_elses_call(serve, package_writer):
    """At the deadline 504; then readiness says so, another worker serves, what was accepted is answered."""
    package = package_writer(comparisons(), task="tensor", labels=(), example={"boxes": [2]})
    settings = {"HANG_SECONDS": "2", "LANES": "2", "DRAIN_SECONDS": "4", "GRACE_SECONDS": "0"}
    variables = {f"MAAS_SERVER_{name}": value for name, value in settings.items()}
    with serve(**variables) as running, running.account("ada") as client:
        client.models.publish(package, name="boxes")
        key = key_of(client)
        assert ask(running, key, 3, seconds=30).status_code == 200
        (first,) = running.workers()
        with slow_body(running.url, key) as (begun, rest):
            answers = []
            hang = threading.Thread(target=lambda: answers.append(ask(running, key, ENDLESS, seconds=1)))
            hang.start()
            hang.join(60)
            assert answers[0].status_code == 504
            becomes(lambda: "is replaced, and answers what else" in running.output(), running)
            # One lane of two is still free where this was accepted.
            begun.sendall(rest)
            assert begun.recv(65536).startswith(b"HTTP/1.1 200")
        becomes(lambda: health(running.url) == 200, running)
        assert ask(running, key, 3, seconds=30).status_code == 200
        becomes(lambda: not first.is_running(), running)
        assert len(running.workers()) == 1


def test_readiness_tells_when_no_lane_is_left(serve, package_writer):
    """With every lane taken by what does not end, /healthz and /v2 say that calls should go elsewhere."""
    package = package_writer(comparisons(), task="tensor", labels=(), example={"boxes": [2]})
    settings = {"HANG_SECONDS": "600", "LANES": "1", "DRAIN_SECONDS": "1", "GRACE_SECONDS": "0"}
    variables = {f"MAAS_SERVER_{name}": value for name, value in settings.items()}
    with serve(**variables) as running, running.account("ada") as client:
        client.models.publish(package, name="boxes")
        key = key_of(client)
        assert ask(running, key, ENDLESS, seconds=0.5).status_code == 504
        becomes(lambda: health(running.url) == 503, running)
        assert requests.get(running.url + "/healthz", timeout=5).json()["status"] == "stuck"
        assert requests.get(running.url + "/v2/health/ready", timeout=5).status_code == 503
        assert requests.get(running.url + "/v2/health/live", timeout=5).status_code == 200
        # And what hangs does not keep the server from ending within its time.
        family = [psutil.Process(running.process.pid), *running.family()]
        running.process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive
        assert "is killed" in running.output()


@pytest.mark.long
def test_a_stopped_job_process_is_replaced(serve):
    """It has no callers, but jobs would wait for ever."""
    settings = {"MAAS_SERVER_HANG_SECONDS": "2", "MAAS_SERVER_JOB_PROCESSES": "1"}
    with serve(**settings) as running:
        becomes(running.job_processes, running)
        (jobs,) = running.job_processes()
        assert jobs.nice() == os.nice(0) + 10
        time.sleep(1)
        jobs.send_signal(signal.SIGSTOP)
        becomes(lambda: not jobs.is_running(), running)
        becomes(running.job_processes, running)
        assert "job process" in running.output()
