"""Many slow clients at once, and clients that leave: what others notice of it, through real sockets."""

import json
import os
import select
import shutil
import socket
import statistics
import threading
import time
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from onnx import TensorProto, helper, numpy_helper

BODIES, STREAMS, IDLE = 300, 64, 1000
ASKED = 40
# Medians of an idle server beside those of a crowded one, on a machine that runs other tests as well.
FACTOR = 5
# Less than this is no delay: what an idle server takes is a fraction of what such a machine's scheduler does.
LEAST = 0.03
QUEUE = 4
SIDE = 512


def connect(url):
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def message(path, body, key, *, method="POST", length=None):
    """Return a request's bytes; it may declare another length than it has."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: a",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def has_answer(*connections, seconds=0.0):
    """Return whether any of some connections can be read from, now or soon."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def key_of(client):
    made = client.keys.create("crowd", scopes=["models:read", "models:write", "predict"])
    return made.secret.get_secret_value()


@pytest.fixture(scope="module")
def crowded(serving, tmp_path_factory, text_package):
    """A server with a small model, and a large package to download; its URL and a key."""
    folder = tmp_path_factory.mktemp("crowds")
    large = shutil.copytree(text_package, folder / "large")
    # What is random stays as large as it is in the zip, and larger than what sockets hold.
    (large / "README.md").write_bytes(os.urandom(16 * 2**20))
    with (
        serving(folder / "server", MAAS_SERVER_GRACE_SECONDS="0") as running,
        running.account("ada") as client,
    ):
        client.models.publish(text_package, name="words")
        client.models.publish(large, name="large")
        yield running.url, key_of(client)


@contextmanager
def slow_bodies(url, key):
    """Hold 300 requests to every kind of route open whose bodies do not end; half of them trickle."""
    routes = ("/v1/models/words/predict", "/v1/keys", "/v1/models/words/versions", "/v2/models/words/infer")
    ended = threading.Event()
    with ExitStack() as stack:
        held = [stack.enter_context(connect(url)) for _ in range(BODIES)]
        for number, connection in enumerate(held):
            connection.sendall(message(routes[number % len(routes)], b"{", key, length=1000))

        def trickle():
            while not ended.wait(0.5):
                for connection in held[::2]:
                    connection.sendall(b" ")

        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            yield
            assert not has_answer(*held), "the server did not wait for the bodies"
        finally:
            ended.set()
            trickling.join()


@contextmanager
def open_streams(url, key):
    """Hold 64 downloads open whose clients have read the beginning and read no more."""
    with ExitStack() as stack:
        held = [stack.enter_context(connect(url)) for _ in range(STREAMS)]
        for connection in held:
            connection.sendall(message("/v1/models/large/versions/1/package", b"", key, method="GET"))
        for connection in held:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        yield


@contextmanager
def idle_connections(url, _key):
    """Hold 1,000 connections open that have asked once and may ask again."""
    with ExitStack() as stack:
        held = [stack.enter_context(connect(url)) for _ in range(IDLE)]
        for connection in held[::10]:
            connection.sendall(message("/healthz", b"", "none", method="GET"))
        for connection in held[::10]:
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        yield
        assert not has_answer(*held), "the server closed what was only idle"


def medians(url, key):
    """Return the median seconds of /healthz and of a prediction, and that each was answered."""
    headers = {"Authorization": f"Bearer {key}"}
    times = {"/healthz": [], "/v1/models/words/predict": []}
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(ASKED):
            for path, taken in times.items():
                started = time.perf_counter()
                if path == "/healthz":
                    reply = session.get(url + path, timeout=20)
                else:
                    reply = session.post(url + path, json={"text": "good"}, headers=headers, timeout=20)
                taken.append(time.perf_counter() - started)
                assert reply.status_code == 200, reply.text
    return {path: statistics.median(taken) for path, taken in times.items()}


@pytest.mark.parametrize(
    "crowds",
    [
        pytest.param((slow_bodies,), id="300 slow bodies"),
        pytest.param((open_streams,), id="64 open streams"),
        pytest.param((idle_connections,), id="1000 idle connections"),
        pytest.param((slow_bodies, open_streams), id="both"),
    ],
)
def test_slow_clients_delay_nobody(crowded, crowds):
    """Health and other people's predictions are answered as if the crowd were not there."""
    url, key = crowded
    idle = medians(url, key)
    with ExitStack() as stack:
        for crowd in crowds:
            stack.enter_context(crowd(url, key))
        busy = medians(url, key)
    for path, seconds in busy.items():
        assert seconds < max(LEAST, FACTOR * idle[path]), (path, idle, busy)


def multiplications():
    """Return a graph: `turns` [batch, 1] → `y` [batch, 1], after so many products of matrices."""
    numbers = np.random.default_rng(0).standard_normal((SIDE, SIDE)) / np.sqrt(SIDE)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("MatMul", ["state", "factor"], ["product"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [SIDE, SIDE]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("product", TensorProto.FLOAT, [SIDE, SIDE]),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["turns"], ["most"], keepdims=0),
        helper.make_node("Loop", ["most", "", "factor"], ["power"], body=body),
        helper.make_node("ReduceMean", ["power"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["turns"], ["given"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["given", "mean"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "multiplications",
        [helper.make_tensor_value_info("turns", TensorProto.INT64, ["batch", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(numbers.astype(np.float32), "factor")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Slow:
    """A server with one lane and room for four in the queue, and a model that takes as long as it is told.

    Args:
        running: The server.
        key: Of the caller.
    """

    PATH = "/v1/models/slow/predict"

    def __init__(self, running, key):
        self.url, self.key = running.url, key
        started = time.monotonic()
        assert self.status(turns=20) == 200
        self._seconds_each = (time.monotonic() - started) / 20

    def body(self, seconds):
        return json.dumps({"turns": [max(1, round(seconds / self._seconds_each))]}).encode()

    def begin(self, stack, *, seconds):
        """Send a call whose answer is not waited for, and return its connection."""
        connection = stack.enter_context(connect(self.url))
        connection.sendall(message(self.PATH, self.body(seconds), self.key))
        return connection

    def status(self, *, turns=1):
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.post(
            self.url + self.PATH, json={"turns": [turns]}, headers=headers, timeout=30
        ).status_code

    def becomes(self, status, *, seconds):
        """Return whether a small call gets a status within some seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.status() == status:
                return True
        return False


@pytest.fixture(scope="module")
def slow(serving, write_package, tmp_path_factory):
    """The slow model behind a short queue."""
    folder = tmp_path_factory.mktemp("slow")
    package = write_package(
        folder / "package", multiplications(), task="tensor", labels=(), example={"turns": [1]}
    )
    variables = {"LANES": "1", "QUEUE_LIMIT": str(QUEUE), "GRACE_SECONDS": "0"}
    settings = {f"MAAS_SERVER_{name}": value for name, value in variables.items()}
    with serving(folder / "server", **settings) as running, running.account("ada") as client:
        client.models.publish(package, name="slow")
        yield Slow(running, key_of(client))


def test_a_client_that_leaves_frees_its_place(slow):
    """With the queue full a call is refused; when those that wait hang up, it gets through."""
    with ExitStack() as others:
        running = slow.begin(others, seconds=6)
        time.sleep(0.3)
        with ExitStack() as queued:
            for _ in range(QUEUE):
                slow.begin(queued, seconds=6)
            assert slow.becomes(503, seconds=3)
        # Accepted, so it waits for the lane: refused calls are answered at once.
        mine = others.enter_context(connect(slow.url))
        time.sleep(0.3)
        mine.sendall(message(slow.PATH, slow.body(0), slow.key))
        assert not has_answer(mine, seconds=0.3), mine.recv(1000)
        assert not has_answer(running), "the run ended before the test did"
        assert mine.recv(1000).startswith(b"HTTP/1.1 200")
        assert running.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_in_the_middle_of_its_body_frees_its_place(slow):
    """Bodies that will never end hold no place once their senders have gone."""
    with ExitStack() as halves:
        for _ in range(4 * QUEUE):
            halves.enter_context(connect(slow.url)).sendall(message(slow.PATH, b"{", slow.key, length=100))
        time.sleep(0.3)
    assert slow.becomes(200, seconds=3)
    assert [slow.status() for _ in range(3)] == [200] * 3


def test_a_body_that_has_not_arrived_takes_no_place(slow):
    """Who sends slowly waits for himself: the queue is for what can be computed."""
    with ExitStack() as halves:
        for _ in range(4 * QUEUE):
            halves.enter_context(connect(slow.url)).sendall(message(slow.PATH, b"{", slow.key, length=100))
        time.sleep(0.3)
        assert [slow.status() for _ in range(3)] == [200] * 3
