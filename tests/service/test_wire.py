"""What anybody with a socket can send, and the answer that it deserves."""

import json
import socket
import time

import pytest
import requests

import maas_client

MODEL = "text_classification_model"


@pytest.fixture(scope="module")
def post(demo):
    """Post to the demo's server with the demo's key and return the response."""
    session = requests.Session()
    session.trust_env = False

    def send(data, *, path=f"/v1/models/{MODEL}/predict", **headers):
        sent = {"authorization": f"Bearer {demo.ready['api_key']}", "content-type": "application/json"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        return session.post(demo.url + path, data=data, headers=sent, timeout=30)

    yield send
    session.close()


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        pytest.param(b'{"txt": "a"}', 422, "invalid_input", "text", id="wrong key"),
        pytest.param(b'{"text": 7}', 422, "wrong_type", "string", id="wrong type"),
        pytest.param(b"", 400, "empty_body", "empty", id="empty body"),
        pytest.param(b"text=a", 400, "invalid_json", "JSON", id="not JSON"),
        pytest.param(b'{"text": NaN}', 400, "invalid_json", "JSON", id="NaN"),
        pytest.param(b'{"text": "\xff"}', 400, "invalid_json", "UTF-8", id="not UTF-8"),
        pytest.param(b"[1]", 400, None, "object", id="no object"),
        pytest.param(b'{"instances": []}', 422, None, "instances", id="no instance"),
        pytest.param(b'{"text": "' + b"a" * 10_000_000 + b'"}', 413, "body_too_large", "bytes", id="10 MB"),
        pytest.param(b'{"text": "' + b"a" * 20_000 + b'"}', 422, None, "characters", id="20,000 characters"),
    ],
)
def test_bad_input_gets_its_own_clear_answer(post, body, status, code, says):
    """Status, code and a message that names what was wrong."""
    answer = post(body)
    error = answer.json()["error"]
    assert answer.status_code == status, error
    assert code in (None, error["code"])
    assert says in error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]


def test_every_bad_row_is_named_and_nothing_is_run(post):
    """A batch with two bad rows lists both by index."""
    rows = [{"text": "good"}, {"text": None}, {"text": "bad"}, {}]
    answer = post(json.dumps({"instances": rows}))
    assert answer.status_code == 422
    assert [fault["param"] for fault in answer.json()["error"]["errors"]] == [
        "instances[1].text",
        "instances[3].text",
    ]


def test_no_key_and_a_wrong_key_are_told_apart(post):
    """Both are 401; a typo is recognised by the key's checksum."""
    assert post("{}", authorization="").json()["error"]["code"] == "missing_credential"
    assert post("{}", authorization="Bearer maas_key_wrong").status_code == 401
    assert post("{}", authorization="Basic YTpi").status_code == 401


def test_an_unknown_and_a_foreign_model_look_alike(demo, text_package):
    """Another account's private model answers like one that is not there."""
    with demo.account("owner") as owner, demo.account("other") as other:
        owner.models.publish(text_package, name="secret_words", visibility="private")
        exact = f"{owner.account.get().name}~secret_words"
        assert owner.predict(exact, text="good").label == "positive"
        answers = []
        for name in (exact, "no_such_model", "secret_words"):
            with pytest.raises(maas_client.NotFoundError) as caught:
                other.predict(name, text="good")
            answers.append(
                (caught.value.status, caught.value.code, caught.value.message.replace(name, "NAME"))
            )
        assert len(set(answers)) == 1


def test_a_foreign_model_cannot_be_changed(demo, ada):
    """A public model may be called by all and changed by its owner alone."""
    handle = ada.model(MODEL)
    with pytest.raises(maas_client.PermissionDeniedError):
        handle.aliases.move("default", version=1, note="mine now")
    assert handle.aliases.get("default").note != "mine now"


def test_a_key_without_the_scope_is_refused(demo, ada):
    """Listing is not predicting, and a key cannot make a stronger one."""
    weak = ada.keys.create("weak", scopes=["models:read", "keys"]).secret.get_secret_value()
    with demo.client(api_key=weak) as client:
        assert list(client.models.list())
        with pytest.raises(maas_client.PermissionDeniedError, match="predict"):
            client.predict(MODEL, text="good")
        with pytest.raises(maas_client.PermissionDeniedError):
            client.keys.create("strong", scopes=["predict"])


def test_unknown_routes_and_methods_have_the_same_shape(demo):
    """404 and 405 are errors like all others."""
    for method, path, status in (("GET", "/v1/nothing", 404), ("PUT", "/v1/models", 405)):
        answer = requests.request(method, demo.url + path, timeout=10)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"type", "code", "message", "param", "request_id"}


def test_half_sent_bodies_delay_nobody(demo):
    """Two hundred connections that stop in the middle of a body leave /healthz quick."""
    start = f"POST /v1/models/{MODEL}/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{"
    address = demo.url.removeprefix("http://").split(":")
    held = []
    try:
        for _ in range(200):
            held.append(socket.create_connection((address[0], int(address[1])), timeout=10))
            held[-1].sendall(start.encode())
        began = time.monotonic()
        for _ in range(5):
            assert requests.get(demo.url + "/healthz", timeout=5).status_code == 200
        assert time.monotonic() - began < 5
    finally:
        for connection in held:
            connection.close()


def test_the_page_of_the_routes_needs_no_other_host(demo):
    """No address in /docs leads elsewhere, and its policy allows none."""
    answer = requests.get(demo.url + "/docs", timeout=10)
    assert answer.status_code == 200
    assert "http://" not in answer.text.replace(demo.url, "")
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_log_holds_no_body_and_no_secret(demo, ada):
    """Routes and ids are logged; texts, keys and query strings are not."""
    ada.predict(MODEL, text="xylophone-in-a-body")
    list(ada.models.list(q="xylophone-in-a-query"))
    time.sleep(0.5)  # lines are written in batches
    output = demo.output()
    assert "/v1/models/{model}/predict" in output
    assert "xylophone" not in output
    assert demo.ready["api_key"] not in output
