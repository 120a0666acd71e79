"""An alias moves while its model is being called: nobody waits for a load, nobody is refused."""

from __future__ import annotations

import json
import shutil
import threading
import time
from contextlib import contextmanager

import pytest

from reference_server.runtime.sessions import OnnxRunner

PREDICT = "/v1/models/words/predict"
DEFAULT = "/v1/models/words/aliases/default"


@pytest.fixture
def gate(monkeypatch):
    """Hold up the loading of second versions until it is set."""
    event = threading.Event()

    class Held(OnnxRunner):
        def __init__(self, graph, **options):
            super().__init__(graph, **options)
            if any(spec.name == "input_ids" for spec in self.tensors.inputs):
                assert event.wait(30)

    monkeypatch.setattr("reference_server.runtime.sessions.OnnxRunner", Held)
    yield event
    event.set()


@pytest.fixture
def broken(monkeypatch):
    """Let no second version be loaded."""

    class Broken(OnnxRunner):
        def __init__(self, graph, **options):
            super().__init__(graph, **options)
            if any(spec.name == "input_ids" for spec in self.tensors.inputs):
                raise MemoryError("no room on this machine")

    monkeypatch.setattr("reference_server.runtime.sessions.OnnxRunner", Broken)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, make_server, text_package, token_package):
    """A data folder with the account `ada`, whose model `words` has two versions, and her header."""
    folder = tmp_path_factory.mktemp("stored") / "data"
    made = make_server(folder)
    ada = made.register("ada")
    for package in (text_package, token_package):
        assert made.publish(ada, "words", package).status == 201
    assert made.publish(ada, "lone", text_package).status == 201
    made.close()
    return folder, ada


@pytest.fixture
def make(tmp_path, make_server, stored):
    """Return a maker of servers over one copy of the data."""
    made = []
    shutil.copytree(stored[0], tmp_path / "data")

    def start(**settings):
        made.append(make_server(tmp_path / "data", calls_per_second=100_000, **settings))
        made[-1].ada = stored[1]
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def server(make):
    """A server whose first version was called just now."""
    made = make()
    assert call(made)["version"] == 1
    return made


def call(server, *, way="through_front", path=PREDICT):
    body = json.dumps({"text": "good"}).encode()
    headers = {**server.ada, "content-type": "application/json"}
    answer = getattr(server, way)("POST", path, headers=headers, body=body)
    assert answer.status == 200, answer.body
    return answer.json


def change(server, method, path, value):
    body = json.dumps(value).encode()
    headers = {**server.ada, "content-type": "application/json"}
    return server.through_flask(method, path, headers=headers, body=body)


class Callers:
    """Threads that call without a pause, and keep what they got and how long it took."""

    def __init__(self, server, path):
        self.seen = [[], [], [], []]
        self.failure = None
        self._server, self._path = server, path
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(seen, way))
            for seen, way in zip(self.seen, ["through_front", "through_flask"] * 2, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def answered(self, version, *, times=3):
        """Wait until each caller got so many more answers of a version."""
        had = [seen.count(version) for seen in self.seen]
        wait_until(
            lambda: (
                self.failure
                or all(
                    seen.count(version) >= count + times for seen, count in zip(self.seen, had, strict=True)
                )
            )
        )
        assert self.failure is None, self.failure

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        assert self.failure is None, self.failure

    def _call(self, seen, way):
        try:
            while not self._stop.is_set():
                seen.append(call(self._server, way=way, path=self._path)["version"])
        except Exception as error:  # noqa: BLE001 - the test's own thread looks at it
            self.failure = error


@contextmanager
def calling(server, path=PREDICT):
    callers = Callers(server, path)
    try:
        yield callers
    finally:
        callers.stop()


@contextmanager
def in_background(act):
    results = []
    thread = threading.Thread(target=lambda: results.append(act()))
    thread.start()
    yield results
    thread.join(30)


def wait_until(true):
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def in_order(callers):
    return all(seen == sorted(seen) for seen in callers.seen)


def test_a_move_waits_for_the_load_and_callers_do_not(server, gate):
    """The old version answers until the new one is warm; after the move's answer, only the new one does."""
    with calling(server) as callers:
        with in_background(lambda: change(server, "PUT", DEFAULT, {"version": 2, "force": True})) as moved:
            callers.answered(1, times=20)
            assert not moved
            assert call(server, path=PREDICT)["version"] == 1
            gate.set()
        assert moved[0].status == 200
        assert call(server)["version"] == 2
        callers.answered(2)
    assert in_order(callers)


def test_a_rollback_is_a_move_like_any_other(server, gate):
    """Back to a version that was dropped from memory meanwhile."""
    gate.set()
    assert change(server, "PUT", DEFAULT, {"version": 2, "force": True}).status == 200
    assert change(server, "PUT", DEFAULT, {"version": 1, "force": True}).status == 200
    assert call(server)["version"] == 1
    second = server.through_flask("GET", "/v1/models/words/versions/2", headers=server.ada)
    assert server.services.pool.drop(second.json["digest"])
    gate.clear()
    with (
        calling(server) as callers,
        in_background(lambda: change(server, "POST", f"{DEFAULT}/rollback", {"force": True})) as moved,
    ):
        callers.answered(1, times=20)
        assert not moved
        gate.set()
        callers.answered(2)
    assert moved[0].json["version"] == 2
    assert in_order(callers)


def test_a_publish_that_takes_over_loads_first(make, token_package, gate):
    """With `set_default` of a model in use: no caller waits, and the publisher then finds the new version."""
    server = make()
    path = "/v1/models/lone/predict"
    assert call(server, path=path)["version"] == 1

    def publish():
        return server.publish(
            server.ada, "lone", token_package, query="set_default=true&notes=better&force=true"
        )

    with calling(server, path) as callers:
        with in_background(publish) as published:
            wait_until(lambda: server.services.pool.loading)
            callers.answered(1, times=20)
            assert not published
            gate.set()
        assert published[0].status == 201
        assert set(published[0].json["aliases"]) == {"default", "latest"}
        assert call(server, path=path)["version"] == 2
        callers.answered(2)
    assert in_order(callers)
    moved = server.through_flask("GET", "/v1/models/lone/aliases/default", headers=server.ada).json
    assert (moved["version"], moved["note"]) == (2, "better")


def test_what_cannot_be_loaded_takes_no_traffic(server, broken, token_package):
    """The move is refused with the reason, the alias stays, and so does the version that answers."""
    for method, path, value in (
        ("PUT", DEFAULT, {"version": 2, "force": True}),
        ("PUT", DEFAULT, {"version": 2, "force": True}),
    ):
        answer = change(server, method, path, value)
        assert answer.status == 503
        assert answer.json["error"]["code"] == "model_unavailable"
    assert change(server, "GET", DEFAULT, {}).json["version"] == 1
    assert call(server)["version"] == 1
    again = server.publish(server.ada, "words", token_package, query="set_default=true&force=true")
    assert again.status == 503
    assert call(server)["version"] == 1


def test_where_nobody_calls_a_move_loads_nothing(make, gate):
    """The first call loads what it needs."""
    server = make()
    assert change(server, "PUT", DEFAULT, {"version": 2, "force": True}).status == 200
    assert server.services.pool.memory[0] == 0


def test_another_worker_follows_without_a_gap(server, make, gate):
    """Its callers get the old version until it has loaded the new one itself."""
    other = make(workers=2)
    assert call(other)["version"] == 1
    with calling(other) as callers:
        callers.answered(1)
        gate.set()
        assert change(server, "PUT", DEFAULT, {"version": 2, "force": True}).status == 200
        gate.clear()
        wait_until(lambda: other.services.pool.loading)
        callers.answered(1, times=20)
        gate.set()
        callers.answered(2)
    assert in_order(callers)


def test_another_worker_that_cannot_load_the_new_version_keeps_the_old(server, make, gate, monkeypatch):
    """For a while; that it failed shows in the index."""
    other = make(workers=2)
    assert call(other)["version"] == 1
    gate.set()
    assert change(server, "PUT", DEFAULT, {"version": 2, "force": True}).status == 200

    def fail(*arguments, **options):
        raise MemoryError("no room on this machine")

    monkeypatch.setattr("reference_server.runtime.sessions.OnnxRunner", fail)
    with calling(other) as callers:
        wait_until(lambda: states(other)["2"] == "UNAVAILABLE")
        callers.answered(1)
    assert {version for seen in callers.seen for version in seen} == {1}


def states(server):
    entries = change(server, "POST", "/v2/repository/index", {}).json
    return {entry["version"]: entry["state"] for entry in entries if entry["name"] == "words"}


def test_states_show_in_the_index_and_in_ready(server, gate):
    """A model that nobody called, one that is being loaded, one that cannot be."""
    assert states(server) == {"1": "READY", "2": "READY"}
    with in_background(lambda: call(server, path="/v1/models/words/versions/2/predict")):
        wait_until(lambda: states(server)["2"] == "LOADING")
        assert change(server, "GET", "/v2/models/words/versions/2/ready", {}).status == 200
        gate.set()
    assert states(server) == {"1": "READY", "2": "READY"}


def test_a_failure_shows_in_the_index_and_in_ready(server, broken):
    """Unavailable, and whoever asks whether it is ready gets 503."""
    body = json.dumps({"text": "good"}).encode()
    headers = {**server.ada, "content-type": "application/json"}
    path = "/v1/models/words/versions/2/predict"
    assert server.through_front("POST", path, headers=headers, body=body).status == 503
    assert states(server) == {"1": "READY", "2": "UNAVAILABLE"}
    assert change(server, "GET", "/v2/models/words/versions/2/ready", {}).status == 503
    assert change(server, "GET", "/v2/models/words/ready", {}).status == 200
