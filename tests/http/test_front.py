import logging
import threading
import time

from reference_server.app import Services
from reference_server.http import front
from reference_server.http.exchange import Call, Request
from reference_server.http.pipeline import compute

JSON = {"content-type": "application/json"}
PATH = "/v1/models/words/predict"


def test_a_slow_body_is_cut_off(shared):
    """A body that drips in is refused when its time is over, and held no thread meanwhile."""
    started = time.monotonic()
    answer = shared.through_front(
        "POST", PATH, headers={**JSON, **shared.ada, "content-length": "50"}, chunks=[b"x"] * 50, pause=0.1
    )
    assert (answer.status, answer.json["error"]["code"]) == (400, "body_too_slow")
    # One second of patience, and up to that long again to let the sender see the answer.
    assert time.monotonic() - started < 12


def test_a_body_of_unknown_length_is_counted_as_it_comes(shared):
    """A chunked body past the limit is refused without being held."""
    chunks = [b"x" * 50_000] * 10
    answer = shared.through_front("POST", PATH, headers={**JSON, **shared.ada}, chunks=chunks)
    assert answer.status == 413
    assert answer.json["error"]["code"] == "body_too_large"


def test_a_chunked_body_within_the_limit_is_read(shared):
    """No length need be declared."""
    chunks = [b'{"text": ', b'"a good', b' day"}']
    answer = shared.through_front("POST", PATH, headers={**JSON, **shared.ada}, chunks=chunks)
    assert answer.status == 200


def test_strangers_cannot_send_large_bodies(shared):
    """Without a credential a large body is refused before it is read into memory."""
    body = b"x" * 100_000
    predict = shared.through_front("POST", PATH, headers=JSON, body=body)
    assert (predict.status, predict.json["error"]["code"]) == (401, "missing_credential")
    register = shared.through_front("POST", "/v1/accounts", headers=JSON, body=body)
    assert (register.status, register.json["error"]["code"]) == (413, "body_too_large")


def test_at_the_deadline_the_answer_is_504_while_the_lane_still_works(shared, monkeypatch):
    """The caller does not wait for a kernel that nobody can interrupt."""
    ended = threading.Event()
    slow_down(monkeypatch, lambda: ended.wait(5))
    started = time.monotonic()
    answer = post(shared, {"x-request-timeout-ms": "100"})
    waited = time.monotonic() - started
    ended.set()
    assert (answer.status, answer.json["error"]["code"]) == (504, "deadline_exceeded")
    assert waited < 1


def test_a_full_queue_is_503_with_a_time_to_come_back(shared, monkeypatch):
    """When lanes and queue are full nobody waits for nothing."""
    ended = threading.Event()
    slow_down(monkeypatch, lambda: ended.wait(5))
    monkeypatch.setattr(shared.front, "_most_waiting", 3)
    for _ in range(3):
        assert post(shared, {"x-request-timeout-ms": "10"}).status == 504
    answer = post(shared, {})
    ended.set()
    assert (answer.status, answer.json["error"]["code"]) == (503, "queue_full")
    assert answer.headers["retry-after"] == "1"


def test_what_waited_past_its_deadline_is_not_computed(shared, monkeypatch):
    """A lane that comes free too late does not run the model for nobody."""
    ran = []
    monkeypatch.setattr(Services, "load", lambda _services, target: ran.append(target))
    late = Request(
        id="req_1",
        method="POST",
        path=PATH,
        query="",
        headers={**shared.ada, "x-request-timeout-ms": "100"},
        address="",
        received=shared.services.timer() - 0.2,
        body=b'{"text": "good"}',
    )
    endpoint = next(one for one in shared.services.endpoints if one.name == "predict.predict")
    answer = compute(Call(shared.services, endpoint, late), {"model": "words"})
    assert answer.status == 504
    assert not ran


def test_a_defect_is_answered_with_500_and_nothing_of_its_inside(shared, monkeypatch, caplog):
    """An unforeseen exception is logged whole and shown to nobody."""

    def fail(services, target):
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(Services, "load", fail)
    monkeypatch.setattr(logging.getLogger("reference_server"), "propagate", True)
    answer = post(shared, {})
    assert answer.status == 500
    assert answer.json["error"]["code"] == "internal_error"
    assert b"inner secret" not in answer.body
    assert "inner secret" in caplog.text


def post(shared, headers):
    return shared.through_front(
        "POST", PATH, headers={**JSON, **shared.ada, **headers}, body=b'{"text": "x"}'
    )


def slow_down(monkeypatch, wait):
    def slow(call, path):
        wait()
        return compute(call, path)

    monkeypatch.setattr(front.pipeline, "compute", slow)
