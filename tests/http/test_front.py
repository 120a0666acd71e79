import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from reference_server.app import Services
from reference_server.http.exchange import Call, Request
from reference_server.http.pipeline import compute
from reference_server.runtime.pool import LoadedModel
from reference_server.runtime.work import TaskWork

JSON = {"content-type": "application/json"}
PATH = "/v1/models/words/predict"
BODY = b'{"text": "x"}'


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
    ended, running = threading.Event(), threading.Semaphore(0)
    slow_down(monkeypatch, lambda: running.release() or ended.wait(5))
    monkeypatch.setattr(shared.front, "_most_waiting", 2)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(post, shared, {}) for _ in range(2)]
        assert all(running.acquire(timeout=5) for _ in calls)
        answer = post(shared, {})
        ended.set()
    assert (answer.status, answer.json["error"]["code"]) == (503, "queue_full")
    assert answer.headers["retry-after"] == "1"
    assert [call.result().status for call in calls] == [200, 200]


def test_a_client_that_leaves_frees_its_place(shared, monkeypatch):
    """What it had queued is not computed."""
    ended, ran = threading.Event(), []
    slow_down(monkeypatch, lambda: ran.append(1) or ended.wait(5))
    with ThreadPoolExecutor(8) as threads:
        lanes = [threads.submit(post, shared, {}) for _ in range(2)]
        shared.wait_for(lambda: len(ran) == 2)
        queued = [shared.connect() for _ in range(3)]
        for client in queued:
            shared.send(client, "POST", PATH, {**JSON, **shared.ada}, BODY)
        shared.wait_for(lambda: shared.front.waiting == 5)
        for client in queued:
            client.close()
        shared.wait_for(lambda: shared.front.waiting == 2)
        ended.set()
        assert [call.result().status for call in lanes] == [200, 200]
    assert len(ran) == 2


def test_what_waited_past_its_deadline_is_not_computed(shared, monkeypatch):
    """A lane that comes free too late does not run the model for nobody."""
    ran = []
    monkeypatch.setattr(Services, "serve", lambda _services, *target: ran.append(target))
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

    def fail(services, *target):
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(Services, "serve", fail)
    monkeypatch.setattr(logging.getLogger("reference_server"), "propagate", True)
    answer = post(shared, {})
    assert answer.status == 500
    assert answer.json["error"]["code"] == "internal_error"
    assert b"inner secret" not in answer.body
    assert "inner secret" in caplog.text


def post(shared, headers):
    return shared.through_front("POST", PATH, headers={**JSON, **shared.ada, **headers}, body=BODY)


def slow_down(monkeypatch, wait):
    """Make every run wait in its lane first."""
    run = TaskWork.run

    def slow(work, *, deadline):
        wait()
        return run(work, deadline=deadline)

    monkeypatch.setattr(TaskWork, "run", slow)
    # A model that is loaded only now sets it too.
    monkeypatch.setattr(LoadedModel, "quick_bytes", property(lambda _: 0, lambda _, value: None))
