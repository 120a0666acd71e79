"""Access: every route held against the written table, and what the table cannot say."""

import importlib.util
import io
import itertools
import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from maas_client.types import SCOPES, PublishQuery
from reference_server.app import ROUTES
from reference_server.registry import (
    accounts,
    aliases,
    callers,
    erasures,
    jobs,
    keys,
    publishing,
    sessions,
    shares,
    uploads,
    versions,
)
from reference_server.registry.jobs import NewJob
from reference_server.registry.tables import KeyRow
from reference_server.runtime.probe import probe
from reference_server.security import credentials

spec = importlib.util.spec_from_file_location("access_table", Path(__file__).with_name("access_table.py"))
access_table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(access_table)
PEOPLE, ROWS = access_table.PEOPLE, access_table.ROWS
ENDPOINTS = {
    f"{endpoint.method} {endpoint.template}": endpoint for routes in ROUTES for endpoint in routes.endpoints
}
CLOSED = [row for row in ROWS if row.needs != "open"]
OF_MODELS = [row for row in ROWS if "{model}" in row.path or "{model}" in json.dumps(row.json)]
LISTINGS = [row for row in CLOSED if row not in OF_MODELS and "{" not in row.path]
SHARED = {"reader": "reader", "publisher": "publisher", "co-owner": "owner"}
MISSING = {"session": "session_required", "operator": "operator_required"}
SECRET = "unmistakable"


def named(row):
    return row.route


def says(row, answer, *, code, words):
    """Tell whether an error says so: by its code, or under `/v2`, whose errors are texts, in its words."""
    error = answer.json["error"]
    return words in error if row.path.startswith("/v2") else error["code"] == code


@dataclass
class Gate:
    """A server, people before it, and things of ada's for the paths to name."""

    server: object
    package: bytes
    inspection: object
    people: dict = field(default_factory=dict)
    numbers: object = field(default_factory=itertools.count)

    def __post_init__(self):
        self.db = self.server.services.database
        for person in PEOPLE:
            self.people[person] = self.server.register("ada" if person == "owner" else f"the-{person}")
        self.server.register("the-guest")
        accounts.set_role(self.db, accounts.find(self.db, "the-operator").id, "operator")
        self.ada = callers.find_caller(self.db, parsed(self.people["owner"]))
        made = {kind: make() for kind, make in self.makers.items()}
        self.common = SimpleNamespace(**{**made, "model": self.model(SECRET)})

    @property
    def makers(self):
        return {
            "model": lambda: self.model("passing"),
            "key": lambda: self.key("keys")[0].id,
            "upload": self.upload,
            "job": self.job,
            "session": self.session,
            "erasure": self.erasure,
        }

    def model(self, name):
        """Return the exact name of a new private model with all that the table says of it."""
        name = f"{name}-{next(self.numbers)}"
        for _ in range(2):
            publishing.publish(
                self.db,
                self.server.services.artifacts,
                self.ada,
                name,
                io.BytesIO(self.package),
                query=PublishQuery(again=True, set_default=True),
                inspect=lambda _: self.inspection,
                max_bytes=2**20,
            )
        for version in (1, 2):
            aliases.move(self.db, self.ada, name, "best", version=version, note="", expected_revision=None)
        for person, role in (*SHARED.items(), ("guest", "reader")):
            shares.put(self.db, self.ada, name, f"the-{person}", role=role)
        return f"ada~{name}"

    def key(self, *scopes, **options):
        """Return a new key of ada's and the header that shows it."""
        credential = credentials.issue("key")
        made = keys.create(
            self.db, self.ada.account_id, credential, name="k", scopes=scopes, expires_at=None, **options
        )
        return made, {"authorization": f"Bearer {credential.secret}"}

    def upload(self):
        begun, _ = uploads.begin(self.db, self.ada.account_id, size=9, sha256=self.sha256(), chunk_bytes=1000)
        return begun.id

    def sha256(self):
        return f"{next(self.numbers):064x}"

    def job(self):
        made = jobs.create(
            self.db,
            self.ada.account_id,
            NewJob(kind="evaluate"),
            resumable=True,
            most_under_way=10,
            kept=timedelta(days=1),
        )
        # One that has ended can be read, erased, asked to stop once more, and followed to its end.
        return jobs.cancel(self.db, self.server.services.artifacts, self.ada.account_id, made.id).id

    def erasure(self):
        with self.db.write() as session:
            begun = erasures.begin(session, "model", "mdl_1", name="ada~gone", counts={"models": 1})
        return erasures.finish(self.db, self.server.services.artifacts, begun).id

    def session(self):
        end = self.db.clock() + timedelta(hours=1)
        return sessions.create(self.db, self.ada.account_id, credentials.issue("session"), expires_at=end).id

    def send(self, row, headers, *, fresh=False, method=None, **parts):
        """Send a row's request; with `fresh` things in the place of those that all share."""
        kinds = set(re.findall(r"{(\w+)}", row.path + json.dumps(row.json)))
        things = (
            {kind: self.makers[kind]() for kind in kinds & self.makers.keys()}
            if fresh and row.changes
            else {}
        )
        parts = {
            **vars(self.common),
            **things,
            "version": "1",
            "alias": "best",
            "account": "the-guest",
            "offset": "0",
            "new": f"new-{next(self.numbers)}",
            "sha256": self.sha256(),
            "policy": self.server.services.settings.policy_version,
            **parts,
        }

        def filled(text):
            return re.sub(r"{(\w+)}", lambda found: parts[found[1]], text)

        body = self.package if row.body == b"{zip}" else row.body
        if row.json is not None:
            body = filled(json.dumps(row.json)).encode()
            headers = {"content-type": "application/json", **headers}
        return self.server.through_flask(
            method or row.method,
            filled(row.path),
            headers={**headers, **row.headers},
            body=body,
            query=row.query,
        )


def parsed(headers):
    return credentials.parse(headers["authorization"].removeprefix("Bearer "))


@pytest.fixture(scope="module")
def gate(make_server, tmp_path_factory, text_package):
    """A server with its people; what ada owns is made anew where somebody may change it."""
    from maas_client._package import open_package, write_zip

    made = make_server(tmp_path_factory.mktemp("gate") / "data")
    packed = io.BytesIO()
    with open_package(text_package) as package:
        write_zip(package, packed)
        inspection = probe(package)
    yield Gate(made, packed.getvalue(), inspection)
    made.close()


def test_every_route_has_its_row():
    """A new route without a row, or a row without its route, is a failure."""
    assert {row.route: row.needs for row in ROWS} == {
        route: endpoint.access for route, endpoint in ENDPOINTS.items()
    }
    assert len(ROWS) == len(ENDPOINTS)


def test_flask_has_no_route_beside_them(gate):
    """What the URL map takes is what the table of endpoints has; HEAD goes with GET.

    Pages of the console have a table and tests of their own, `console/test_console_access.py`.
    """
    there = {
        f"{method} {rule.rule.replace('<', '{').replace('>', '}')}"
        for rule in gate.server.flask.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
        if not rule.endpoint.startswith("console.")
    }
    assert there == ENDPOINTS.keys()


@pytest.mark.parametrize("row", ROWS, ids=named)
@pytest.mark.parametrize("person", PEOPLE)
def test_a_session_gets_what_the_table_says(gate, row, person):
    """Scopes and roles together, by a request that is right in all else."""
    expected = row.expected(person)
    answer = gate.send(row, gate.people[person], fresh=expected < 400)
    assert answer.status == expected, answer.body[:300]


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_a_key_with_one_scope_gets_what_the_table_says(gate, row):
    """With the needed scope what its owner gets, with any other 403, which names it."""
    for scope in SCOPES:
        is_let_in = row.needs in (scope, "open")
        _, held = gate.key(scope)
        answer = gate.send(row, held, fresh=is_let_in)
        if is_let_in:
            assert answer.status == row.expected("owner"), (scope, answer.body[:300])
        else:
            assert answer.status == 403, scope
            assert says(row, answer, code=MISSING.get(row.needs, "missing_scope"), words="scope"), scope


def test_an_operators_key_reads_metrics_and_no_models(gate):
    """The role of an operator opens what is for operators, not what is others'."""
    credential = credentials.issue("key")
    operator = accounts.find(gate.db, "the-operator").id
    keys.create(gate.db, operator, credential, name="k", scopes=["models:read"], expires_at=None)
    held = {"authorization": f"Bearer {credential.secret}"}
    assert gate.server.through_flask("GET", "/metrics", headers=held).status == 200
    hidden = gate.server.through_flask("GET", f"/v1/models/{gate.common.model}", headers=held)
    assert hidden.status == 404


@pytest.fixture(scope="module")
def refused(gate):
    """Headers that let nobody in, with what is said of each."""
    expired, expired_key = gate.key(*SCOPES)
    with gate.db.write() as session:
        session.get_one(KeyRow, expired.id).expires_at = gate.db.clock() - timedelta(seconds=1)
    revoked, revoked_key = gate.key(*SCOPES)
    keys.revoke(gate.db, gate.ada.account_id, revoked.id)
    old = credentials.issue("session")
    past = gate.db.clock() - timedelta(seconds=1)
    sessions.create(gate.db, gate.ada.account_id, old, expires_at=past)
    return {
        "none": ({}, "missing_credential", "no credential"),
        "malformed": ({"authorization": "Bearer not-a-key"}, "malformed_credential", "its form"),
        "expired": (expired_key, "invalid_credential", "expired or revoked"),
        "revoked": (revoked_key, "invalid_credential", "expired or revoked"),
        "expired session": (
            {"authorization": f"Bearer {old.secret}"},
            "invalid_credential",
            "expired or revoked",
        ),
    }


@pytest.mark.parametrize("row", CLOSED, ids=named)
def test_what_does_not_hold_lets_nobody_in(gate, refused, row):
    """Access is denied by default, before anything of the request is read; HEAD is no way around."""
    for kind, (headers, code, words) in refused.items():
        answer = gate.send(row, headers)
        assert answer.status == 401, kind
        assert says(row, answer, code=code, words=words), (kind, answer.json)
        assert answer.headers["www-authenticate"] == "Bearer"
        if row.method == "GET":
            assert gate.send(row, headers, method="HEAD").status == 401, kind


@pytest.mark.parametrize("row", [row for row in ROWS if row.needs == "open"], ids=named)
def test_what_is_open_asks_for_no_credential(gate, refused, row):
    """And does not look at one."""
    for kind, (headers, _, _) in refused.items():
        assert gate.send(row, headers).status == row.expected("stranger"), kind


def without_chances(answer, name):
    """Return all of an answer but what differs from request to request, and the name that was asked for."""
    headers = {key: value for key, value in answer.headers.items() if key not in ("x-request-id", "date")}
    body = answer.body.decode().replace(name, "NAME")
    return answer.status, headers, re.sub(r"req_[0-9a-f]+", "req", body)


@pytest.mark.parametrize("row", OF_MODELS, ids=named)
def test_the_hidden_answers_like_the_absent(gate, row):
    """Status, headers and every word: nobody learns that a model is there which is not theirs to see."""
    absent = gate.common.model.replace(SECRET, SECRET[::-1])
    for person in ("stranger", "operator"):
        hidden = gate.send(row, gate.people[person])
        none = gate.send(row, gate.people[person], model=absent)
        assert without_chances(hidden, gate.common.model) == without_chances(none, absent)


def test_a_filter_by_a_hidden_model_answers_like_one_by_an_absent(gate):
    """Query parameters that name a model ask the same question."""
    absent = gate.common.model.replace(SECRET, SECRET[::-1])
    hidden, none = (
        gate.server.through_flask("GET", "/v1/usage", headers=gate.people["stranger"], query=f"model={name}")
        for name in (gate.common.model, absent)
    )
    assert hidden.status == 404
    assert without_chances(hidden, gate.common.model) == without_chances(none, absent)


@pytest.mark.parametrize("row", LISTINGS, ids=named)
def test_no_listing_tells_of_what_is_hidden(gate, row):
    """Nothing of it is anywhere in what a stranger gets, though it was called and counted."""
    predict = next(row for row in ROWS if row.route == "POST /v1/models/{model}/predict")
    assert gate.send(predict, gate.people["owner"]).status == 200
    answer = gate.send(row, gate.people["stranger"])
    for word in (SECRET, gate.ada.account_id, gate.common.key, gate.common.job, gate.common.session):
        assert word.encode() not in answer.body


def test_metrics_name_models_to_operators_alone(gate):
    """The labels hold every model's name, which is why nobody else gets them."""
    predict = next(row for row in ROWS if row.route == "POST /v1/models/{model}/predict")
    assert gate.send(predict, gate.people["owner"]).status == 200
    gate.server.services.metrics.publish()
    text = gate.server.through_flask("GET", "/metrics", headers=gate.people["operator"]).body.decode()
    assert f'model="{gate.common.model}"' in text
    for person in ("stranger", "reader", "owner"):
        answer = gate.server.through_flask("GET", "/metrics", headers=gate.people[person])
        assert answer.status == 403
        assert SECRET.encode() not in answer.body


def test_a_comparison_is_refused_before_anything_is_stored(gate, monkeypatch):
    """Who may not read it does not make the store write either."""
    from reference_server.http import traffic

    row = next(row for row in ROWS if row.path.endswith("/comparison"))
    flushed = []
    monkeypatch.setattr(traffic.comparisons, "flush", lambda *_: flushed.append(1))
    for person in ("stranger", "reader"):
        assert gate.send(row, gate.people[person]).status == row.expected(person)
    assert flushed == []
    assert gate.send(row, gate.people["publisher"]).status == 200
    assert flushed == [1]


def test_a_publisher_moves_default_with_what_they_publish(gate):
    """Where one that is in use gives way, the new version is loaded and takes over, as for the owner."""
    model = gate.model("popular")
    target = versions.serving_target(gate.db, gate.ada, model, None)
    gate.server.services.load(target)
    publisher = {**gate.people["publisher"], "content-type": "application/zip"}
    published = gate.server.through_flask(
        "POST",
        f"/v1/models/{model}/versions",
        headers=publisher,
        body=gate.package,
        query="again=true&set_default=true",
    )
    assert (published.status, published.json["version"]) == (201, 3)
    assert "default" in published.json["aliases"]
    bare = gate.server.through_flask(
        "POST", f"/v1/models/{model.partition('~')[2]}/versions", headers=publisher, body=gate.package
    )
    assert bare.status == 409
    assert bare.json["error"]["code"] == "exact_name_needed"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Basic YWRhOnNlY3JldA==", "malformed_credential"),
        ("Bearer", "malformed_credential"),
        ("Bearer ", "malformed_credential"),
        ("Bearer not-a-key", "malformed_credential"),
        ("Bearer maas_key_" + "0" * 46, "malformed_credential"),
    ],
)
def test_a_malformed_credential_is_told_from_an_unknown_one(shared, header, code):
    """What cannot be a key is said to be so, which helps whoever copied half of it."""
    answer = shared.through_flask("GET", "/v1/models", headers={"authorization": header})
    assert (answer.status, answer.json["error"]["code"]) == (401, code)


def test_a_well_formed_key_that_nobody_issued_is_unknown(shared):
    """A right checksum is not enough."""
    from reference_server.security import credentials

    forged = {"authorization": f"Bearer {credentials.issue('key').secret}"}
    answer = shared.through_flask("GET", "/v1/models", headers=forged)
    assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_credential")


def test_a_key_cannot_make_a_key_that_can_more(shared):
    """Scopes are a subset of the maker's, when making and when rotating."""
    strong = shared.post("/v1/keys", {"name": "strong", "scopes": ["models:write"]}, headers=shared.ada)
    limited = shared.post("/v1/keys", {"name": "weak", "scopes": ["keys"]}, headers=shared.ada)
    weak = {"authorization": f"Bearer {limited.json['secret']}"}
    made = shared.post("/v1/keys", {"name": "more", "scopes": ["predict"]}, headers=weak)
    assert (made.status, made.json["error"]["code"]) == (403, "scope_not_held")
    rotated = shared.post(f"/v1/keys/{strong.json['id']}/rotate", {}, headers=weak)
    assert (rotated.status, rotated.json["error"]["code"]) == (403, "scope_not_held")


def test_a_revoked_key_stops_at_once(shared):
    """The worker that revoked it does not wait for its cache."""
    made = shared.post("/v1/keys", {"name": "short", "scopes": ["models:read"]}, headers=shared.ada)
    held = {"authorization": f"Bearer {made.json['secret']}"}
    assert shared.through_flask("GET", "/v1/models", headers=held).status == 200
    assert shared.through_flask("DELETE", f"/v1/keys/{made.json['id']}", headers=shared.ada).status == 204
    assert shared.through_flask("GET", "/v1/models", headers=held).status == 401


def test_a_model_of_somebody_else_looks_like_none(shared, text_package):
    """The answer for a private model of another account is the answer for a name that nobody has."""
    assert shared.publish(shared.ada, "secret", text_package).status == 201
    eve = shared.register("eve")
    for template in ("/v1/models/{}", "/v1/models/{}/versions", "/v1/models/{}/aliases/default"):
        hidden = shared.through_flask("GET", template.format("ada~secret"), headers=eve)
        absent = shared.through_flask("GET", template.format("ada~absent"), headers=eve)
        assert hidden.status == absent.status == 404
        differing = {"message", "request_id"}
        assert {k: v for k, v in hidden.json["error"].items() if k not in differing} == {
            k: v for k, v in absent.json["error"].items() if k not in differing
        }
        assert (
            hidden.json["error"]["message"].replace("secret", "absent") == (absent.json["error"]["message"])
        )
