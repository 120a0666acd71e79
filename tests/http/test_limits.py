"""What the front holds at a time: connections, bodies, requests; and who is answered all the same."""

import json
from contextlib import ExitStack

import pytest

BODY = 700_000


@pytest.fixture(scope="module")
def limited(make_server, tmp_path_factory, text_package):
    """A server with room for one large body and three connections."""
    made = make_server(tmp_path_factory.mktemp("limits") / "data", waiting_bytes=2**20, max_connections=3)
    made.ada = made.register("ada")
    assert made.publish(made.ada, "words", text_package).status == 201
    yield made
    made.close()


@pytest.fixture
def small(limited):
    """The server, which nobody is connected to."""
    limited.wait_for(lambda: not limited.front._connections)
    yield limited
    limited.front.is_parting = False


def begin_large(server, client, *, size=BODY):
    """Send a prediction's head and the beginning of its body."""
    headers = {**server.ada, "content-type": "application/json", "content-length": str(size)}
    server.send(client, "POST", "/v1/models/words/predict", headers)
    client.sendall(b"{")


def finish_large(server, client, *, size=BODY):
    client.sendall(b'"text": "good"}'.ljust(size - 1))
    return server.receive(client)


def test_bodies_take_no_more_memory_than_they_may(small):
    """While one large body comes, another is 503; when the first is answered, or gone, there is room."""
    with small.connect() as first, small.connect() as second:
        begin_large(small, first)
        small.wait_for(lambda: small.front._reserved == BODY)
        begin_large(small, second)
        refused = small.receive(second)
        assert (refused.status, refused.json["error"]["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert finish_large(small, first).status == 200
        small.wait_for(lambda: small.front._reserved == 0)
    with small.connect() as leaving:
        begin_large(small, leaving)
        small.wait_for(lambda: small.front._reserved == BODY)
    small.wait_for(lambda: small.front._reserved == 0)
    with small.connect() as last:
        begin_large(small, last)
        assert finish_large(small, last).status == 200


def test_a_body_of_unknown_length_counts_as_the_longest(small):
    """But a single one is always taken, and small bodies never wait for large ones."""
    headers = {**small.ada, "content-type": "application/json"}
    piece = b'{"text": "good"}'
    answer = small.through_front("POST", "/v1/models/words/predict", headers=headers, chunks=[piece])
    assert answer.status == 200
    small.wait_for(lambda: small.front._reserved == 0)
    with small.connect() as first:
        begin_large(small, first)
        small.wait_for(lambda: small.front._reserved == BODY)
        answer = small.through_front("POST", "/v1/models/words/predict", headers=headers, chunks=[piece])
        assert answer.status == 503
        answer = small.through_front("POST", "/v1/models/words/predict", headers=headers, body=piece)
        assert answer.status == 200


def test_connections_beyond_the_limit_are_told_and_closed(small):
    """With when to come again; those that are there go on, and a place that is free is taken."""
    with ExitStack() as stack:
        held = [stack.enter_context(small.connect()) for _ in range(3)]
        small.wait_for(lambda: len(small.front._connections) == 3)
        with small.connect() as refused:
            answer = small.receive(refused)
            assert (answer.status, answer.json["error"]["code"]) == (503, "too_many_connections")
            assert answer.headers["connection"] == "close"
        small.send(held[0], "GET", "/healthz")
        assert small.receive(held[0]).status == 200
    small.wait_for(lambda: not small.front._connections)
    assert small.through_front("GET", "/healthz").status == 200


def test_more_requests_than_can_wait_are_refused(small):
    """What is no prediction has a queue of its own, and that has an end; health is not in it."""
    small.front._others = 256
    answer = small.through_front("GET", "/v1/keys", headers=small.ada)
    assert (answer.status, answer.json["error"]["code"]) == (503, "overloaded")
    assert small.through_front("GET", "/healthz").status == 200
    small.front._others = 0
    assert small.through_front("GET", "/v1/keys", headers=small.ada).status == 200
    small.wait_for(lambda: small.front._others == 0)


def test_before_the_port_closes_each_answer_is_the_last_on_its_connection(small):
    """Who keeps a connection is told, and is not cut off in the middle of the next request."""
    with small.connect() as kept:
        small.send(kept, "GET", "/healthz")
        assert "connection" not in small.receive(kept).headers
        small.front.is_parting = True
        small.send(kept, "GET", "/healthz")
        answer = small.receive(kept)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert kept.recv(1) == b""


def test_health_is_the_same_through_front_and_flask(small):
    """The front answers it by itself, with the same bytes."""
    for path in ("/healthz", "/v2/health/live", "/v2/health/ready"):
        front, flask = small.through_front("GET", path), small.through_flask("GET", path)
        assert (front.status, json.loads(front.body)) == (flask.status, json.loads(flask.body))
        ignored = {"x-request-id", "date"}
        assert {name: value for name, value in front.headers.items() if name not in ignored} == {
            name: value for name, value in flask.headers.items() if name not in ignored
        }
    assert small.through_front("POST", "/healthz").status == 405
    assert small.through_front("HEAD", "/healthz").status == 200
