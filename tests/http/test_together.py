"""Traffic, states, deletion, evaluation, jobs and the catalogue as they act on each other."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from reference_server.housekeeping import Housekeeping
from reference_server.jobs import running
from reference_server.jobs.context import Services
from reference_server.registry import job_runs

WORDS = "/v1/models/words"
TRAFFIC = f"{WORDS}/traffic"
DEFAULT = f"{WORDS}/aliases/default"
PREDICT = f"{WORDS}/predict"
EVALUATE = f"{WORDS}/evaluate"
ROWS = {"inputs": [{"text": "good"}, {"text": "bad"}], "targets": ["positive", "negative"]}
WAYS = ["through_front", "through_flask"]
NOTICES = ("deprecation", "x-maas-model", "x-maas-version")


@pytest.fixture
def server(tmp_path, make_server, text_package, package_writer, text_graph):
    """A server with the account `ada`, whose public model `words` has two versions of one signature."""
    made = make_server(tmp_path / "data", calls_per_second=100_000, max_instances=2)
    made.services.has_job_processes = True
    made.ada = made.register("ada")
    made.other = package_writer(text_graph(), example="another day")
    for package in (text_package, made.other):
        answer = made.publish(made.ada, "words", package, query="visibility=public")
        assert answer.status == 201, answer.body
    yield made
    made.close()


def ask(server, method, path, value=None, *, way="through_flask", query="", headers=None, **more):
    body = b"" if value is None else json.dumps(value).encode()
    sent = {**(headers or server.ada), "content-type": "application/json", **more}
    return getattr(server, way)(method, path, headers=sent, body=body, query=query)


def code(answer):
    return answer.status, answer.json["error"]["code"]


def split(server, *versions, **more):
    update = {"splits": [{"version": version, "weight": 1} for version in versions], **more}
    answer = ask(server, "PUT", TRAFFIC, update)
    assert answer.status == 200, answer.body
    return answer.json


def patch(server, number, **change):
    answer = ask(server, "PATCH", f"{WORDS}/versions/{number}", change)
    assert answer.status == 200, answer.body
    return answer.json


def run_next(server):
    """Do what a job process does once."""
    services = server.services
    own = Services(services.settings, services.database, services.artifacts, services.pool)
    claim = job_runs.claim(services.database, "test", lease=timedelta(seconds=10))
    running.run(claim, own, stopping=lambda: False)


@pytest.mark.parametrize("force", [False, True])
def test_who_moves_default_under_a_split_is_told_of_the_split(server, token_package, force):
    """Not to force what force cannot do; and nothing is loaded for it."""
    made = server.publish(server.ada, "words", token_package).json
    ask(server, "PUT", DEFAULT, {"version": 2})
    split(server, 1, 2)
    move = {"version": made["version"], "force": force}
    assert code(ask(server, "PUT", DEFAULT, move)) == (409, "traffic_split_in_force")
    assert code(ask(server, "POST", f"{DEFAULT}/rollback", {"force": force})) == (
        409,
        "traffic_split_in_force",
    )
    assert server.services.pool.find(made["digest"]) is None
    assert ask(server, "PUT", DEFAULT, {"version": 2}).json["revision"] == 2


def test_who_lost_a_race_is_told_so_before_anything_else(server, token_package):
    """The present state says what to decide anew; what breaks against it would only mislead."""
    made = server.publish(server.ada, "words", token_package).json
    number = made["version"]
    split(server, 1, 2)
    stale = {"if-match": '"0"'}
    refused = ask(server, "PUT", TRAFFIC, {"splits": [{"version": number, "weight": 1}]}, **stale)
    assert (refused.status, refused.json["error"]["current"]["revision"]) == (412, 1)
    assert ask(server, "DELETE", TRAFFIC).status == 200
    for method, path, body in (
        ("PUT", DEFAULT, {"version": number}),
        ("POST", f"{DEFAULT}/rollback", {}),
    ):
        refused = ask(server, method, path, body, **stale)
        assert (refused.status, refused.json["error"]["current"]["version"]) == (412, 1)
    assert server.services.pool.find(made["digest"]) is None


def test_what_breaks_calls_gets_no_share_unless_that_is_meant(server, token_package):
    """A shadow may: nobody gets its answers."""
    made = server.publish(server.ada, "words", token_package).json
    update = {"splits": [{"version": 1, "weight": 9}, {"version": made["version"], "weight": 1}]}
    assert code(ask(server, "PUT", TRAFFIC, update)) == (409, "breaking_signature")
    assert server.services.pool.find(made["digest"]) is None
    assert ask(server, "PUT", TRAFFIC, {**update, "force": True}).status == 200
    assert ask(server, "PUT", TRAFFIC, {"shadows": [made["version"]]}).status == 200


@pytest.mark.parametrize("act", ["retire", "delete"])
def test_what_is_in_the_traffic_stays(server, act):
    """A share and a shadow are told of; when the traffic has let go the version may go too."""

    def end():
        path = f"{WORDS}/versions/2"
        return (
            ask(server, "DELETE", path)
            if act == "delete"
            else ask(server, "PATCH", path, {"state": "retired"})
        )

    for update, role in (
        ({"splits": [{"version": 1, "weight": 3}, {"version": 2, "weight": 1}]}, "has 0.25 of the traffic"),
        ({"shadows": [2]}, "is a shadow"),
    ):
        assert ask(server, "PUT", TRAFFIC, update).status == 200
        refused = end()
        assert code(refused) == (409, "version_in_use")
        assert role in refused.json["error"]["message"]
    assert ask(server, "DELETE", TRAFFIC).status == 200
    assert end().status in (200, 204)
    for update in ({"splits": [{"version": 2, "weight": 1}]}, {"shadows": [2]}):
        answer = ask(server, "PUT", TRAFFIC, update)
        assert answer.status == (404 if act == "delete" else 409), answer.body


@pytest.mark.parametrize("way", WAYS)
def test_who_meets_a_deprecated_version_in_a_split_is_told(server, way):
    """And nobody else."""
    split(server, 1, 2)
    patch(server, 2, state="deprecated", replacement="1")
    met = set()
    for number in range(40):
        answer = ask(server, "POST", PREDICT, {"text": "good"}, way=way, **{"x-sticky-id": f"u{number}"})
        version = answer.json["version"]
        met.add(version)
        told = [answer.headers.get(name) is not None for name in NOTICES]
        assert told == [version == 2] * len(NOTICES)
    assert met == {1, 2}


@pytest.mark.parametrize("way", WAYS)
def test_who_evaluates_a_deprecated_version_is_told(server, way):
    """With the result, and with the job that many rows become."""
    patch(server, 1, state="deprecated", replacement="2")
    many = {name: values * 2 for name, values in ROWS.items()}
    for rows, status in ((ROWS, 200), (many, 202)):
        answer = ask(server, "POST", EVALUATE, rows, way=way)
        assert (answer.status, answer.headers["x-maas-version"]) == (status, "1")
        assert answer.headers["deprecation"].startswith("@")
        assert answer.headers["link"] == '</v1/models/words/versions/2>; rel="successor-version"'
        other = ask(server, "POST", f"{WORDS}/versions/2/evaluate", rows, way=way)
        assert not set(NOTICES) & set(other.headers)


def test_what_was_measured_is_what_the_catalogue_shows_and_sorts_by(server):
    """Of the version behind `default`, also after a promotion and a move back."""
    measured = {1: 0.7, 2: 0.9}
    for number, value in measured.items():
        metric = {"name": "accuracy", "value": value, "dataset": "mine", "split": "test", "rows": 10}
        patch(server, number, metrics=[metric])

    def listed(least):
        found = ask(server, "GET", "/v1/models", query=f"min_accuracy={least}").json["data"]
        return [model["metrics"][0]["value"] for model in found]

    assert (listed(0.6), listed(0.8)) == ([0.7], [])
    split(server, 2)
    assert listed(0.8) == []
    split(server, 2, promote=True)
    assert listed(0.8) == [0.9]
    assert ask(server, "GET", WORDS).json["metrics"][0]["value"] == 0.9
    assert ask(server, "POST", f"{DEFAULT}/rollback", {}).json["version"] == 1
    assert listed(0.8) == []


def test_rows_of_an_evaluation_are_usage_in_a_call_and_in_a_job(server):
    """The account's and the model's; the time of a job says nothing of the version's latency."""
    bob = server.register("bob")
    many = {name: values * 3 for name, values in ROWS.items()}
    assert ask(server, "POST", EVALUATE, ROWS, headers=bob).status == 200
    assert ask(server, "POST", EVALUATE, many, headers=bob).status == 202
    run_next(server)
    server.services.metrics.publish()
    Housekeeping(server.services)._store_counts()
    (entry,) = ask(server, "GET", "/v1/usage", headers=bob).json["data"]
    assert (entry["model"], entry["version"], entry["calls"], entry["rows"]) == ("ada~words", 1, 2, 8)
    model = ask(server, "GET", WORDS).json
    assert (model["usage"]["calls"], model["usage"]["rows"]) == (2, 8)
    assert model["performance"] == []


def test_a_job_says_so_when_its_version_is_another_by_now(server):
    """A model that was deleted and made again counts from 1 again."""
    job = ask(server, "POST", EVALUATE, {**ROWS, "background": True}).json
    assert ask(server, "DELETE", WORDS).status == 200
    assert server.publish(server.ada, "words", server.other).json["version"] == 1
    run_next(server)
    found = ask(server, "GET", f"/v1/jobs/{job['id']}").json
    assert (found["state"], found["error"]["code"]) == ("failed", "version_replaced")
    assert ask(server, "GET", "/v1/usage").json["data"] == []


def test_a_job_of_a_version_that_was_retired_says_what_to_use(server):
    """Nothing of it runs."""
    job = ask(server, "POST", f"{WORDS}/versions/2/evaluate", {**ROWS, "background": True}).json
    patch(server, 2, state="retired", replacement="1")
    assert code(ask(server, "POST", f"{WORDS}/versions/2/evaluate", ROWS)) == (410, "version_retired")
    run_next(server)
    found = ask(server, "GET", f"/v1/jobs/{job['id']}").json
    assert (found["state"], found["error"]["code"]) == ("failed", "version_retired")
    assert "use version 1" in found["error"]["message"]


def test_everything_that_happened_is_in_one_history_and_in_the_export(server):
    """In its order, with who did it and what was changed."""
    split(server, 1, 2, note="try")
    patch(server, 1, state="deprecated", reason="old")
    split(server, 2, promote=True)
    ask(server, "PUT", TRAFFIC, {"shadows": [1]})
    ask(server, "DELETE", TRAFFIC)
    ask(server, "POST", f"{DEFAULT}/rollback", {"note": "back"})
    ask(server, "POST", EVALUATE, {**ROWS, "background": True})
    events = ask(server, "GET", f"{WORDS}/history").json["data"]
    assert [event["kind"] for event in reversed(events)] == [
        "published",
        "alias_moved",
        "published",
        "traffic_changed",
        "deprecated",
        "promoted",
        "alias_moved",
        "traffic_changed",
        "withdrawn",
        "alias_rolled_back",
    ]
    assert [event["seq"] for event in events] == list(range(10, 0, -1))
    changed = ask(server, "GET", f"{WORDS}/history", query="kind=traffic_changed").json["data"]
    assert [event["details"]["note"] for event in changed] == ["", "try"]
    assert ask(server, "GET", f"{WORDS}/served").json["versions"][0]["version"] == 1
    exported = ask(server, "GET", "/v1/account/export").json
    assert exported["events"]["words"] == events
    assert [change["kind"] for change in exported["traffic_changes"]["words"]] == [
        "withdrawn",
        "traffic_changed",
        "promoted",
        "traffic_changed",
    ]
    assert [job["kind"] for job in exported["jobs"]] == ["evaluate"]


def test_deletion_takes_what_all_parts_know_of_a_version_and_of_a_model(server):
    """Nothing refers to what is gone, and what is counted afterwards disturbs nobody."""
    ask(server, "PUT", TRAFFIC, {"splits": [{"version": 2, "weight": 1}], "shadows": [1]})
    for number in range(5):
        ask(server, "POST", PREDICT, {"text": "good"}, **{"x-sticky-id": str(number)})
    ask(server, "POST", f"{WORDS}/versions/2/evaluate", {**ROWS, "background": True})
    house = Housekeeping(server.services)

    def count():
        server.services.metrics.publish()
        house._store_counts()

    count()
    ask(server, "GET", f"{WORDS}/comparison", query="a=2&b=1")
    assert ask(server, "DELETE", TRAFFIC).status == 200
    assert ask(server, "POST", f"{WORDS}/versions/2/predict", {"text": "good"}).status == 200
    assert ask(server, "DELETE", f"{WORDS}/versions/2").status == 200
    count()
    assert ask(server, "GET", f"{WORDS}/versions").json["data"][0]["version"] == 1
    assert code(ask(server, "GET", f"{WORDS}/comparison", query="a=2&b=1")) == (404, "version_not_found")
    assert ask(server, "DELETE", WORDS).status == 200
    count()
    run_next(server)
    with server.services.database.read() as session:
        connection = session.connection()
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall() == []
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


@pytest.mark.parametrize("way", WAYS)
def test_callers_notice_nothing_of_a_version_that_another_worker_deleted(server, make_server, way):
    """What this worker remembers for a second leads to a package that is not there any more."""
    split(server, 2)
    other = make_server(server.services.settings.data_dir, workers=2, calls_per_second=100_000)
    other.ada = server.ada
    try:
        assert ask(other, "POST", PREDICT, {"text": "good"}, way=way).json["version"] == 2
        assert ask(server, "DELETE", TRAFFIC).status == 200
        assert ask(server, "DELETE", f"{WORDS}/versions/2").status == 200
        Housekeeping(other.services)._unload_gone()
        answer = ask(other, "POST", PREDICT, {"text": "good"}, way=way)
        assert (answer.status, answer.json.get("version")) == (200, 1), answer.body
    finally:
        other.close()


def test_who_evaluates_default_is_not_led_to_what_another_worker_deleted(server, make_server):
    """The version is looked up anew, for more is read of it than a prediction needs."""
    other = make_server(server.services.settings.data_dir, workers=2)
    other.ada = server.ada
    try:
        assert ask(other, "POST", EVALUATE, ROWS).json["version"] == 1
        assert ask(server, "PUT", DEFAULT, {"version": 2}).status == 200
        assert ask(server, "DELETE", f"{WORDS}/versions/1").status == 200
        answer = ask(other, "POST", EVALUATE, ROWS)
        assert (answer.status, answer.json.get("version")) == (200, 2), answer.body
    finally:
        other.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_publish_that_breaks_default_is_not_made(server, token_package, way):
    """Neither where the version before is in use nor where it is not."""
    for _ in range(2):
        answer = server.publish(server.ada, "words", token_package, query="set_default=true")
        assert code(answer) == (409, "breaking_signature")
        assert ask(server, "POST", PREDICT, {"text": "good"}, way=way).json["version"] == 1
    assert ask(server, "GET", WORDS).json["latest_version"] == 2
