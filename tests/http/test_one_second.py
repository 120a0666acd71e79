"""What is taken away is gone within a second on every worker: two workers, one store, a passed clock."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from maas_client.types import SCOPES
from reference_server.app import create_app, open_services
from reference_server.registry import accounts, keys
from reference_server.registry.database import utc_now
from reference_server.security import credentials
from reference_server.settings import Settings


class Clock:
    """The real one, and what a test adds to it."""

    def __init__(self):
        self.added = 0.0

    def timer(self):
        return time.monotonic() + self.added

    def now(self):
        return utc_now() + timedelta(seconds=self.added)


class Worker:
    """One worker's services and its Flask application."""

    def __init__(self, folder, clock):
        settings = Settings(data_dir=folder, provider="cpu", lanes=1, workers=2)
        self.services = open_services(settings, timer=clock.timer)
        self.services.database.clock = clock.now
        self.client = create_app(services=self.services).test_client()

    def status(self, method, path, headers, value=None):
        return self.client.open(path, method=method, headers=headers, json=value).status_code


def bearer(secret, scheme="Bearer"):
    return {"authorization": f"{scheme} {secret}"}


@pytest.fixture(scope="module")
def office(tmp_path_factory, make_server, text_package):
    """Two workers, `here` and `there`; ada has the private model `words`, bob nothing."""
    folder, clock = tmp_path_factory.mktemp("office") / "data", Clock()
    first = make_server(folder)
    sessions = {name: first.register(name) for name in ("ada", "bob")}
    assert first.publish(sessions["ada"], "words", text_package).status == 201
    first.close()
    here, there = Worker(folder, clock), Worker(folder, clock)
    made = SimpleNamespace(here=here, there=there, clock=clock, sessions=sessions)
    made.db = here.services.database
    made.bob = accounts.find(made.db, "bob").id
    yield made
    here.services.close()
    there.services.close()


@pytest.fixture
def key(office):
    """Return the id of a new key of bob's with every scope, and its secret."""
    credential = credentials.issue("key")
    made = keys.create(office.db, office.bob, credential, name="k", scopes=SCOPES, expires_at=None)
    yield SimpleNamespace(id=made.id, secret=credential.secret, headers=bearer(credential.secret))
    accounts.set_disabled(office.db, office.bob, disabled=False)
    accounts.set_role(office.db, office.bob, "user")


def log_in(office):
    answer = office.here.client.post(
        "/v1/sessions", json={"email": "bob@example.com", "password": "correct horse battery"}
    )
    return answer.json["id"], bearer(answer.json["token"])


def revoke(office, key):
    assert office.here.status("DELETE", f"/v1/keys/{key.id}", key.headers) == 204


def rotate(office, key):
    assert office.here.status("POST", f"/v1/keys/{key.id}/rotate", key.headers, {}) == 200


def disable(office, key):
    accounts.set_disabled(office.db, office.bob, disabled=True)


@pytest.mark.parametrize("end", [revoke, rotate, disable])
def test_a_key_that_ended_here_ends_there(office, key, end):
    """A worker that knew it a moment ago asks again within the second."""
    for worker in (office.here, office.there):
        assert worker.status("GET", "/v1/models", key.headers) == 200
    end(office, key)
    office.clock.added += 1.0
    for worker in (office.here, office.there):
        assert worker.status("GET", "/v1/models", key.headers) == 401


def test_no_way_of_writing_a_credential_keeps_it_alive(office, key):
    """Whoever writes a revoked key in ever other ways does not renew what a worker remembers of it."""
    schemes = ("Bearer", "bearer", "BEARER", "BeArEr", "bEARER", "bearER")
    assert office.there.status("GET", "/v1/models", bearer(key.secret, schemes[0])) == 200
    revoke(office, key)
    answers = []
    for scheme in schemes[1:]:
        office.clock.added += 0.6
        answers.append(office.there.status("GET", "/v1/models", bearer(key.secret, scheme)))
    assert answers[1:] == [401] * 4


def test_a_key_that_expires_is_believed_no_second_longer(office):
    """The time that it was given counts, not the time at which it was looked up."""
    credential = credentials.issue("key")
    end = office.clock.now() + timedelta(seconds=30)
    keys.create(office.db, office.bob, credential, name="k", scopes=["models:read"], expires_at=end)
    headers = bearer(credential.secret)
    assert office.there.status("GET", "/v1/models", headers) == 200
    office.clock.added += 30.0
    assert office.there.status("GET", "/v1/models", headers) == 401


@pytest.mark.parametrize("by", ["another session", "the password"])
def test_a_session_that_ended_here_ends_there(office, key, by):
    """Ended by its account, or with all others when the password changes."""
    session, headers = log_in(office)
    _, other = log_in(office)
    assert office.there.status("GET", "/v1/account", headers) == 200
    if by == "the password":
        same = "correct horse battery"
        change = {"current_password": same, "new_password": same}
        assert office.here.status("PATCH", "/v1/account", other, change) == 200
    else:
        assert office.here.status("DELETE", f"/v1/sessions/{session}", other) == 204
    office.clock.added += 1.0
    assert office.there.status("GET", "/v1/account", headers) == 401
    assert office.there.status("GET", "/v1/account", other) == 200


def test_an_operator_who_is_none_any_more_is_none_there(office, key):
    """A change of an account's role is a change of what its credentials open."""
    accounts.set_role(office.db, office.bob, "operator")
    assert office.there.status("GET", "/metrics", key.headers) == 200
    accounts.set_role(office.db, office.bob, "user")
    office.clock.added += 1.0
    assert office.there.status("GET", "/metrics", key.headers) == 403


PREDICT = ("POST", "/v1/models/ada~words/predict")
CALLS = {
    "the catalogue": ("GET", "/v1/models/ada~words", None),
    "a prediction": (*PREDICT, {"text": "good"}),
    "a prediction by a version": ("POST", "/v1/models/ada~words/versions/1/predict", {"text": "good"}),
    "a bare name": ("POST", "/v1/models/words/predict", {"text": "good"}),
    "readiness": ("GET", "/v2/models/ada~words/ready", None),
}


def share(office, role="reader"):
    path = "/v1/models/words/shares/bob"
    assert office.here.status("PUT", path, office.sessions["ada"], {"role": role}) == 200


def withdraw(office):
    path = "/v1/models/words/shares/bob"
    assert office.here.status("DELETE", path, office.sessions["ada"]) == 204


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_share_that_is_withdrawn_here_is_withdrawn_there(office, key, call):
    """At once on the worker that was told, within a second on the other, whatever it had in memory."""
    method, path, value = call
    share(office)
    office.clock.added += 1.0
    for worker in (office.here, office.there):
        assert worker.status(method, path, key.headers, value) == 200
    withdraw(office)
    assert office.here.status(method, path, key.headers, value) == 404
    office.clock.added += 1.0
    assert office.there.status(method, path, key.headers, value) == 404


def test_a_share_that_is_given_here_is_given_there(office, key):
    """Nobody remembers that there was none."""
    assert office.there.status(*PREDICT, key.headers, {"text": "good"}) == 404
    share(office)
    assert office.there.status(*PREDICT, key.headers, {"text": "good"}) == 200
    withdraw(office)


def test_a_lesser_role_is_lesser_there(office, key):
    """A publisher who is made a reader moves nothing any more, and still predicts."""
    path, value = "/v1/models/ada~words/aliases/best", {"version": 1}
    share(office, "publisher")
    assert office.there.status("PUT", path, key.headers, value) == 200
    share(office, "reader")
    office.clock.added += 1.0
    assert office.there.status("PUT", path, key.headers, value) == 403
    assert office.there.status(*PREDICT, key.headers, {"text": "good"}) == 200
    withdraw(office)


def test_what_is_public_no_more_is_private_there(office, key):
    """A model that turns private leaves the sight of others as a share does."""
    path, ada = "/v1/models/words", office.sessions["ada"]
    assert office.here.status("PATCH", path, ada, {"visibility": "public"}) == 200
    office.clock.added += 1.0
    assert office.there.status(*PREDICT, key.headers, {"text": "good"}) == 200
    assert office.here.status("PATCH", path, ada, {"visibility": "private"}) == 200
    office.clock.added += 1.0
    assert office.there.status(*PREDICT, key.headers, {"text": "good"}) == 404


def test_a_look_up_that_a_change_overtakes_is_not_remembered(office, key, monkeypatch):
    """What was read before a withdrawal, and would be kept after it, is read again."""
    share(office)
    office.clock.added += 1.0
    resolve = office.here.services.targets._resolved

    def overtaken(*arguments):
        found = resolve(*arguments)
        withdraw(office)
        return found

    monkeypatch.setattr(type(office.here.services.targets), "_resolved", lambda _, *rest: overtaken(*rest))
    office.here.status(*PREDICT, key.headers, {"text": "good"})
    monkeypatch.undo()
    assert office.here.status(*PREDICT, key.headers, {"text": "good"}) == 404


def test_a_slow_look_up_is_believed_from_its_beginning(office, key, monkeypatch):
    """The second counts from when the store was asked, not from when it answered."""
    share(office)
    office.clock.added += 1.0
    resolve = office.there.services.targets._resolved

    def slow(*arguments):
        found = resolve(*arguments)
        office.clock.added += 0.9
        return found

    monkeypatch.setattr(type(office.there.services.targets), "_resolved", lambda _, *rest: slow(*rest))
    assert office.there.status(*PREDICT, key.headers, {"text": "good"}) == 200
    monkeypatch.undo()
    withdraw(office)
    office.clock.added += 0.1
    assert office.there.status(*PREDICT, key.headers, {"text": "good"}) == 404


def test_capture_that_is_switched_here_is_switched_there(office):
    """On, changed and off: within a second callers of the other worker are told, and their calls written."""
    ada, path = office.sessions["ada"], "/v1/models/words"

    def predict(text):
        answer = office.there.client.post(f"{path}/predict", headers=ada, json={"text": text})
        assert answer.status_code == 200
        return answer.headers.get("x-maas-capture")

    def switch(**asked):
        assert office.here.status("PUT", f"{path}/capture", ada, asked) == 200
        office.clock.added += 1.0

    assert predict("before") is None
    switch(enabled=True, days=3)
    assert predict("first") == "days=3"
    switch(enabled=True, days=2)
    assert predict("second") == "days=2"
    office.there.services.captures.flush()
    assert predict("held when it ends") == "days=2"
    switch(enabled=False)
    assert predict("after") is None
    office.there.services.captures.flush()
    listed = office.here.client.get(f"{path}/captured", headers=ada).json["data"]
    assert [call["inputs"][0]["text"] for call in listed] == ["first", "second"]


def test_what_was_erased_here_does_not_come_back_from_there(office):
    """The other worker holds a call for a set that is gone; it does not go into the next one."""
    ada, path = office.sessions["ada"], "/v1/models/words"
    assert office.here.status("PUT", f"{path}/capture", ada, {"enabled": True}) == 200
    office.clock.added += 1.0
    for text in ("stored", "held"):
        assert office.there.status("POST", f"{path}/predict", ada, {"text": text}) == 200
        if text == "stored":
            office.there.services.captures.flush()
    assert office.here.status("DELETE", f"{path}/captured", ada) == 200
    office.there.services.captures.flush()
    assert office.here.client.get(f"{path}/captured", headers=ada).json["data"] == []
    office.clock.added += 1.0
    assert office.there.status("POST", f"{path}/predict", ada, {"text": "new"}) == 200
    office.there.services.captures.flush()
    (call,) = office.here.client.get(f"{path}/captured", headers=ada).json["data"]
    assert call["inputs"] == [{"text": "new"}]
