import pytest

from reference_server.app import ROUTES

ENDPOINTS = [endpoint for routes in ROUTES for endpoint in routes.endpoints]
CLOSED = [endpoint for endpoint in ENDPOINTS if endpoint.access != "open"]
SCOPED = [endpoint for endpoint in CLOSED if endpoint.access not in ("session", "operator")]
CODES = {"session": "session_required", "operator": "operator_required"}


def path(endpoint):
    return endpoint.path.replace("<", "").replace(">", "")


def names(endpoint):
    return endpoint.name


def key(shared, *scopes):
    made = shared.post("/v1/keys", {"name": "test", "scopes": list(scopes)}, headers=shared.ada)
    return {"authorization": f"Bearer {made.json['secret']}"}


def says(endpoint, answer, *, code, words):
    """Tell whether an error says so: by its code, or under `/v2`, whose errors are texts, in its words."""
    error = answer.json["error"]
    return words in error if endpoint.path.startswith("/v2") else error["code"] == code


@pytest.mark.parametrize("endpoint", CLOSED, ids=names)
def test_without_a_credential_every_closed_endpoint_answers_401(shared, endpoint):
    """Access is denied by default, before anything of the request is read."""
    answer = shared.through_flask(endpoint.method, path(endpoint), body=b"{not json")
    assert answer.status == 401
    assert says(endpoint, answer, code="missing_credential", words="no credential")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("endpoint", CLOSED, ids=names)
def test_a_key_without_the_scope_gets_403_and_the_scopes_name(shared, endpoint):
    """A key does what its scopes say and nothing else; sessions are out of reach for any key."""
    other = "audit" if endpoint.access != "audit" else "predict"
    answer = shared.through_flask(endpoint.method, path(endpoint), headers=key(shared, other))
    assert answer.status == 403
    assert says(endpoint, answer, code=CODES.get(endpoint.access, "missing_scope"), words="scope")


@pytest.mark.parametrize("endpoint", SCOPED, ids=names)
def test_a_key_with_the_scope_is_let_in(shared, endpoint):
    """With the scope, the answer is about the request and no longer about the credential."""
    answer = shared.through_flask(endpoint.method, path(endpoint), headers=key(shared, endpoint.access))
    assert answer.status not in (401, 403)


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
    weak = key(shared, "keys")
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
