"""Fine-tunes over HTTP; the job process is played by the test, which runs what was queued."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import quote

import pytest

from reference_server.jobs import running
from reference_server.jobs.context import Services
from reference_server.registry import job_runs, jobs

PATH = "/v1/fine-tunes"
TRAIN = {
    "inputs": [{"text": f"a {word} day, number {n}"} for n in range(20) for word in ("good", "bad")],
    "targets": ["up", "down"] * 20,
}
BODY = {"name": "mine", "train": TRAIN, "epochs": 3}


@pytest.fixture(scope="module")
def office(make_server, tmp_path_factory, text_package):
    """A server with jobs, and `ada`, who owns the classifier `words`."""
    made = make_server(
        tmp_path_factory.mktemp("office") / "data",
        jobs_per_account=4,
        max_instances=50,
        max_fine_tune_rows=60,
    )
    made.services.has_job_processes = True
    made.ada = made.register("ada")
    assert made.publish(made.ada, "words", text_package).status == 201
    made.bob = made.register("bob")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_jobs_left(office):
    yield
    with office.services.database.write() as session:
        session.query(jobs.JobRow).delete()


@pytest.fixture(params=["through_flask", "through_front"])
def send(office, request):
    """Send a request through each door in turn."""

    def make(method, path, body=None, headers=None, **options):
        content = b"" if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json", **office.ada, **(headers or {})}
        return getattr(office, request.param)(method, path, headers=given, body=content, **options)

    return make


def run_next(office):
    """Do what a job process does once."""
    services = office.services
    own = Services(services.settings, services.database, services.artifacts, services.pool)
    claim = job_runs.claim(services.database, "test", lease=timedelta(seconds=10))
    running.run(claim, own, stopping=lambda: False)


def key(office, *scopes, **limits):
    answer = office.post("/v1/keys", {"name": "k", "scopes": scopes, **limits}, headers=office.ada)
    assert answer.status == 201, answer.json
    return {"authorization": f"Bearer {answer.json['secret']}"}


def test_rows_become_a_model_that_predicts(office, send, request):
    """From the request to a prediction by the version that came of it."""
    name = f"made-{request.node.callspec.id}"
    answer = send("POST", PATH, {**BODY, "name": name, "epochs": 10})
    assert answer.status == 202, answer.json
    assert answer.headers["location"] == f"/v1/jobs/{answer.json['id']}"
    assert (answer.json["kind"], answer.json["model"]) == ("fine-tune", f"ada~{name}")
    assert "good day" not in json.dumps(answer.json)
    run_next(office)
    job = send("GET", answer.headers["location"]).json
    assert job["state"] == "succeeded", job["error"]
    assert (job["result"]["model"], job["result"]["version"]) == (name, 1)
    assert len(job["interim"]["curve"]) == len(job["result"]["curve"])
    said = send("POST", f"/v1/models/{name}/predict", {"text": "a bad day"}).json
    assert said["predictions"][0]["label"] == "down"
    version = send("GET", f"/v1/models/{name}/versions/1").json
    assert (version["origin"], version["lineage"]["job"]) == ("trained", job["id"])


def test_many_rows_come_as_a_stream(office, send):
    """With everything else in the query; the job is the first to read them."""
    options = quote(json.dumps({"name": "streamed", "epochs": 2, "validation": 0.5}))
    answer = send("POST", f"{PATH}/large", {"train": TRAIN}, query=f"rows=40&options={options}")
    assert answer.status == 202, answer.json
    run_next(office)
    job = send("GET", answer.headers["location"]).json
    assert (job["state"], job["result"]["rows"]) == ("succeeded", {"train": 20, "validation": 20})


def test_a_stream_of_other_rows_than_were_said_fails(office, send):
    """By what was said a day's allowance was counted."""
    options = quote(json.dumps({"name": "streamed"}))
    answer = send("POST", f"{PATH}/large", {"train": TRAIN}, query=f"rows=39&options={options}")
    run_next(office)
    assert send("GET", answer.headers["location"]).json["error"]["code"] == "wrong_rows"


ONE_LABEL = {"inputs": [{"text": "a"}, {"text": "b"}], "targets": ["x", "x"]}
COLUMNS = {"inputs": [{"x": 1.0}, {"x": 2.0}], "targets": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"train": ONE_LABEL}, 422, "one_class", "train.targets"),
        ({"train": {**TRAIN, "targets": ["up"]}}, 422, "wrong_rows", "train.targets"),
        (
            {"train": {**TRAIN, "targets": [1, *TRAIN["targets"][1:]]}},
            422,
            "wrong_type",
            "train.targets[0]",
        ),
        ({"train": COLUMNS}, 422, "wrong_type", "train.targets[0]"),
        ({"loss": "mse"}, 422, "wrong_loss", "loss"),
        (
            {"validation": {"inputs": [{"text": "new"}], "targets": ["left"]}},
            422,
            "unknown_label",
            "validation.targets[0]",
        ),
        (
            {"validation": {"inputs": TRAIN["inputs"][:1], "targets": ["up"]}},
            422,
            "duplicate_row",
            "validation.inputs[0]",
        ),
        ({"class_weights": {"left": 2}}, 422, "unknown_label", "class_weights"),
        ({"name": "words~"}, 422, None, None),
        ({"name": "bob~other"}, 404, "model_not_found", "model"),
        ({"base": "words"}, 422, "base_not_embedding", "base"),
        ({"base": "nothing"}, 404, "model_not_found", "model"),
        ({"base_version": "1"}, 400, None, "base_version"),
        ({"epochs": 0}, 422, None, None),
        (
            {"train": {"inputs": TRAIN["inputs"] * 2, "targets": TRAIN["targets"] * 2}},
            413,
            "too_many_rows",
            "train",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(office, send, changes, status, code, param):  # noqa: PLR0917
    """By its name and place, before there is a job."""
    answer = send("POST", PATH, {**BODY, **changes})
    assert answer.status == status, answer.json
    error = answer.json["error"]
    assert code is None or error["code"] == code
    assert param is None or error["param"] == param
    assert send("GET", "/v1/jobs").json["data"] == []


def test_more_rows_than_the_operator_allows_are_refused(office, send):
    """By what is said, before they are sent."""
    options = quote(json.dumps({"name": "streamed"}))
    answer = send("POST", f"{PATH}/large", {"train": TRAIN}, query=f"rows=61&options={options}")
    assert (answer.status, answer.json["error"]["code"]) == (413, "too_many_rows")


@pytest.mark.parametrize("path", [PATH, f"{PATH}/large"])
def test_it_takes_both_scopes(office, send, path):
    """To make jobs, and to change models."""
    options = quote(json.dumps({"name": "mine"}))
    query = f"rows=40&options={options}" if path.endswith("large") else ""
    body = {"train": TRAIN} if query else BODY
    for scopes, status in (
        (["jobs"], 403),
        (["models:write"], 403),
        (["jobs", "models:write"], 202),
    ):
        answer = send("POST", path, body, headers=key(office, *scopes), query=query)
        assert answer.status == status, answer.json
        assert status == 202 or answer.json["error"]["code"] == "missing_scope"


def test_a_repeat_makes_no_second_job(send, request):
    """One idempotency key, one job."""
    name = {"idempotency-key": f"fine-tune-{request.node.callspec.id}"}
    first, second = (send("POST", PATH, BODY, headers=name) for _ in range(2))
    assert (first.status, second.status) == (202, 202)
    assert second.json == first.json
    assert len(send("GET", "/v1/jobs").json["data"]) == 1


def test_a_limited_key_trains_what_it_may_and_sees_that_job(office, send):
    """A model that is not there yet is one that its pattern allows; another is not there for it."""
    held = key(office, "jobs", "models:write", models=["team-*"])
    assert send("POST", PATH, BODY, headers=held).status == 404
    answer = send("POST", PATH, {**BODY, "name": "team-new"}, headers=held)
    assert answer.status == 202, answer.json
    assert send("GET", answer.headers["location"], headers=held).status == 200
    assert len(send("GET", "/v1/jobs", headers=held).json["data"]) == 1
    other = key(office, "jobs", models=["words"])
    assert send("GET", answer.headers["location"], headers=other).status == 404
    assert send("GET", "/v1/jobs", headers=other).json["data"] == []


def test_asking_for_one_stands_in_the_audit_log(office, send):
    """With the job that it became."""
    job = send("POST", PATH, BODY).json["id"]
    entries = send("GET", "/v1/audit", query="act=fine_tune_asked").json["data"]
    assert job in {entry["subject"] for entry in entries}
