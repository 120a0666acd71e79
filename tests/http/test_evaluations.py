"""What an evaluation counts as, what it tells of its version, and what becomes of it when that goes."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta

import pytest

from reference_server.errors import Unprocessable
from reference_server.evaluation.work import EvaluationWork
from reference_server.housekeeping import Housekeeping
from reference_server.jobs import running
from reference_server.jobs.context import Services
from reference_server.registry import job_runs

ROWS = {
    "inputs": [{"text": "good"}, {"text": "bad"}, {"text": "dull"}],
    "targets": ["positive", "negative", "positive"],
}
PATH = "/v1/models/words/evaluate"
VERSION = "/v1/models/words/versions/1"


@pytest.fixture(scope="module")
def office(make_server, tmp_path_factory, text_package):
    """A server with jobs and the account `ada`, who owns `words`."""
    made = make_server(tmp_path_factory.mktemp("office") / "data")
    made.services.has_job_processes = True
    made.ada = made.register("ada")
    assert made.publish(made.ada, "words", text_package).status == 201
    yield made
    made.close()


@pytest.fixture(params=["through_flask", "through_front"])
def send(office, request):
    """Send a request through each door in turn."""

    def make(method, path, body=None):
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", **office.ada}
        return getattr(office, request.param)(method, path, headers=headers, body=content)

    return make


@pytest.fixture
def newer(office, package_writer, text_graph, count=itertools.count()):  # noqa: B008 - counts on over all tests
    """The path of a version of its own content, newer than `default`."""
    folder = package_writer(text_graph(), example=f"good day {next(count)}")
    number = office.publish(office.ada, "words", folder).json["version"]
    return f"/v1/models/words/versions/{number}"


def run_next(office):
    """Do what a job process does once."""
    services = office.services
    own = Services(services.settings, services.database, services.artifacts, services.pool)
    claim = job_runs.claim(services.database, "test", lease=timedelta(seconds=10))
    running.run(claim, own, stopping=lambda: False)


def store_counts(office):
    """Store what was counted, as happens every second."""
    housekeeping = Housekeeping(office.services)
    housekeeping.start()
    housekeeping.stop()


def get(office, path):
    return office.through_flask("GET", path, headers=office.ada).json


def counts(office):
    """Return what is counted as predictions of the first version, and as usage."""
    version, usage = get(office, VERSION), get(office, "/v1/usage")["data"]
    return {
        "answered": sum(each["calls"] for each in version["performance"]),
        "answered rows": sum(each["rows"] for each in version["performance"]),
        "failed": sum(each["failures"] for each in version["performance"]),
        "used": sum(each["calls"] for each in usage),
        "used rows": sum(each["rows"] for each in usage),
        "used in vain": sum(each["failures"] for each in usage),
        "of the version": version["usage"]["calls"],
        "of the model": get(office, "/v1/models/words")["usage"]["calls"],
    }


def counted(office, act):
    """Return by how much the counts differ after something was done."""
    store_counts(office)
    before = counts(office)
    act()
    store_counts(office)
    after = counts(office)
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def test_an_evaluation_is_usage_and_no_measure_of_speed(office, send):
    """Its time holds a bootstrap, which no prediction has."""

    def act():
        assert send("POST", "/v1/models/words/predict", {"text": "good"}).status == 200
        assert send("POST", PATH, ROWS).status == 200

    assert counted(office, act) == {
        "answered": 1,
        "answered rows": 1,
        "used": 2,
        "used rows": 4,
        "of the version": 2,
        "of the model": 2,
    }


def test_a_job_counts_as_the_call_does(office, send):
    """Once, when it has succeeded."""
    job = send("POST", PATH, {**ROWS, "background": True}).json["id"]
    found = counted(office, lambda: run_next(office))
    assert send("GET", f"/v1/jobs/{job}").json["state"] == "succeeded"
    assert found == {"used": 1, "used rows": 3, "of the version": 1, "of the model": 1}


def test_a_job_that_is_another_processs_counts_nothing(office, send):
    """What came of it here is not its result, and the other one counts it."""
    job = send("POST", PATH, {**ROWS, "background": True}).json["id"]
    services = office.services
    claim = job_runs.claim(services.database, "one", lease=timedelta(seconds=-1))
    assert job_runs.recover(services.database, services.artifacts) == 1
    own = Services(services.settings, services.database, services.artifacts, services.pool)
    assert counted(office, lambda: running.run(claim, own, stopping=lambda: False)) == {}
    assert counted(office, lambda: run_next(office))["used"] == 1
    assert send("GET", f"/v1/jobs/{job}").json["state"] == "succeeded"


def test_an_evaluation_that_fails_is_a_failure_of_usage_alone(office, send, monkeypatch):
    """The catalogue's figures of the version stay as they are."""

    def fail(*_args, **_options):
        raise Unprocessable("no", code="no")

    monkeypatch.setattr(EvaluationWork, "run", fail)
    act = lambda: send("POST", PATH, ROWS)  # noqa: E731 - what is counted
    assert counted(office, act) == {"used in vain": 1}


@pytest.mark.parametrize("background", [False, True])
def test_who_evaluates_a_deprecated_version_is_told(office, send, background):
    """At once or when the job is made, as by every answer of such a version."""
    rows = {**ROWS, "background": background}
    try:
        assert send("PATCH", VERSION, {"state": "deprecated"}).status == 200
        answer = send("POST", f"{VERSION}/evaluate", rows)
        assert answer.status == (202 if background else 200)
        assert answer.headers["deprecation"].startswith("@")
        assert answer.headers["x-maas-version"] == answer.headers["x-maas-default-version"] == "1"
        answer = send("POST", PATH, rows)
        assert answer.headers["deprecation"].startswith("@")
        assert "x-maas-default-version" not in answer.headers
    finally:
        assert send("PATCH", VERSION, {"state": "active"}).status == 200
        for job in get(office, "/v1/jobs")["data"]:
            send("POST", f"/v1/jobs/{job['id']}/cancel")


@pytest.mark.parametrize(
    ("method", "change", "code"),
    [("PATCH", {"state": "retired"}, "version_retired"), ("DELETE", None, "version_not_found")],
)
def test_a_job_whose_version_goes_says_so(office, newer, method, change, code):
    """It ends as failed with the reason that a call would get, and counts as no usage."""
    headers = {"content-type": "application/json", **office.ada}
    rows = {**ROWS, "background": True}
    job = office.post(f"{newer}/evaluate", rows, headers=office.ada).json["id"]
    body = b"" if change is None else json.dumps(change).encode()
    assert office.through_flask(method, newer, headers=headers, body=body).status < 300
    assert counted(office, lambda: run_next(office)) == {}
    found = get(office, f"/v1/jobs/{job}")
    assert (found["state"], found["error"]["code"]) == ("failed", code)
