"""Following jobs: the event stream as it may be cut, states from the future, servers that go away."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_client import _async_jobs, _jobs, errors
from maas_client._events import MOST_CHARACTERS, Event, EventReader
from maas_client.testing import FakeMaas

KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"


def job(state="running", revision=1, *, done=0, **more):
    return {
        "id": "job_1",
        "kind": "evaluate",
        "state": state,
        "revision": revision,
        "progress": {"done": done, "total": 4, "unit": "row"},
        "created_at": "2030-01-01T00:00:00Z",
        "expires_at": "2030-01-08T00:00:00Z",
        **more,
    }


EVALUATION = {
    "model": "m",
    "version": 1,
    "digest": "sha256:0",
    "device": "cpu",
    "task": "text-classification",
    "rows": 4,
    "metrics": [{"name": "accuracy", "value": 0.75, "interval": [0.5, 1.0], "unit": "share of rows"}],
    "resamples": 1000,
    "seed": 0,
}
DONE = job("succeeded", 9, done=4, result=EVALUATION)


def event(value):
    return f"event: job\nid: {value['revision']}\ndata: {json.dumps(value)}\n\n".encode()


class Office(ThreadingHTTPServer):
    """Tells what is scripted: an answer to each GET of the job, and streams of events, one after the other.

    A stream is a list of chunks, or a status to refuse it with; None breaks the connection.
    """

    daemon_threads = True

    def __init__(self, answers, streams):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.streams = list(answers), list(streams)
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def next_of(self, things):
        return things.pop(0) if len(things) > 1 else things[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Last-Event-ID")))
        if self.path.endswith("/events"):
            self.stream(self.server.next_of(self.server.streams))
        else:
            self.answer(200, self.server.next_of(self.server.answers))

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, job("cancelled", 5))

    def answer(self, status, value, **headers):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, script):
        if isinstance(script, int):
            fault = {
                "error": {"type": "unavailable_error", "code": "too_many_streams", "message": "too many"}
            }
            self.answer(script, fault, x_should_retry="false", Retry_After="5")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in script:
            if chunk is None:
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


@pytest.fixture
def office():
    opened = []

    def make(*, answers=(DONE,), streams=(503,)):
        made = Office(answers, streams)
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        opened.append((made, thread))
        return made

    yield make
    for made, thread in opened:
        made.shutdown()
        thread.join()
        made.server_close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Record the waits between two looks instead of waiting."""
    waited = []

    async def asynchronous(seconds):
        waited.append(seconds)

    monkeypatch.setattr(_jobs, "pause", waited.append)
    monkeypatch.setattr(_async_jobs, "pause", asynchronous)
    return waited


@pytest.fixture
def follow(face, ask, office):
    """Return a function that does something with a job, with a client of each face in turn."""

    def make(act, **script):
        server = office(**script)
        found = ask(face(KEY, server.url, proxies={}), act)
        return found, server

    return make


# The two faces differ in `await` alone, so a test says what it does in both.
def waiting(**options):
    def act(client):
        if hasattr(client, "__aenter__"):
            return waited(client)
        return client.jobs.get("job_1").wait(**options)

    async def waited(client):
        return await (await client.jobs.get("job_1")).wait(**options)

    return act


def following():
    def act(client):
        if hasattr(client, "__aenter__"):
            return followed(client)
        return [known.state for known in client.jobs.get("job_1").events()]

    async def followed(client):
        made = await client.jobs.get("job_1")
        return [known.state async for known in made.events()]

    return act


def test_events_lead_to_the_result(follow):
    """As the type that the kind has, and with the progress of each."""
    told = []
    script = [b"retry: 10\n\n", event(job(revision=2, done=1)), b": alive\n\n", event(DONE)]
    found, _ = follow(waiting(progress=lambda *now: told.append(now)), answers=[job()], streams=[script])
    assert (found["accuracy"], found.rows) == (0.75, 4)
    assert told == [(0, 4), (1, 4), (4, 4)]


def test_each_phase_counts_anew(follow):
    """Rows, then samples, each to its end; the rows that the end tells again are no third phase."""
    told = []

    def at(revision, done, total, unit, state="running", **more):
        progress = {"done": done, "total": total, "unit": unit}
        return event({**job(state, revision, **more), "progress": progress})

    script = [
        at(2, 3, 4, "row"),
        at(3, 0, 1000, "bootstrap sample"),
        at(4, 600, 1000, "bootstrap sample"),
        at(5, 4, 4, "row", "succeeded", result=EVALUATION),
    ]
    follow(waiting(progress=lambda *now: told.append(now)), answers=[job()], streams=[script])
    assert told == [(0, 4), (3, 4), (4, 4), (0, 1000), (600, 1000), (1000, 1000)]


def test_a_broken_stream_is_taken_up_where_it_broke(follow):
    """With `Last-Event-ID`; what was seen is not told again."""
    streams = [[event(job(revision=2))[:-1], b"\n", None], [event(job(revision=3)), event(DONE)]]
    found, server = follow(following(), answers=[job()], streams=streams)
    assert found == ["running", "running", "running", "succeeded"]
    assert [last for path, last in server.asked if path.endswith("/events")] == ["1", "2"]


def test_without_a_stream_the_job_is_asked_for(follow, pauses):
    """Too many streams, or an older server without any: every second."""
    for refusal in (503, 404):
        answers = [job(), job(), job(revision=3, done=2), DONE]
        found, server = follow(waiting(), answers=answers, streams=[refusal])
        assert found["accuracy"] == 0.75
        assert sum(path.endswith("/events") for path, _ in server.asked) == 1
    assert set(pauses) == {1.0}


def test_a_state_from_the_future_is_no_end(follow):
    """It is waited on, and `state` tells it."""
    script = [event(job("hibernating", 2)), event(DONE)]
    found, _ = follow(following(), answers=[job()], streams=[script])
    assert found == ["running", "hibernating", "succeeded"]


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("failed", errors.JobFailedError),
        ("cancelled", errors.JobCancelledError),
        ("interrupted", errors.JobInterruptedError),
    ],
)
def test_an_end_without_a_result_is_an_error_of_its_own(follow, state, kind):
    """With the job's own code and message."""
    ended = job(state, 3, error={"code": "bad_row", "message": "row 3 is bad"})
    with pytest.raises(kind, match="row 3 is bad") as caught:
        follow(waiting(), answers=[ended])
    assert caught.value.code == "bad_row"
    assert isinstance(caught.value, errors.JobError)


def test_a_job_tells_its_attempts_and_its_error():
    """As the server does; there is no error before its end."""
    fake = FakeMaas()
    fault = {"code": "bad_row", "message": "row 3 is bad"}
    fake.reply("GET /v1/jobs/{job}", job("failed", 3, attempts=2, error=fault))
    known = fake.client().jobs.get("job_1")
    assert (known.attempts, known.error.code, known.error.message) == (2, *fault.values())
    fake.reply("GET /v1/jobs/{job}", job(attempts=1))
    assert (known.refresh().attempts, known.error) == (1, None)


def test_a_result_of_an_unknown_kind_stays_what_it_is(follow):
    """A newer server has kinds that this SDK does not know."""
    found, _ = follow(waiting(), answers=[{**DONE, "kind": "dream", "result": {"sheep": 3}}])
    assert found == {"sheep": 3}


@pytest.mark.parametrize("streams", [[503], [[event(job(revision=2))]]], ids=["asked", "streamed"])
def test_a_time_that_is_too_short_leaves_the_job_alone(follow, streams):
    """The message says that it goes on; nothing was cancelled."""
    began = time.monotonic()
    with pytest.raises(errors.DeadlineError, match="it goes on"):
        follow(waiting(timeout=0.3), answers=[job()], streams=streams)
    assert time.monotonic() - began < 5


def test_a_job_that_is_gone_is_not_waited_for(office, face, ask):
    """Somebody deleted it meanwhile."""
    server = office(answers=[job()], streams=[404])
    real = _Handler.answer

    def answer(handler, status, value, **headers):
        if handler.path == "/v1/jobs/job_1" and len(server.asked) > 1:
            status, value = (
                404,
                {"error": {"type": "not_found_error", "code": "job_not_found", "message": "gone"}},
            )
        real(handler, status, value, **headers)

    _Handler.answer = answer
    try:
        with pytest.raises(errors.NotFoundError):
            ask(face(KEY, server.url, proxies={}), waiting())
    finally:
        _Handler.answer = real


def test_what_is_no_job_is_not_taken_for_one(follow, pauses):
    """A proxy's page in the place of a stream, or half an event: the job is asked for instead."""
    streams = [[b"event: job\ndata: {\n\n"]]
    found, _ = follow(waiting(), answers=[job(), DONE], streams=streams)
    assert found["accuracy"] == 0.75


def read(*chunks):
    reader = EventReader()
    return [each for chunk in chunks for each in reader.feed(chunk)]


def test_events_are_read_as_the_standard_says():
    """Its own examples, section 9.2.6, and what stands between the lines."""
    assert read(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [Event("message", "YHOO\n+2\n10", "")]
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert [(each.data, each.id) for each in read(stream)] == [
        ("first event", "1"),
        ("second event", ""),
        (" third event", ""),
    ]
    assert [each.data for each in read(b"data\n\ndata\ndata\n\ndata:")] == ["", "\n"]
    assert [each.data for each in read(b"data:test\n\ndata: test\n\n")] == ["test", "test"]
    assert [each.id for each in read(b"id: 1\0\ndata: x\n\n")] == [""]
    assert read(b"\xef\xbb\xbfdata: x\n\n") == [Event("message", "x", "")]
    assert read(b"nonsense: 1\nevent: add\ndata: 7\n\nevent: only\n\ndata: 8\n\n") == [
        Event("add", "7", ""),
        Event("message", "8", ""),
    ]


def test_the_stream_says_when_to_come_again():
    """In milliseconds; what is no number is passed over."""
    reader = EventReader()
    list(reader.feed(b"retry: 1500\nretry: soon\n"))
    assert reader.retry_seconds == 1.5


@given(
    st.lists(st.sampled_from(["data: é", "id: 7", "event: x", "", ": c", "retry: 5", "data"]), max_size=20),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_it_does_not_matter_where_the_bytes_are_cut(lines, end, sizes):
    """In the middle of a character or between a return and its line feed."""
    content = (end.join(lines) + end).encode()
    chunks, at = [], 0
    while at < len(content):
        sizes = sizes[1:] + sizes[:1]
        chunks.append(content[at : at + sizes[0]])
        at += sizes[0]
    assert read(*chunks) == read(content)


def test_an_event_without_an_end_fills_no_memory():
    """Whoever sends that is no service of ours."""
    chunks = [b"x" * 2**16] * (MOST_CHARACTERS // 2**16 + 2)
    with pytest.raises(ValueError, match="more than"):
        read(*chunks)
