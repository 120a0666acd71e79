from typing import IO

import pytest

from maas_client.types import KeyCreated, PageQuery
from reference_server.app import ROUTES
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Call, Replied

ENDPOINTS = [endpoint for routes in ROUTES for endpoint in routes.endpoints]


def test_a_handler_states_what_it_takes_and_returns_once():
    """Parameters, query, body and reply come from the annotations."""
    routes = Routes("things")

    @routes.route("POST", "/things/<thing>", access="keys", status=201, audit="key_made")
    def make(call: Call, thing: str, query: PageQuery, body: IO[bytes]) -> Replied[KeyCreated]:
        raise AssertionError

    (endpoint,) = routes.endpoints
    assert endpoint.parameters == ("thing",)
    assert endpoint.query is PageQuery
    assert endpoint.body_kind == "upload"
    assert endpoint.reply is KeyCreated
    assert endpoint.secret
    assert endpoint.replayable
    assert endpoint.template == "/things/{thing}"
    assert endpoint.pattern.fullmatch("/things/x")["thing"] == "x"
    assert endpoint.pattern.fullmatch("/things/x/y") is None


def test_a_handler_that_does_not_fit_its_path_is_refused_when_it_is_made():
    """A forgotten path parameter fails at import and not at the first request."""
    routes = Routes("things")
    with pytest.raises(TypeError, match="its path gives"):

        @routes.route("GET", "/things/<thing>", access="keys")
        def get(call: Call) -> None:
            raise AssertionError


def test_a_handler_cannot_return_what_is_no_reply():
    """A reply type outside the wire contract is refused."""
    routes = Routes("things")
    with pytest.raises(TypeError, match="cannot return"):

        @routes.route("GET", "/things", access="keys")
        def get(call: Call) -> dict[str, str]:
            raise AssertionError


def test_every_endpoint_has_a_name_of_its_own():
    """Names are operation ids, and those are unique."""
    names = [endpoint.name for endpoint in ENDPOINTS]
    assert len(set(names)) == len(names)


def test_the_open_endpoints_are_these_and_no_others():
    """Opening a route to anyone is a change that this list must show."""
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.access == "open"} == {
        ("GET", "/"),
        ("GET", "/healthz"),
        ("GET", "/v1/erasures/<erasure>"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("POST", "/v1/accounts"),
        ("POST", "/v1/sessions"),
        ("GET", "/v2"),
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/ready"),
    }


def test_every_post_that_changes_something_is_replayable():
    """All but log-in, what runs a model, and the protocol's index, which only reads, honour the key."""
    posts = {e.path for e in ENDPOINTS if e.method == "POST" and not e.replayable}
    assert posts == {
        "/v1/embeddings",
        "/v1/sessions",
        "/v1/models/<model>/predict",
        "/v1/models/<model>/versions/<version>/predict",
        "/v1/models/<model>/evaluate",
        "/v1/models/<model>/versions/<version>/evaluate",
        "/v1/models/<model>/explain",
        "/v1/models/<model>/versions/<version>/explain",
        "/v2/models/<model>/infer",
        "/v2/models/<model>/versions/<version>/infer",
        "/v2/repository/index",
    }


def test_what_returns_nothing_answers_no_content(shared):
    """204 is the status of the table, of OpenAPI and of the answer alike."""
    described = shared.through_flask("GET", "/openapi.json").json["paths"]["/v1/keys/{key}"]["delete"]
    assert {status for status in described["responses"] if status < "400"} == {"204"}
    made = shared.post("/v1/keys", {"name": "short", "scopes": ["predict"]}, headers=shared.ada).json
    answer = shared.through_flask("DELETE", f"/v1/keys/{made['id']}", headers=shared.ada)
    assert (answer.status, answer.body) == (204, b"")


def test_every_answer_that_a_handler_gives_is_described(shared, text_package):
    """Publishing the same content again answers 200, and OpenAPI says what that means."""
    described = shared.through_flask("GET", "/openapi.json").json["paths"]["/v1/models/{model}/versions"]
    assert shared.publish(shared.ada, "words", text_package).status == 200
    assert {status for status in described["post"]["responses"] if status < "400"} == {"201", "200"}
