from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from datetime import UTC, datetime

import pytest
import requests
from responses import matchers

from maas_client import Client, errors
from maas_client._config import load_profile

URL = "https://models.test"
WHEN = "2026-01-01T00:00:00Z"
ACCOUNT = {
    "id": "acc_1",
    "name": "ada",
    "email": "a@b.test",
    "role": "user",
    "policy_version": "1",
    "created_at": WHEN,
}
SESSION = {"id": "ses_1", "created_at": WHEN, "expires_at": WHEN}
KEY = {
    "id": "key_1",
    "name": "n",
    "prefix": "maas_key_01",
    "last4": "wxyz",
    "scopes": ["predict"],
    "created_at": WHEN,
}
MODEL = {"id": "m", "created": 1, "owned_by": "ada", "name": "m", "visibility": "private", "updated_at": WHEN}
ALIAS = {"name": "default", "version": 2, "revision": 4, "moved_at": WHEN}
CHANGE = {
    "alias": "default",
    "from_version": 1,
    "to_version": 2,
    "revision": 4,
    "moved_by": "ada",
    "moved_at": WHEN,
}
VERSION = {
    "model": "m",
    "version": 2,
    "digest": "sha256:" + "0" * 64,
    "task": "t",
    "size": 1,
    "author": "ada",
    "created_at": WHEN,
    "manifest": {"task": "t", "description": "d", "license": "MIT", "example": {"text": "x"}},
    "signature": {"inputs": [], "outputs": []},
    "tensors": {"inputs": [], "outputs": []},
}
INFO = {"name": "s", "version": "1", "usage_policy": {"version": "7", "text": "be kind"}}
EXPORT = {"account": ACCOUNT, "sessions": [], "keys": [], "models": [], "versions": [], "alias_changes": {}}


EVENT = {
    "seq": 4,
    "kind": "published",
    "at": "2026-01-01T00:00:00Z",
    "by": "ada",
    "version": 2,
    "details": {},
}
# Masked, and filled up with defaults.
REWRITTEN = {"secret", "manifest", "usage_policy"}


def page(*items):
    return {"object": "list", "data": list(items), "has_more": False}


CALLS = {
    "service.info": (lambda c: c.service.info(), "GET", "/", None, INFO),
    "service.health": (
        lambda c: c.service.health(),
        "GET",
        "/healthz",
        None,
        {"status": "ok", "instance": "i"},
    ),
    "account.get": (lambda c: c.account.get(), "GET", "/v1/account", None, ACCOUNT),
    "account.change_password": (
        lambda c: c.account.change_password(current_password="old", new_password="brand new password"),
        "PATCH",
        "/v1/account",
        {"current_password": "old", "new_password": "brand new password"},
        ACCOUNT,
    ),
    "account.export": (lambda c: c.account.export(), "GET", "/v1/account/export", None, EXPORT),
    "sessions.list": (lambda c: list(c.sessions.list()), "GET", "/v1/sessions", None, page(SESSION)),
    "sessions.end": (lambda c: c.sessions.end("ses_1"), "DELETE", "/v1/sessions/ses_1", None, None),
    "keys.list": (lambda c: list(c.keys.list()), "GET", "/v1/keys", None, page(KEY)),
    "keys.get": (lambda c: c.keys.get("key_1"), "GET", "/v1/keys/key_1", None, KEY),
    "keys.create": (
        lambda c: c.keys.create("n", scopes=("predict",), expires_at=datetime(2027, 1, 1, tzinfo=UTC)),
        "POST",
        "/v1/keys",
        {"name": "n", "scopes": ["predict"], "expires_at": "2027-01-01T00:00:00Z"},
        KEY | {"secret": "maas_key_x"},
    ),
    "keys.rotate": (
        lambda c: c.keys.rotate("key_1", overlap_seconds=60),
        "POST",
        "/v1/keys/key_1/rotate",
        {"overlap_seconds": 60},
        KEY | {"secret": "maas_key_x"},
    ),
    "keys.revoke": (lambda c: c.keys.revoke("key_1"), "DELETE", "/v1/keys/key_1", None, None),
    "models.list": (
        lambda c: list(c.models.list(task="t", q="a b", page_size=5)),
        "GET",
        "/v1/models?limit=5&task=t&q=a+b",
        None,
        page(MODEL),
    ),
    "models.get": (lambda c: c.models.get("ada~m"), "GET", "/v1/models/ada~m", None, MODEL),
    "models.create": (
        lambda c: c.models.create("m"),
        "POST",
        "/v1/models",
        {"name": "m", "visibility": "private"},
        MODEL,
    ),
    "models.update": (
        lambda c: c.models.update("m", visibility="public"),
        "PATCH",
        "/v1/models/m",
        {"visibility": "public"},
        MODEL,
    ),
    "model.get": (lambda c: c.model("m").get(), "GET", "/v1/models/m", None, MODEL),
    "versions.list": (
        lambda c: list(c.model("m").versions.list()),
        "GET",
        "/v1/models/m/versions",
        None,
        page(VERSION),
    ),
    "versions.deprecate": (
        lambda c: c.model("m").versions.deprecate(
            2, reason="Old.", replacement=3, sunset=datetime(2027, 1, 1, tzinfo=UTC)
        ),
        "PATCH",
        "/v1/models/m/versions/2",
        {"state": "deprecated", "reason": "Old.", "replacement": "3", "sunset": "2027-01-01T00:00:00Z"},
        VERSION,
    ),
    "versions.retire": (
        lambda c: c.model("m").versions.retire(2),
        "PATCH",
        "/v1/models/m/versions/2",
        {"state": "retired"},
        VERSION,
    ),
    "versions.restore": (
        lambda c: c.model("m").versions.restore(2),
        "PATCH",
        "/v1/models/m/versions/2",
        {"state": "active"},
        VERSION,
    ),
    "versions.delete": (
        lambda c: c.model("m").versions.delete(2),
        "DELETE",
        "/v1/models/m/versions/2",
        None,
        None,
    ),
    "models.delete": (lambda c: c.models.delete("a~m"), "DELETE", "/v1/models/a~m", None, None),
    "model.delete": (lambda c: c.model("m").delete(), "DELETE", "/v1/models/m", None, None),
    "model.history": (
        lambda c: list(c.model("m").history(kind="published", after=3, page_size=5)),
        "GET",
        "/v1/models/m/history?limit=5&kind=published&after=3",
        None,
        page(EVENT),
    ),
    "aliases.force": (
        lambda c: c.model("m").aliases.move("default", version=2, force=True),
        "PUT",
        "/v1/models/m/aliases/default",
        {"version": 2, "note": "", "force": True},
        ALIAS,
    ),
    "versions.get": (
        lambda c: c.model("m").versions.get("default"),
        "GET",
        "/v1/models/m/versions/default",
        None,
        VERSION,
    ),
    "aliases.list": (
        lambda c: list(c.model("m").aliases.list()),
        "GET",
        "/v1/models/m/aliases",
        None,
        page(ALIAS),
    ),
    "aliases.get": (
        lambda c: c.model("m").aliases.get("default"),
        "GET",
        "/v1/models/m/aliases/default",
        None,
        ALIAS,
    ),
    "aliases.move": (
        lambda c: c.model("m").aliases.move("default", version=2, note="better"),
        "PUT",
        "/v1/models/m/aliases/default",
        {"version": 2, "note": "better"},
        ALIAS,
    ),
    "aliases.rollback": (
        lambda c: c.model("m").aliases.rollback("default", note="worse"),
        "POST",
        "/v1/models/m/aliases/default/rollback",
        {"note": "worse"},
        ALIAS,
    ),
    "aliases.history": (
        lambda c: list(c.model("m").aliases.history("default")),
        "GET",
        "/v1/models/m/aliases/default/history",
        None,
        page(CHANGE),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_method_makes_its_call(server, client, name):
    """Method, path, query, body and credential are those of the contract; the answer is read as its type."""
    act, method, path, body, answer = CALLS[name]
    server.add(method, URL + path, json=answer, status=204 if answer is None else 200)
    result = act(client)
    (call,) = server.calls
    assert call.request.url == URL + path
    assert (json.loads(call.request.body) if call.request.body else None) == body
    open_to_anyone = name.startswith("service")
    assert ("Authorization" in call.request.headers) is not open_to_anyone
    assert ("Idempotency-Key" in call.request.headers) is (method == "POST")
    expected = answer["data"][0] if isinstance(result, list) else answer
    first = result[0] if isinstance(result, list) else result
    if answer is None:
        assert first is None
    else:
        shown = first.model_dump(mode="json")
        assert [shown[field] for field in expected if field not in REWRITTEN] == [
            expected[field] for field in expected if field not in REWRITTEN
        ]


def test_an_alias_moves_only_from_what_was_seen(server, client):
    """The expected revision goes as If-Match, and a lost swap is its own error."""
    server.put(
        f"{URL}/v1/models/m/aliases/default", status=412, match=[matchers.header_matcher({"If-Match": '"4"'})]
    )
    with pytest.raises(errors.PreconditionFailedError):
        client.model("m").aliases.move("default", version=2, expected_revision=4)


def test_listings_read_page_by_page_and_no_further(server, client):
    """The second page is asked for when the first is used up, with its cursor; another pass asks anew."""
    server.get(
        f"{URL}/v1/models",
        json=page(MODEL) | {"has_more": True, "next_cursor": "c/2"},
        match=[matchers.query_param_matcher({})],
    )
    server.get(
        f"{URL}/v1/models",
        json=page(MODEL | {"name": "n"}),
        match=[matchers.query_param_matcher({"cursor": "c/2"})],
    )
    listing = client.models.list()
    assert len(server.calls) == 0
    items = iter(listing)
    assert next(items).name == "m"
    assert len(server.calls) == 1
    assert [item.name for item in items] == ["n"]
    assert server.calls[1].request.url.endswith("?cursor=c%2F2")
    assert len(list(listing)) == 2
    assert repr(listing) == "Listing(GET /v1/models)"


def test_a_listing_that_goes_in_a_circle_ends(server, client):
    """A server that hands out the same cursor again does not keep us forever."""
    server.get(f"{URL}/v1/keys", json=page(KEY) | {"has_more": True, "next_cursor": "again"})
    with pytest.raises(errors.InvalidReplyError, match="circle"):
        list(client.keys.list())


@pytest.mark.parametrize(
    "act",
    [
        lambda c: c.models.get("../account"),
        lambda c: c.models.get(""),
        lambda c: c.models.get("stats"),
        lambda c: c.models.get("m\n"),
        lambda c: c.models.get("a~b~c"),
        lambda c: c.models.get(None),
        lambda c: c.model("m").versions.get(0),
        lambda c: c.model("m").versions.get("\u0661"),
        lambda c: c.model("m").versions.get(True),
        lambda c: c.model("m").versions.delete("latest"),
        lambda c: c.model("m").versions.retire(0),
        lambda c: c.model("m").versions.deprecate(2, replacement="../x"),
        lambda c: c.model("m").versions.deprecate(2, sunset=datetime(2027, 1, 1)),  # noqa: DTZ001 - that is it
        lambda c: c.model("m").pin("default"),
        lambda c: c.model("m", pin=0),
        lambda c: c.model("m").history(after=-1),
        lambda c: c.model("m").aliases.get("1st"),
        lambda c: c.keys.revoke("../x"),
        lambda c: c.models.list(sort="colour"),
        lambda c: c.keys.list(page_size=0),
        lambda c: c.keys.create(""),
        lambda c: c.model("m").aliases.move("default", version=0),
        lambda c: c.register("no address", "long enough password", accept_policy="1"),
    ],
)
def test_what_cannot_be_sent_is_told_at_once(server, client, act):
    """A mistaken argument is an ArgumentError where it was given; nothing is sent."""
    with pytest.raises(errors.ArgumentError):
        act(client)
    assert len(server.calls) == 0


def test_registering_needs_an_explicit_yes(server):
    """Without one, the error tells the policy's version and where to read it, and no account is made."""
    server.get(f"{URL}/", json=INFO)
    client = Client(base_url=URL, proxies={})
    with pytest.raises(errors.ArgumentError, match=r"usage_policy\.text and pass accept_policy='7'"):
        client.register("a@b.test", "long enough password")
    server.post(f"{URL}/v1/accounts", json=ACCOUNT, status=201)
    assert client.register("a@b.test", "long enough password", accept_policy=True).name == "ada"
    assert json.loads(server.calls[-1].request.body)["accept_policy"] == "7"
    client.register("a@b.test", "long enough password", accept_policy="6")
    assert json.loads(server.calls[-1].request.body)["accept_policy"] == "6"


def log_in(server):
    server.post(
        f"{URL}/v1/sessions", json=SESSION | {"token": "maas_ses_token0", "account": ACCOUNT}, status=201
    )


def test_logging_in_and_out(server):
    """The client, and those made from it, act with the session until it is logged out."""
    log_in(server)
    server.get(f"{URL}/v1/account", json=ACCOUNT)
    server.delete(f"{URL}/v1/sessions/current", status=204)
    client = Client(base_url=URL, proxies={})
    other = client.with_options(timeout=5)
    session = client.login("a@b.test", "password")
    assert "maas_ses_token0" not in repr(session)
    other.account.get()
    assert server.calls[-1].request.headers["Authorization"] == "Bearer maas_ses_token0"
    client.logout()
    with pytest.raises(errors.ConfigurationError):
        other.account.get()
    with pytest.raises(errors.ArgumentError, match="no log-in to end"):
        client.logout()


def test_a_saved_log_in_is_a_key_of_its_own(server):
    """`save=True` stores a key that a later client uses; logging out there revokes and forgets it."""
    log_in(server)
    server.post(f"{URL}/v1/keys", json=KEY | {"secret": "maas_key_saved00"}, status=201)
    server.delete(f"{URL}/v1/keys/key_1", status=204)
    Client(base_url=URL, proxies={}).login("a@b.test", "password", save=True)
    saved = load_profile("default")
    assert (saved.base_url, saved.api_key.reveal(), saved.key_id) == (URL, "maas_key_saved00", "key_1")
    later = Client(proxies={})
    later.logout()
    assert server.calls[-1].request.headers["Authorization"] == "Bearer maas_key_saved00"
    assert load_profile("default").api_key is None
    with pytest.raises(errors.ConfigurationError):
        later.account.get()


def test_a_new_saved_log_in_replaces_the_old_key(server):
    """The key that was stored before is revoked; that it is gone already does no harm."""
    log_in(server)
    server.post(f"{URL}/v1/keys", json=KEY | {"secret": "maas_key_first000"}, status=201)
    Client(base_url=URL, proxies={}).login("a@b.test", "password", save=True)
    server.replace(
        "POST", f"{URL}/v1/keys", json=KEY | {"id": "key_2", "secret": "maas_key_second00"}, status=201
    )
    gone = server.delete(f"{URL}/v1/keys/key_1", status=404)
    Client(base_url=URL, proxies={}).login("a@b.test", "password", save=True)
    assert gone.call_count == 1
    assert load_profile("default").key_id == "key_2"


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "maas.toml").write_text(
        'task = "text-classification"\ndescription = "d"\nlicense = "MIT"\nlabels = ["a", "b"]\n'
        'example = { text = "x" }\n'
    )
    (folder / "model.onnx").write_bytes(bytes(range(256)) * 4000)
    return folder


def test_publishing_streams_the_zip_with_its_digest(live_server, package):
    """The body is the zip, its length and RFC 9530 digest are declared, the options are in the query."""
    live_server.body = json.dumps(VERSION).encode()
    with Client("k" * 10, live_server.url, proxies={}) as client:
        version = client.models.publish(
            package, name="m", notes="new & better", visibility="public", set_default=True
        )
    assert version.version == 2
    ((path, headers, body, _),) = live_server.seen
    assert path == "/v1/models/m/versions?notes=new+%26+better&visibility=public&set_default=true"
    assert headers["Content-Type"] == "application/zip"
    assert headers["Content-Digest"] == f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"
    assert "Transfer-Encoding" not in headers
    assert 590_000 <= int(headers["X-Request-Timeout-Ms"]) <= 600_000


def test_publishing_again_after_a_failure_sends_the_whole_zip(server, client, sleeps, package):
    """A second attempt starts at the file's beginning, with the same key."""
    bodies = []

    def answer(request):
        bodies.append((request.body, request.headers["Idempotency-Key"]))
        return (503, {}, "") if len(bodies) == 1 else (200, {}, json.dumps(VERSION))

    server.add_callback("POST", f"{URL}/v1/models/m/versions", answer)
    client.model("m").versions.publish(package)
    assert bodies[0] == bodies[1]
    assert bodies[0][0][:2] == b"PK"


def test_a_broken_package_is_told_before_the_upload(server, client, package):
    """Mistakes in a package surface here, naming the file and the field."""
    (package / "maas.toml").write_text('task = "t"\n')
    with pytest.raises(errors.PackageError, match=r"maas\.toml: description: is required"):
        client.models.publish(package, name="m")
    assert len(server.calls) == 0


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"<html>welcome</html>", "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b"[]", "should be an object"),
        (b'{"id": 5}', "created: is required"),
    ],
)
def test_an_answer_of_another_kind_is_told(server, client, body, fault):
    """A proxy's page, an empty body or another shape is an InvalidReplyError with the body's beginning."""
    server.get(f"{URL}/v1/models/m", body=body, headers={"X-Request-Id": "req_9"})
    with pytest.raises(errors.InvalidReplyError, match=fault) as caught:
        client.models.get("m")
    assert (caught.value.status, caught.value.request_id) == (200, "req_9")
    assert caught.value.body == body.decode()


def test_unknown_fields_and_values_are_kept(server, client):
    """An older client reads a newer server."""
    server.get(f"{URL}/v1/models/m", json=MODEL | {"visibility": "shared", "colour": "red"})
    model = client.models.get("m")
    assert (model.visibility, model.colour) == ("shared", "red")


def test_a_redirect_on_the_same_host_is_followed(server, client):
    """A GET may be sent on within the host, but not around in circles."""
    server.get(f"{URL}/v1/models/m", status=301, headers={"Location": "/v1/models/n"})
    server.get(f"{URL}/v1/models/n", json=MODEL)
    assert client.models.get("m").name == "m"
    server.get(f"{URL}/v1/models/o", status=302, headers={"Location": "/v1/models/o"})
    with pytest.raises(errors.RedirectError, match="sent around"):
        client.models.get("o")


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (requests.ConnectTimeout("late"), errors.NotSentError),
        (requests.exceptions.SSLError("bad certificate"), errors.NotSentError),
        (requests.exceptions.ProxyError("no"), errors.NotSentError),
        (requests.ConnectionError("reset"), errors.DroppedError),
        (requests.exceptions.ChunkedEncodingError("cut"), errors.DroppedError),
    ],
)
def test_no_failure_of_the_libraries_comes_through(server, client, failure, kind):
    """Each of them is ours, with the cause named."""
    server.get(f"{URL}/v1/models/m", body=failure)
    with pytest.raises(kind, match=type(failure).__name__):
        client.with_options(max_retries=0).models.get("m")


def test_real_connection_failures_are_typed(live_server, sleeps):
    """Refused and unknown hosts were never sent, a bad certificate neither; a torn body was."""
    with (
        Client("k" * 10, "http://127.0.0.1:1", proxies={}) as client,
        pytest.raises(errors.NotSentError, match="refused"),
    ):
        client.models.get("m")
    with Client("k" * 10, "http://unknown.invalid", proxies={}) as client, pytest.raises(errors.NotSentError):
        client.models.get("m")
    assert len(sleeps) == 4
    with (
        Client("k" * 10, live_server.url.replace("http", "https"), max_retries=0, proxies={}) as client,
        pytest.raises(errors.NotSentError, match="SSL"),
    ):
        client.models.get("m")
