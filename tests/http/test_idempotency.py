import json
import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from reference_server.errors import ServiceError, Unavailable
from reference_server.http import keys as keys_endpoints
from reference_server.http.idempotency import Claims
from reference_server.registry import idempotency, sealing_up
from reference_server.registry.tables import IdempotencyRow


def create(server, name="one", key="k-1", **options):
    body = {"name": name, "scopes": ["predict"]}
    return server.post("/v1/keys", body, headers={**server.ada, "idempotency-key": key}, **options)


@pytest.fixture
def server(server):
    server.ada = server.register("ada")
    return server


def test_a_repeat_gets_the_first_answer_and_has_no_second_effect(server):
    """Status, body and secret are replayed, and one key is made."""
    first, second = create(server), create(server)
    assert (first.status, second.status) == (201, 201)
    assert first.body == second.body
    assert second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    listed = server.through_flask("GET", "/v1/keys", headers=server.ada).json["data"]
    assert [key["name"] for key in listed] == ["one"]


def test_the_stored_answer_does_not_show_the_secret(server):
    """Neither the database's files nor its journal hold the secret of a replayable answer."""
    secret = create(server).json["secret"].encode()
    for file in server.services.settings.data_dir.iterdir():
        if file.is_file():
            assert secret not in file.read_bytes(), file.name


def test_the_same_key_for_another_call_is_a_conflict(server):
    """A key that was used says which call it meant."""
    create(server)
    answer = create(server, name="two")
    assert (answer.status, answer.json["error"]["code"]) == (409, "idempotency_key_reused")


def test_two_accounts_do_not_share_keys(server):
    """Another account's key of the same name is another key."""
    first = create(server)
    server.ada = server.register("bob")
    second = create(server)
    assert second.status == 201
    assert first.json["secret"] != second.json["secret"]


def test_a_call_under_way_is_not_repeated(server, monkeypatch):
    """A second call while the first runs is told to come back."""
    entered, leave = threading.Event(), threading.Event()
    issue = keys_endpoints.credentials.issue

    def wait(kind):
        entered.set()
        leave.wait(5)
        return issue(kind)

    monkeypatch.setattr(keys_endpoints.credentials, "issue", wait)
    answers = []
    first = threading.Thread(target=lambda: answers.append(create(server)))
    first.start()
    entered.wait(5)
    second = create(server)
    leave.set()
    first.join()
    assert (second.status, second.json["error"]["code"]) == (409, "idempotency_in_flight")
    assert "retry-after" in second.headers
    assert answers[0].status == 201


@pytest.mark.parametrize("failure", [Unavailable("later", retry_after=1.0), ZeroDivisionError()])
def test_a_failure_of_the_server_is_not_kept(server, monkeypatch, failure):
    """After a 5xx the same key runs the call anew."""

    def fail(kind):
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(keys_endpoints.credentials, "issue", fail)
        assert create(server).status == (503 if isinstance(failure, ServiceError) else 500)
    assert create(server).status == 201


def test_a_failure_of_the_caller_is_kept(server):
    """A 4xx is the lasting answer to its call."""
    path, headers = "/v1/models", {**server.ada, "idempotency-key": "m-1"}
    assert server.post(path, {"name": "m"}, headers=server.ada).status == 201
    first = server.post(path, {"name": "m"}, headers=headers)
    second = server.post(path, {"name": "m"}, headers=headers)
    assert first.status == second.status == 409
    assert first.body == second.body


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256])
def test_a_malformed_key_is_named(server, key):
    """The header has a form."""
    answer = create(server, key=key)
    assert (answer.status, answer.json["error"]["param"]) == (400, "Idempotency-Key")


def test_registration_is_repeatable_for_one_address_and_e_mail(server):
    """An open route's key belongs to who asks for what."""
    policy = server.services.settings.policy_version
    body = {"email": "eve@example.com", "password": "correct horse battery", "accept_policy": policy}
    headers = {"idempotency-key": "r-1"}
    first = server.post("/v1/accounts", body, headers=headers)
    second = server.post("/v1/accounts", body, headers=headers)
    assert (first.status, second.status) == (201, 201)
    assert json.loads(first.body)["id"] == json.loads(second.body)["id"]


def test_log_in_ignores_the_key(server):
    """Every log-in is a session of its own."""
    body = {"email": "ada@example.com", "password": "correct horse battery"}
    tokens = {
        server.post("/v1/sessions", body, headers={"idempotency-key": "s"}).json["token"] for _ in range(2)
    }
    assert len(tokens) == 2


def test_an_upload_is_repeatable_by_its_content(server, text_package, token_package):
    """The same key with the same package replays, with another package it is a conflict."""
    options = {"idempotency-key": "u-1"}
    first = server.publish(server.ada, "words", text_package, **options)
    second = server.publish(server.ada, "words", text_package, **options)
    third = server.publish(server.ada, "words", token_package, **options)
    assert (first.status, second.status, third.status) == (201, 201, 409)
    assert first.body == second.body


def test_a_long_call_keeps_its_claim(server, monkeypatch):
    """What is under way is leased anew, so that a repeat never runs beside it; a dead worker's is not."""
    database, passed = server.services.database, [0.0]
    now = database.clock()
    monkeypatch.setattr(database, "clock", lambda: now + timedelta(seconds=passed[0]))
    claims = Claims(database, timer=lambda: passed[0])
    monkeypatch.setattr(server.services, "claims", claims)
    issue, repeats = keys_endpoints.credentials.issue, []

    def take_long(kind):
        if not repeats:
            for passed[0] in (10, 20):
                claims.renew()
            repeats.append(create(server))
        return issue(kind)

    monkeypatch.setattr(keys_endpoints.credentials, "issue", take_long)
    assert create(server).status == 201
    assert (repeats[0].status, repeats[0].json["error"]["code"]) == (409, "idempotency_in_flight")


def test_a_dead_workers_claim_ends_soon(server, text_package, monkeypatch):
    """Whoever repeats a call that a death has cut short waits for seconds, not for minutes."""
    database, passed = server.services.database, [0.0]
    now = database.clock()
    monkeypatch.setattr(database, "clock", lambda: now + timedelta(seconds=passed[0]))

    def publish():
        return server.publish(server.ada, "words", text_package, **{"idempotency-key": "u-1"}).status

    with monkeypatch.context() as patched:
        patched.setattr(idempotency, "complete", interrupt)
        with pytest.raises(KeyboardInterrupt):
            publish()
    assert publish() == 409
    passed[0] = 15.001
    assert publish() == 200


def interrupt(*_arguments, **_options):
    raise KeyboardInterrupt


def test_an_effect_without_its_reply_is_undone(server, monkeypatch):
    """What a repeat could not be told of has not happened, where both are one transaction."""
    with monkeypatch.context() as patched:
        patched.setattr(idempotency, "complete", interrupt)
        with pytest.raises(KeyboardInterrupt):
            create(server)
    assert server.through_flask("GET", "/v1/keys", headers=server.ada).json["data"] == []
    assert create(server).status == 201


def test_what_is_remembered_is_forgotten_after_the_commit(server, text_package, token_package, monkeypatch):
    """Whoever calls while an alias is rolled back does not make the server remember the old version."""
    for package in (text_package, token_package):
        query = "set_default=true&force=true"
        assert server.publish(server.ada, "words", package, query=query).status == 201
    complete, seen = idempotency.complete, []

    def predict():
        return server.post("/v1/models/words/predict", {"text": "good"}, headers=server.ada).json["version"]

    def complete_late(*arguments, **options):
        seen.append(predict())
        complete(*arguments, **options)

    monkeypatch.setattr(idempotency, "complete", complete_late)
    path = "/v1/models/words/aliases/default/rollback"
    headers = {**server.ada, "idempotency-key": "b-1"}
    assert server.post(path, {"force": True}, headers=headers).json["version"] == 1
    assert (seen, predict()) == ([2], 1)


def test_whom_a_model_is_not_shared_with_any_more_hears_nothing_of_it_again(server, text_package):
    """The answer of before is not told again: it is 404, as for everything else of the model."""
    bob = server.register("bob")
    assert server.publish(server.ada, "words", text_package).status == 201
    share = ("/v1/models/words/shares/bob", {"headers": {**server.ada, "content-type": "application/json"}})
    body = json.dumps({"role": "publisher"}).encode()
    assert server.through_flask("PUT", share[0], body=body, **share[1]).status == 200
    key = {"idempotency-key": "k-2"}
    first = server.publish(bob, "ada~words", text_package, query="again=true", **key)
    again = server.publish(bob, "ada~words", text_package, query="again=true", **key)
    assert (first.status, again.status, again.body) == (201, 201, first.body)
    assert server.through_flask("DELETE", share[0], headers=server.ada).status == 204
    gone = server.publish(bob, "ada~words", text_package, query="again=true", **key)
    assert (gone.status, gone.json["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("planted", [{"sealed": False, "body": b"{}\nplanted"}, {"body": bytes(60)}])
def test_an_answer_that_was_changed_in_the_store_is_not_told(server, planted):
    """Neither one in clear nor one under another key; the caller is told to look."""
    sealing_up.seal_up(server.services.database, server.services.artifacts)
    create(server)
    with server.services.database.write() as session:
        session.execute(update(IdempotencyRow).values(**planted))
    answer = create(server)
    assert (answer.status, answer.json["error"]["code"]) == (409, "idempotency_reply_lost")
