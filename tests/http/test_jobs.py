"""Jobs and evaluations over HTTP; the job process is played by the test, which runs what was queued."""

import json
import secrets
import socket
import threading
from datetime import timedelta

import pytest

from reference_server.http import job_events
from reference_server.jobs import running
from reference_server.jobs.context import Services
from reference_server.registry import job_runs, jobs
from reference_server.registry.jobs import NewJob

ROWS = {
    "inputs": [{"text": "good"}, {"text": "bad"}, {"text": "dull"}],
    "targets": ["positive", "negative", "positive"],
}
PATH = "/v1/models/words/evaluate"


@pytest.fixture(scope="module")
def office(make_server, tmp_path_factory, text_package):
    """A server with jobs, few streams, and the account `ada`, who owns `words`."""
    made = make_server(
        tmp_path_factory.mktemp("office") / "data",
        max_instances=3,
        max_evaluation_bytes=9 * 2**20,
        job_streams=3,
        job_streams_per_account=2,
        jobs_per_account=4,
    )
    made.services.has_job_processes = True
    made.ada = made.register("ada")
    made.bob = made.register("bob")
    assert made.publish(made.ada, "words", text_package).status == 201
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_jobs_left(office):
    yield
    with office.services.database.write() as session:
        session.query(jobs.JobRow).delete()


def run_next(office):
    """Do what a job process does once."""
    services = office.services
    own = Services(services.settings, services.database, services.artifacts, services.pool)
    claim = job_runs.claim(services.database, "test", lease=timedelta(seconds=10))
    running.run(claim, own, stopping=lambda: False)


def queue(office, who="ada"):
    """Queue a job that does nothing, and return its id."""
    account = office.through_flask("GET", "/v1/account", headers=getattr(office, who)).json["id"]
    made = jobs.create(
        office.services.database,
        account,
        NewJob(kind="evaluate"),
        resumable=True,
        most_under_way=100,
        kept=timedelta(days=1),
    )
    return made.id


@pytest.fixture(params=["through_flask", "through_front"])
def send(office, request):
    """Send a request through each door in turn."""

    def make(method, path, body=None, headers=None, **options):
        content = b"" if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json", **office.ada, **(headers or {})}
        return getattr(office, request.param)(method, path, headers=given, body=content, **options)

    return make


def test_an_evaluation_is_answered_at_once(send):
    """Metrics with intervals and units, the matrix, the version that answered."""
    answer = send("POST", PATH, ROWS)
    assert answer.status == 200, answer.json
    found = answer.json
    assert (found["model"], found["version"], found["rows"], found["device"]) == ("words", 1, 3, "cpu")
    assert [metric["name"] for metric in found["metrics"]] == [
        "accuracy",
        "macro_f1",
        "cross_entropy",
        "expected_calibration_error",
    ]
    assert found["metrics"][0]["value"] == pytest.approx(2 / 3)
    assert found["confusion_matrix"] == {"labels": ["negative", "positive"], "counts": [[1, 0], [1, 1]]}
    version = send("POST", "/v1/models/words/versions/latest/evaluate", ROWS).json
    assert version["metrics"] == found["metrics"]


MANY = "/v1/models/words/evaluations"
# Beyond `max_body_bytes`, in which everything else must fit.
LARGE = json.dumps(ROWS).encode() + b" " * (8 * 2**20)


@pytest.fixture(params=["through_flask", "through_front"])
def send_large(office, request):
    """Send a body as it is through each door in turn."""

    def make(body, headers=None, query="rows=3"):
        given = {"content-type": "application/json", **office.ada, **(headers or {})}
        return getattr(office, request.param)("POST", MANY, headers=given, body=body, query=query)

    return make


def test_rows_beyond_the_largest_body_are_evaluated_by_a_job(office, send_large):
    """They are streamed, counted by the job, and measured as in a call."""
    answer = send_large(LARGE, query="rows=3&version=1")
    assert (answer.status, answer.json["progress"]["total"]) == (202, 3)
    assert answer.headers["location"] == f"/v1/jobs/{answer.json['id']}"
    run_next(office)
    job = office.through_flask("GET", answer.headers["location"], headers=office.ada).json
    assert (job["state"], job["progress"]["done"], job["progress"]["total"]) == ("succeeded", 3, 3)
    at_once = office.post(PATH, ROWS, headers=office.ada).json
    assert job["result"]["metrics"] == at_once["metrics"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "JSON"),
        (b'{"inputs": [{"text": "good"}]}', "targets"),
        (b'{"inputs": [{"text": "good"}], "targets": ["positive", "negative"]}', "targets"),
        (b'{"inputs": [{"text": 1}], "targets": ["positive"]}', "inputs[0].text"),
        (
            b'{"inputs": [{"text": "a"}, {"text": "b"}], "targets": ["positive", "positive"]}',
            "rows=1 was said",
        ),
        (b'{"inputs": [{"text": "good"}], "targets": ["positive"], "typo": 1}', "typo"),
        (
            b'{"inputs": [{"text": "good"}], "targets": ["positive"], "parameters": {"no": 1}}',
            "parameters.no",
        ),
    ],
)
def test_a_job_tells_what_is_wrong_with_its_rows(office, send_large, body, said):
    """As its error, which names the row and the field."""
    location = send_large(body, query="rows=1").headers["location"]
    run_next(office)
    job = office.through_flask("GET", location, headers=office.ada).json
    assert job["state"] == "failed"
    assert said in job["error"]["message"]
    assert job["error"]["code"] != "internal_error"


def test_what_cannot_become_a_job_is_refused_at_once(office, send_large):
    """Nothing in it, too much of it, another type, a version that is not there, a key without the scope."""
    answers = [
        (send_large(b" "), 400, "empty_body"),
        (send_large(LARGE + b" " * 2**20), 413, "body_too_large"),
        (send_large(b"{}", {"content-type": "application/zip"}), 415, "unsupported_media_type"),
        (send_large(b"{}", query="rows=3&version=9"), 404, "version_not_found"),
        (send_large(b"{}", query="rows=3&version=-"), 400, "invalid_field"),
        (send_large(b"{}", query=""), 400, "invalid_field"),
    ]
    key = office.post("/v1/keys", {"name": "k", "scopes": ["predict"]}, headers=office.ada).json["secret"]
    answers.append((send_large(b"{}", {"authorization": f"Bearer {key}"}), 403, "missing_scope"))
    for answer, status, code in answers:
        assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert office.through_flask("GET", "/v1/jobs", headers=office.ada).json["data"] == []


def test_many_rows_count_by_what_a_key_may_have_in_a_day(office, send_large):
    """When the job is made, from what is said; that it is true the job sees."""
    limited = {"name": "k", "scopes": ["predict", "jobs"], "rows_per_day": 2}
    key = office.post("/v1/keys", limited, headers=office.ada).json["secret"]
    answer = send_large(LARGE, {"authorization": f"Bearer {key}"})
    assert (answer.status, answer.json["error"]["code"]) == (429, "quota_spent")


def test_a_repeat_of_many_rows_makes_no_second_job(send_large, request):
    """One idempotency key, one job."""
    key = {"idempotency-key": request.node.name}
    assert len({send_large(LARGE, key).json["id"] for _ in range(2)}) == 1


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"targets": ["positive"]}, "targets"),
        ({"targets": ["positive", "perhaps", "negative"]}, "targets[1]"),
        ({"inputs": [{"text": "good"}, {"text": 1}, {"text": "dull"}]}, "inputs[1].text"),
        ({"inputs": [{"text": "good"}, {}, {"text": "dull"}]}, "inputs[1].text"),
        ({"parameters": {"nonsense": 1}}, "parameters.nonsense"),
        ({"inputs": []}, "inputs"),
    ],
)
def test_what_is_wrong_is_named(send, change, param):
    """By its row, and nothing is run."""
    answer = send("POST", PATH, {**ROWS, **change})
    assert (answer.status, answer.json["error"]["param"]) == (422, param)


def test_not_a_number_is_no_json(office):
    """As everywhere."""
    body = json.dumps({**ROWS, "targets": [float("nan")] * 3}).encode()
    answer = office.through_front(
        "POST", PATH, headers={**office.ada, "content-type": "application/json"}, body=body
    )
    assert answer.status == 400


def test_more_rows_than_a_call_takes_become_a_job(office, send):
    """202, where to find it, and the same figures when it has run; its input is gone then."""
    rows = {name: values * 2 for name, values in ROWS.items()}
    answer = send("POST", PATH, rows)
    assert answer.status == 202
    job = answer.json
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["state"], job["model"], job["version"]) == ("evaluate", "queued", "ada~words", 1)
    assert job["progress"]["total"] == 6
    digest = send("GET", "/v1/models/words/versions/1").json["digest"]
    assert job["request"] == {"rows": 6, "parameters": {}, "digest": digest}
    run_next(office)
    found = send("GET", f"/v1/jobs/{job['id']}").json
    assert found["state"] == "succeeded", found
    assert found["result"]["metrics"][0]["value"] == pytest.approx(2 / 3)
    assert [line["text"] for line in send("GET", f"/v1/jobs/{job['id']}/log").json["data"]] == ["begun"]
    assert send("DELETE", f"/v1/jobs/{job['id']}").status == 204
    assert send("GET", f"/v1/jobs/{job['id']}").status == 404


def test_a_background_evaluation_is_created_once_for_its_key(send):
    """The same key gives the same job; with another body it is a conflict."""
    body, key = {**ROWS, "background": True}, {"idempotency-key": f"key-{secrets.token_hex(8)}"}
    first = send("POST", PATH, body, headers=key)
    second = send("POST", PATH, body, headers=key)
    assert (first.status, second.status) == (202, 202)
    assert first.json["id"] == second.json["id"]
    assert second.headers["location"] == first.headers["location"]
    other = send("POST", PATH, {**body, "targets": ["positive"] * 3}, headers=key)
    assert other.status == 409


def test_a_background_evaluation_needs_the_scope_of_jobs(office, send):
    """Predicting alone is not enough, for there is a job to be seen afterwards."""
    key = office.post("/v1/keys", {"name": "k", "scopes": ["predict"]}, headers=office.ada).json["secret"]
    credential = {"authorization": f"Bearer {key}"}
    assert send("POST", PATH, ROWS, headers=credential).status == 200
    answer = send("POST", PATH, {**ROWS, "background": True}, headers=credential)
    assert (answer.status, answer.json["error"]["code"]) == (403, "missing_scope")


def test_too_many_jobs_are_refused(send):
    """The message says what to do; the input of the refused one is not kept."""
    for _ in range(4):
        assert send("POST", PATH, {**ROWS, "background": True}).status == 202
    answer = send("POST", PATH, {**ROWS, "background": True})
    assert (answer.status, answer.json["error"]["code"]) == (409, "too_many_jobs")


def test_without_anything_that_takes_jobs_none_is_queued(office, send, monkeypatch):
    """It would wait for ever; but a process of another server on the same store counts."""
    monkeypatch.setattr(office.services, "has_job_processes", False)
    answer = send("POST", PATH, {**ROWS, "background": True})
    assert (answer.status, answer.json["error"]["code"]) == (503, "jobs_not_served")
    assert answer.headers["x-should-retry"] == "false"
    job_runs.sign_in(office.services.database, "elsewhere")
    assert send("POST", PATH, {**ROWS, "background": True}).status == 202
    job_runs.sign_out(office.services.database, "elsewhere")


def test_a_job_of_another_account_is_not_there(office, send):
    """For every method alike."""
    job = queue(office)
    for method, path in [
        ("GET", f"/v1/jobs/{job}"),
        ("POST", f"/v1/jobs/{job}/cancel"),
        ("DELETE", f"/v1/jobs/{job}"),
        ("GET", f"/v1/jobs/{job}/log"),
        ("GET", f"/v1/jobs/{job}/events"),
    ]:
        answer = send(method, path, headers=office.bob)
        assert (answer.status, answer.json["error"]["code"]) == (404, "job_not_found")
    assert send("GET", "/v1/jobs", headers=office.bob).json["data"] == []


def test_an_owner_says_what_was_measured(office, send):
    """Beside the manifest, which stays; nobody else may."""
    metric = {"name": "accuracy", "value": 0.9, "dataset": "own reviews", "rows": 40, "interval": [0.8, 0.95]}
    path = "/v1/models/words/versions/1"
    found = send("PATCH", path, {"metrics": [metric]})
    assert found.status == 200, found.json
    (kept,) = send("GET", path).json["measured_metrics"]
    assert {name: kept[name] for name in metric} == metric
    assert send("PATCH", path, {"metrics": []}).json["measured_metrics"] == []
    assert send("PATCH", path, {"metrics": [{**metric, "rows": 0}]}).status == 422
    assert send("PATCH", path, {"metrics": [metric]}, headers=office.bob).status == 404


class Following:
    """An open stream of events."""

    def __init__(self, office, job, *, who="ada", after=None):
        headers = {**getattr(office, who), **({"last-event-id": str(after)} if after else {})}
        self.client = office.connect()
        office.send(self.client, "GET", f"/v1/jobs/{job}/events", headers)
        self.file = self.client.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value

    def chunk(self):
        """Return the next chunk, b"" at the end."""
        size = int(self.file.readline(), 16)
        content = self.file.read(size)
        self.file.readline()
        return content

    def event(self):
        """Return the next event's id and job, passing over comments; None at the end."""
        while content := self.chunk():
            fields = dict(line.split(": ", 1) for line in content.decode().splitlines() if ": " in line)
            if "data" in fields:
                assert fields["event"] == "job"
                return int(fields["id"]), json.loads(fields["data"])
        return None

    def close(self):
        self.file.close()
        self.client.close()


@pytest.fixture
def follow(office, monkeypatch):
    monkeypatch.setattr(job_events, "_LOOK_SECONDS", 0.02)
    opened = []

    def make(*arguments, **options):
        opened.append(Following(office, *arguments, **options))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
    office.wait_for(lambda: not office.services.streams.open)


def test_events_tell_each_change_until_the_end(office, follow):
    """First what is, then what becomes; the id is the revision, and the stream ends with the job."""
    job = queue(office)
    stream = follow(job)
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
    revision, found = stream.event()
    assert (revision, found["state"]) == (1, "queued")
    claim = job_runs.claim(office.services.database, "test", lease=timedelta(seconds=10))
    revision, found = stream.event()
    assert (revision, found["state"]) == (2, "running")
    job_runs.report(office.services.database, claim, done=1, total=2, remaining_seconds=1.0)
    assert stream.event()[1]["progress"]["done"] == 1
    job_runs.fail(office.services.database, office.services.artifacts, claim, code="x", message="y")
    assert stream.event()[1]["state"] == "failed"
    assert stream.event() is None


def test_a_client_that_comes_again_gets_what_it_has_not_seen(office, follow):
    """`Last-Event-ID` as the standard has it; one from nowhere counts as none."""
    job = queue(office)
    stream = follow(job, after=1)
    office.through_flask("POST", f"/v1/jobs/{job}/cancel", headers=office.ada)
    revision, found = stream.event()
    assert (revision > 1, found["state"]) == (True, "cancelled")
    assert stream.event() is None
    again = follow(job, after="99999999999999999999")
    assert again.event()[1]["state"] == "cancelled"


def test_the_same_events_come_through_any_wsgi_server(office):
    """Where nothing looks for all streams, each looks by itself."""
    job = queue(office)
    office.through_flask("POST", f"/v1/jobs/{job}/cancel", headers=office.ada)
    answer = office.through_flask("GET", f"/v1/jobs/{job}/events", headers=office.ada)
    assert answer.status == 200
    assert b"retry: 2000" in answer.body
    assert b'"state":"cancelled"' in answer.body
    assert office.through_flask("HEAD", f"/v1/jobs/{job}/events", headers=office.ada).body == b""
    assert not office.services.streams.open


def test_streams_are_few_and_the_rest_asks(office, follow):
    """503 with when to come again; others' streams and other routes are served meanwhile."""
    job, other = queue(office), queue(office, "bob")
    follow(job), follow(job)
    refused = office.through_front("GET", f"/v1/jobs/{job}/events", headers=office.ada)
    assert (refused.status, refused.json["error"]["code"]) == (503, "too_many_streams")
    assert refused.headers["retry-after"] == "5"
    assert follow(other, who="bob").event()[1]["state"] == "queued"
    assert office.through_front("GET", f"/v1/jobs/{job}", headers=office.ada).status == 200


def test_streams_hold_no_threads(office, follow):
    """One task looks for all of them."""
    job = queue(office)
    before = threading.active_count()
    streams = [follow(job), follow(job)]
    for stream in streams:
        stream.event()
    assert threading.active_count() <= before + 8  # those of the pool that asks the store
    idle = office.services.streams.open
    assert sum(idle.values()) == 2


def test_a_client_that_goes_makes_room_at_once(office, follow):
    """It need not be told anything first."""
    job = queue(office)
    stream = follow(job)
    stream.event()
    stream.client.shutdown(socket.SHUT_RDWR)
    stream.close()
    office.wait_for(lambda: not office.services.streams.open)


def test_a_job_that_is_deleted_ends_its_stream(office, follow):
    """There is nothing left to tell."""
    job = queue(office)
    stream = follow(job)
    stream.event()
    with office.services.database.write() as session:
        session.query(jobs.JobRow).delete()
    assert stream.event() is None


def test_a_draining_server_ends_its_streams(office, follow):
    """Clients come again, to whoever answers then."""
    job = queue(office)
    stream = follow(job)
    stream.event()
    office.services.draining.set()
    try:
        assert stream.event() is None
    finally:
        office.services.draining.clear()


def test_a_stream_ends_in_time_for_its_credential_to_be_looked_at_again(office, follow, monkeypatch):
    """A key that was revoked meanwhile follows nothing any more."""
    monkeypatch.setattr(job_events, "_LONGEST_SECONDS", 0.0)
    monkeypatch.setattr(job_events, "_SILENCE_SECONDS", 0.05)
    stream = follow(queue(office))
    stream.event()
    assert stream.event() is None


@pytest.mark.parametrize("way", ["through_front", "through_flask"])
def test_a_stream_ends_when_its_key_is_revoked(office, follow, monkeypatch, way):
    """It is looked at with the job, not when the stream ends by itself."""
    monkeypatch.setattr(job_events, "_LOOK_SECONDS", 0.02)
    made = office.post("/v1/keys", {"name": "follower", "scopes": ["jobs"]}, headers=office.ada).json
    office.follower = {"authorization": f"Bearer {made['secret']}"}
    job = queue(office)

    def revoke():
        path = f"/v1/keys/{made['id']}"
        assert office.through_flask("DELETE", path, headers=office.ada).status == 204

    if way == "through_front":
        stream = follow(job, who="follower")
        stream.event()
        revoke()
        assert stream.event() is None
        return
    answer = office.flask.test_client().get(f"/v1/jobs/{job}/events", headers=office.follower)
    pieces = iter(answer.response)
    next(pieces)
    revoke()
    assert list(pieces) == []


def test_silence_is_broken_before_a_proxy_cuts_it(office, follow, monkeypatch):
    """A comment, which clients pass over."""
    monkeypatch.setattr(job_events, "_SILENCE_SECONDS", 0.05)
    stream = follow(queue(office))
    stream.event()
    assert stream.chunk() == b": alive\n\n"


@pytest.mark.parametrize("rows", [ROWS, {**ROWS, "background": True}], ids=["at once", "job"])
def test_who_evaluates_a_deprecated_version_is_told(office, send, rows):
    """As who predicts with it; an evaluation asks for the exact version, of which no caller is to hear."""
    assert "deprecation" not in send("POST", PATH, rows).headers
    version = "/v1/models/words/versions/1"
    try:
        assert send("PATCH", version, {"state": "deprecated", "reason": "old"}).status == 200
        told = send("POST", PATH, rows).headers
        assert (told["deprecation"][0], told["x-maas-version"]) == ("@", "1")
        assert "x-maas-default-version" not in told
        assert send("POST", f"{version}/evaluate", rows).headers["x-maas-default-version"] == "1"
    finally:
        assert send("PATCH", version, {"state": "active"}).status == 200


@pytest.mark.parametrize("rows", [ROWS, {**ROWS, "background": True}], ids=["at once", "job"])
def test_a_model_that_is_kept_out_of_memory_is_not_evaluated(office, send, rows):
    """Nor by a job, which would load it in a process of its own."""
    assert send("POST", PATH, {**ROWS, "background": True}).status == 202
    assert send("POST", "/v2/repository/models/words/unload", {}).status == 200
    try:
        answer = send("POST", PATH, rows)
        assert (answer.status, answer.json["error"]["code"]) == (503, "model_unloaded")
        run_next(office)
        (queued,) = send("GET", "/v1/jobs").json["data"]
        assert (queued["state"], queued["error"]["code"]) == ("failed", "model_unloaded")
    finally:
        assert send("POST", "/v2/repository/models/words/load", {}).status == 200
