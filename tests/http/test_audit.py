"""What calls leave in the audit log, and who gets to read it."""

import json
import re
from datetime import timedelta

import pytest

from reference_server.app import ROUTES
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call
from reference_server.registry import accounts, audit_keeping
from reference_server.registry.database import Database

ENDPOINTS = [endpoint for routes in ROUTES for endpoint in routes.endpoints]
PASSWORD = "correct horse battery"


@pytest.fixture
def office(server, text_package):
    """A server with `ada`, her private model `words` of two versions, and `bob`, who has nothing."""
    server.ada, server.bob = server.register("ada"), server.register("bob")
    server.text_package = text_package
    assert server.publish(server.ada, "words", text_package).status == 201
    server.services.trail.flush(everything=True)
    return server


def log(server, who, **query):
    """Return an account's own entries, newest first."""
    server.services.trail.flush()
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = server.through_flask("GET", "/v1/audit", headers=who, query=asked)
    assert answer.status == 200, answer.body
    return answer.json["data"]


def everything(server, **query):
    """Return what an operator sees."""
    server.services.trail.flush()
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = server.through_flask("GET", "/v1/admin/audit", headers=operator(server), query=asked)
    assert answer.status == 200, answer.body
    return answer.json["data"]


def operator(server):
    if not hasattr(server, "boss"):
        server.boss = server.register("boss")
        found = accounts.find(server.services.database, "boss")
        accounts.set_role(server.services.database, found.id, "operator")
        server.services.authenticate.forget()
    return server.boss


def send(server, who, method, path, value=None, **headers):
    body = b"" if value is None else json.dumps(value).encode()
    sent = {**who, "content-type": "application/json", **headers}
    return server.through_flask(method, path, headers=sent, body=body)


def key(server, who, *scopes):
    made = send(server, who, "POST", "/v1/keys", {"name": "test", "scopes": list(scopes)})
    return {"authorization": f"Bearer {made.json['secret']}"}


def acts(entries):
    return [(entry["act"], entry["outcome"]) for entry in entries]


def is_whole(server):
    """Tell whether the log verifies."""
    return audit_keeping.verify(server.services.database).faults == ()


def test_a_route_that_changes_something_says_as_what_or_why_not():
    """Whoever adds one and says neither cannot even import it."""
    for endpoint in ENDPOINTS:
        changes = endpoint.method != "GET" and not endpoint.inference
        assert (
            endpoint.audit
            or not changes
            or endpoint.name
            in {
                "uploads.begin",
                "uploads.add_chunk",
                "uploads.abandon",
                "open-inference.index",
                "evaluate.evaluate_many",
                "explain.explain_many",
            }
        ), endpoint.name
    routes = Routes("things")
    with pytest.raises(TypeError, match=r"PUT /things .*audit="):

        @routes.route("PUT", "/things", access="keys")
        def change(call: Call) -> None:
            raise AssertionError

    with pytest.raises(TypeError, match=r"changes something"):
        routes.route("POST", "/things", access="keys", audit="key_made", unaudited="but why")


def walk(server, ada):
    """Do everything that the table of endpoints says is audited, and return who did it."""
    send(server, ada, "PATCH", "/v1/models/words", {"visibility": "public"})
    send(server, ada, "POST", "/v1/models", {"name": "empty"})
    send(server, ada, "DELETE", "/v1/models/empty")
    second = server.text_package.parent / "second"
    if not second.exists():
        import shutil

        shutil.copytree(server.text_package, second)
        (second / "README.md").write_text("another", encoding="utf-8")
    assert server.publish(ada, "words", second).status == 201
    assert send(server, ada, "PUT", "/v1/models/words/aliases/stable", {"version": 1}).status == 200
    assert send(server, ada, "PUT", "/v1/models/words/aliases/stable", {"version": 2}).status == 200
    assert send(server, ada, "POST", "/v1/models/words/aliases/stable/rollback", {}).status == 200
    split = {"splits": [{"version": 1, "weight": 1}, {"version": 2, "weight": 1}]}
    assert send(server, ada, "PUT", "/v1/models/words/traffic", split).status == 200
    assert send(server, ada, "DELETE", "/v1/models/words/traffic").status == 200
    assert send(server, ada, "PUT", "/v1/models/words/capture", {"enabled": True}).status == 200
    assert send(server, ada, "GET", "/v1/models/words/captured").status == 200
    assert send(server, ada, "DELETE", "/v1/models/words/captured").status == 200
    friend = server.register("friend")
    assert send(server, ada, "PUT", "/v1/models/words/shares/friend", {"role": "reader"}).status == 200
    (shared,) = log(server, ada, act="share_changed", limit=1)
    assert (shared["model"], shared["shared_with"]) == ("words", "friend as reader")
    assert send(server, ada, "DELETE", "/v1/models/words/shares/friend").status == 204
    assert send(server, ada, "PATCH", "/v1/models/words/versions/2", {"state": "deprecated"}).status == 200
    assert send(server, ada, "GET", "/v1/models/words/versions/2/package").status == 200
    assert send(server, ada, "POST", "/v2/repository/models/words/unload").status == 200
    assert send(server, ada, "POST", "/v2/repository/models/words/load").status == 200
    assert send(server, ada, "DELETE", "/v1/models/words/versions/2").status == 200
    made = send(server, ada, "POST", "/v1/keys", {"name": "k", "scopes": ["predict"]}).json
    assert send(server, ada, "POST", f"/v1/keys/{made['id']}/rotate", {}).status == 200
    assert send(server, ada, "DELETE", f"/v1/keys/{made['id']}").status == 204
    assert send(server, ada, "GET", "/v1/account/export").status == 200
    server.services.has_job_processes = True
    advice = advised(server, ada)
    assert send(server, ada, "POST", f"/v1/jobs/{advice}/apply", {"variant": "lanes-1"}).status == 202
    assert send(server, ada, "POST", "/v1/fine-tunes", FINE_TUNE).status == 202
    server.services.has_job_processes = False
    job = a_job(server, ada)
    assert send(server, ada, "POST", f"/v1/jobs/{job}/cancel").status == 200
    assert send(server, ada, "DELETE", f"/v1/jobs/{job}").status == 204
    assert send(server, friend, "DELETE", "/v1/account", {"password": PASSWORD}).status == 200
    change = {"current_password": PASSWORD, "new_password": PASSWORD + "!"}
    assert send(server, ada, "PATCH", "/v1/account", change).status == 200
    assert send(server, ada, "DELETE", "/v1/sessions/current").status == 204


TWO_LABELS = {"inputs": [{"text": "good"}, {"text": "bad"}], "targets": ["up", "down"]}
FINE_TUNE = {"name": "tuned", "train": TWO_LABELS, "validation": 0}


def advised(server, who):
    """Ask for advice, and return the id of its job with what one that measures would have found."""
    from reference_server.registry import job_runs

    asked = send(server, who, "POST", "/v1/models/words/advice", {})
    assert asked.status == 202
    found = {"p50_ms": 1, "p99_ms": 2, "calls": 9, "throughput_rows_per_second": 1000, "load_ms": 1}
    found |= {"package_bytes": 1, "graph_sha256": "0" * 64, "batch_invariant": True}
    result = {
        "model": "words", "version": asked.json["version"], "digest": f"sha256:{'0' * 64}",
        "task": "text-classification", "objective": "latency", "max_quality_loss": 0.01,
        "machine": {"cores": 1, "architecture": "x86_64", "devices": ["cpu"], "onnxruntime": "1"},
        "sample_rows": 1, "rows_run": 9, "seconds": 1,
        "variants": [
            {"name": "original", "title": "as it is", "setting": {"lanes": 2}, **found},
            {"name": "lanes-1", "title": "1 lane", "setting": {}, "applicable": True, **found},
        ],
        "recommendation": {"reason": "nothing is better"},
    }  # fmt: skip
    claim = job_runs.claim(server.services.database, "test", lease=timedelta(seconds=10))
    assert claim.job_id == asked.json["id"]
    job_runs.succeed(server.services.database, server.services.artifacts, claim, result)
    return claim.job_id


def a_job(server, who):
    """Return the id of a job that waits for a process to take it."""
    from reference_server.registry import jobs

    account = send(server, who, "GET", "/v1/account").json["id"]
    new = jobs.NewJob(
        kind="evaluation", request={}, model=None, version=None, input=None, total=1, unit="row"
    )
    made = jobs.create(
        server.services.database, account, new, resumable=False, most_under_way=5, kept=timedelta(days=1)
    )
    return made.id


def test_every_audited_route_leaves_its_entry(office):
    """All of them are called, and each is found once with who, from where, when and by which request."""
    walk(office, office.ada)
    found = everything(office, limit=1000)
    names = {entry["act"] for entry in found if entry["outcome"] == "succeeded"}
    assert names >= {endpoint.audit for endpoint in ENDPOINTS if endpoint.audit} - {"audit_read"}
    assert "audit_read" in acts_of(everything(office, limit=1000))
    ada = accounts.find(office.services.database, "ada").id
    changes = [entry for entry in found if entry["actor"] == ada and entry["request_id"]]
    assert len(changes) >= 20
    for entry in changes:
        assert entry["account"] == ada
        assert re.fullmatch(r"req_[0-9a-f]+", entry["request_id"])
        assert entry["address"] == "127.0.0.1"
        assert entry["subject"], entry["act"]
        assert (entry["credential"] or "").startswith("ses_") or entry["act"] in {
            "account_registered",
            "session_started",
        }
    models = {
        entry["subject"] for entry in changes if entry["act"].startswith(("alias", "traffic", "version"))
    }
    assert len(models) == 1
    assert models.pop().startswith("mdl_")
    assert is_whole(office)


def acts_of(entries):
    return {entry["act"] for entry in entries}


def test_an_entry_says_what_was_done_to_what(office):
    """The version, the alias, the model's name and the status are there; what was sent is not."""
    send(office, office.ada, "PUT", "/v1/models/words/aliases/live", {"version": 1, "note": "because-of-me"})
    (entry,) = log(office, office.ada, act="alias_moved", limit=1)
    assert (entry["model"], entry["alias"], entry["version"], entry["status"]) == ("words", "live", 1, 200)
    assert "because-of-me" not in json.dumps(log(office, office.ada))
    made, published = (
        log(office, office.ada, act="model_made"),
        log(office, office.ada, act="version_published"),
    )
    assert made[0]["subject"] == published[0]["subject"] == entry["subject"]
    assert published[0]["version"] == 1


def test_a_publish_that_moves_default_says_so(office):
    """Making a model by publishing is written too; publishing the same again is no move."""
    body = {"version": 1}
    send(office, office.ada, "PUT", "/v1/models/words/aliases/live", body)
    before = len(log(office, office.ada, act="alias_moved"))
    office.publish(office.ada, "words", office.text_package)
    office.publish(office.ada, "others", office.text_package, query="set_default=true")
    assert len(log(office, office.ada, act="alias_moved")) == before + 1
    assert len(log(office, office.ada, act="model_made")) == 2


def test_a_change_that_is_refused_leaves_no_entry(office):
    """What did not happen is not written; a repeat under one key is written once."""
    before = len(log(office, office.ada))
    assert send(office, office.ada, "POST", "/v1/keys", {"name": "", "scopes": ["predict"]}).status == 422
    assert send(office, office.ada, "PUT", "/v1/models/words/aliases/live", {"version": 9}).status == 404
    assert len(log(office, office.ada)) == before
    body = {"name": "once", "scopes": ["predict"]}
    for _ in range(3):
        assert send(office, office.ada, "POST", "/v1/keys", body, **{"idempotency-key": "k1"}).status == 201
    assert len(log(office, office.ada)) == before + 1


def test_a_change_whose_entry_cannot_be_written_is_not_made(office, monkeypatch):
    """The two are one transaction."""
    from reference_server.registry import audit

    def fail(*_):
        raise RuntimeError("no room for an entry")

    monkeypatch.setattr(audit, "record", fail)
    for headers in ({}, {"idempotency-key": "k2"}):
        answer = send(office, office.ada, "POST", "/v1/keys", {"name": "k", "scopes": ["predict"]}, **headers)
        assert answer.status == 500
    assert send(office, office.ada, "PATCH", "/v1/models/words", {"visibility": "public"}).status == 500
    monkeypatch.undo()
    assert send(office, office.ada, "GET", "/v1/keys").json["data"] == []
    assert send(office, office.ada, "GET", "/v1/models/words").json["visibility"] == "private"


def test_an_entry_that_has_to_wait_is_written_as_soon_as_it_can_be(office, monkeypatch):
    """A deletion is done in several steps; should the store be away after the last, its entry is kept."""
    from reference_server.errors import Unavailable
    from reference_server.registry import audit

    def busy(*_):
        raise Unavailable("busy")

    monkeypatch.setattr(audit, "record", busy)
    assert send(office, office.ada, "DELETE", "/v1/models/words").status == 200
    monkeypatch.undo()
    (entry,) = log(office, office.ada, act="model_deleted")
    assert (entry["outcome"], entry["model"]) == ("succeeded", "words")
    assert entry["subject"].startswith("mdl_")


def test_a_change_of_several_steps_that_fails_is_written_as_failed(office, monkeypatch):
    """Some of its steps may have been made."""
    from reference_server.registry import erasures

    def fail(*_):
        raise RuntimeError("halfway")

    monkeypatch.setattr(erasures, "finish", fail)
    assert send(office, office.ada, "DELETE", "/v1/models/words").status == 500
    (entry,) = log(office, office.ada, act="model_deleted")
    assert (entry["outcome"], entry["status"]) == ("failed", 500)


def test_denials_are_counted_by_the_minute(office):
    """Hundreds become two entries: the first at once, the others when the minute is over."""
    little = key(office, office.ada, "predict")
    trail, clock = office.services.trail, office.services.database
    start = clock.clock().replace(second=10)
    clock.clock = lambda: start
    for _ in range(300):
        assert send(office, little, "POST", "/v1/models", {"name": "x"}).status == 403
    trail.flush()
    for _ in range(20):
        send(office, little, "POST", "/v1/models", {"name": "x"})
    trail.flush()
    found = log(office, office.ada, outcome="denied")
    assert [(entry["act"], entry["status"], entry["count"]) for entry in found] == [("model_made", 403, 300)]
    clock.clock = lambda: start + timedelta(minutes=1)
    found = log(office, office.ada, outcome="denied")
    assert [entry["count"] for entry in found] == [20, 300]
    assert {entry["address"] for entry in found} == {"127.0.0.1"}
    assert all(entry["credential"].startswith("key_") for entry in found)


@pytest.mark.parametrize("way", ["through_flask", "through_front"])
def test_denied_predictions_are_counted_and_others_are_not(office, way):
    """Predictions are usage: no entry, whether they succeed or fail by the input."""
    reading = key(office, office.ada, "models:read")
    body, path = b'{"text": "good"}', "/v1/models/words/predict"
    call = getattr(office, way)
    before = len(log(office, office.ada))
    json_type = {"content-type": "application/json"}
    assert call("POST", path, headers={**office.ada, **json_type}, body=body).status == 200
    assert call("POST", path, headers={**office.ada, **json_type}, body=b'{"txet": "good"}').status == 422
    assert len(log(office, office.ada)) == before
    assert call("POST", path, headers={**reading, **json_type}, body=body).status == 403
    (entry, *_) = log(office, office.ada)
    assert (entry["act"], entry["outcome"], entry["status"]) == ("prediction", "denied", 403)


def test_a_prediction_writes_nothing(office, monkeypatch):
    """Not one transaction of the writer, also when it is denied."""
    path, headers = "/v1/models/words/predict", {**office.ada, "content-type": "application/json"}
    reading = {**key(office, office.ada, "models:read"), "content-type": "application/json"}
    office.through_front("POST", path, headers=headers, body=b'{"text": "good"}')

    def refuse(_):
        raise AssertionError("a prediction opened a transaction of the writer")

    monkeypatch.setattr(Database, "_transaction", refuse)
    for _ in range(3):
        assert office.through_front("POST", path, headers=headers, body=b'{"text": "good"}').status == 200
        assert office.through_front("POST", path, headers=reading, body=b'{"text": "good"}').status == 403


def test_strangers_are_counted_without_their_address(office):
    """No credential, or a wrong one: a keyed hash stands for the address, and operators alone see it."""
    for _ in range(4):
        office.through_flask("GET", "/v1/models")
        office.through_front("POST", "/v1/models/words/predict", body=b"{}")
    found = everything(office, outcome="denied")
    assert sorted((entry["act"], entry["status"], entry["count"]) for entry in found) == [
        ("prediction", 401, 4),
        ("request", 401, 4),
    ]
    assert {entry["account"] for entry in found} == {None}
    assert len({entry["origin"] for entry in found}) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", found[0]["origin"])
    assert "127.0.0.1" not in json.dumps(found)
    assert acts(log(office, office.ada, outcome="denied")) == []


def test_failed_log_ins_are_told_to_the_account_they_were_tried_for(office):
    """For an unknown e-mail they are counted and the e-mail is nowhere."""
    wrong = {"email": "ada@example.com", "password": "wrong horse battery"}
    for _ in range(3):
        assert office.post("/v1/sessions", wrong).status == 401
    assert office.post("/v1/sessions", {**wrong, "email": "nobody@example.com"}).status == 401
    (entry,) = log(office, office.ada, act="session_started", outcome="denied")
    assert (entry["count"], entry["actor"], entry["address"]) == (3, None, "127.0.0.1")
    strangers = [each for each in everything(office, outcome="denied") if each["account"] is None]
    assert [(each["act"], each["count"]) for each in strangers] == [("session_started", 1)]
    assert "nobody@" not in json.dumps(everything(office, limit=1000))


def test_a_look_at_what_is_hidden_is_told_to_operators_alone(office):
    """To its caller it stays what does not exist, in their own log too; what is not there is not written."""
    job = a_job(office, office.ada)
    for path in ("/v1/models/ada~words", "/v1/models/ada~none", "/v1/models/none", f"/v1/jobs/{job}"):
        assert send(office, office.bob, "GET", path).status == 404
    predict = "/v1/models/ada~words/predict"
    json_type = {"content-type": "application/json"}
    assert (
        office.through_front("POST", predict, headers={**office.bob, **json_type}, body=b"{}").status == 404
    )
    bob = accounts.find(office.services.database, "bob").id
    found = everything(office, outcome="hidden")
    assert sorted((each["act"], each["subject"][:4], each["actor"]) for each in found) == [
        ("prediction", "mdl_", bob),
        ("request", "job_", bob),
        ("request", "mdl_", bob),
    ]
    assert job in {each["subject"] for each in found}
    for who in (office.ada, office.bob):
        assert "hidden" not in {each["outcome"] for each in log(office, who)}
        assert log(office, who, outcome="hidden") == []


def test_a_download_is_counted(office):
    """HEAD brings nothing and is none."""
    path = "/v1/models/words/versions/1/package"
    assert send(office, office.ada, "HEAD", path).status == 200
    for part in ("bytes=0-9", "bytes=10-19"):
        assert send(office, office.ada, "GET", path, range=part).status == 206
    (entry,) = log(office, office.ada, act="package_downloaded")
    assert (entry["count"], entry["version"]) == (2, 1)


def test_everybody_sees_their_own_entries_and_no_numbers(office):
    """Not those of others, by no filter and by no cursor."""
    ada = accounts.find(office.services.database, "ada").id
    for who, name in ((office.ada, "ada"), (office.bob, "bob")):
        mine = accounts.find(office.services.database, name).id
        found = log(office, who, limit=1000)
        assert {"account_registered", "session_started"} <= acts_of(found)
        assert {each["account"] for each in found} == {mine}
        assert {each["seq"] for each in found} == {None}
    pages, cursor = [], None
    while True:
        query = "limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = office.through_flask("GET", "/v1/audit", headers=office.ada, query=query).json
        pages += [each["id"] for each in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        foreign = office.through_flask("GET", "/v1/audit", headers=office.bob, query=f"cursor={cursor}")
        assert (foreign.status, foreign.json["error"]["code"]) == (400, "bad_cursor")
    assert pages == [each["id"] for each in log(office, office.ada, limit=1000)]
    assert office.through_flask("GET", "/v1/audit", headers=office.ada, query=f"account={ada}").status == 400


def test_filters(office):
    """By act, by outcome, by time; what is none is refused and named."""
    moment = office.services.database.clock()
    stamp = moment.isoformat().replace("+", "%2B")
    send(office, office.ada, "POST", "/v1/keys", {"name": "k", "scopes": ["predict"]})
    assert acts(log(office, office.ada, since=stamp)) == [("key_made", "succeeded")]
    assert "key_made" not in acts_of(log(office, office.ada, until=stamp))
    assert acts_of(log(office, office.ada, act="key_made")) == {"key_made"}
    for query in ("act=nothing", "since=yesterday", "outcome=maybe", "since=2030-01-01T00:00:00"):
        answer = office.through_flask("GET", "/v1/audit", headers=office.ada, query=query)
        assert (answer.status, answer.json["error"]["param"]) == (400, query.partition("=")[0])


def test_operators_need_the_scope_too(office):
    """A key for the metrics alone does not see from where people come."""
    boss = operator(office)
    little, auditing = key(office, boss, "models:read"), key(office, boss, "audit")
    for path in ("/v1/admin/audit", "/v1/admin/audit/head"):
        assert send(office, office.ada, "GET", path).json["error"]["code"] == "operator_required"
        assert send(office, little, "GET", path).json["error"]["code"] == "missing_scope"
        assert send(office, auditing, "GET", path).status == 200


def test_the_head_is_the_last_entry(office):
    """What is written down elsewhere is its number and its hash."""
    last = everything(office, limit=1)[0]
    head = send(office, operator(office), "GET", "/v1/admin/audit/head").json
    assert (head["seq"], head["hash"]) == (last["seq"], last["hash"])


def test_of_one_account_operators_see_all(office):
    """What it did and what concerns it."""
    ada = accounts.find(office.services.database, "ada").id
    found = everything(office, account=ada, limit=1000)
    assert {entry["account"] for entry in found} == {ada}
    assert [entry["id"] for entry in found] == [entry["id"] for entry in log(office, office.ada, limit=1000)]
