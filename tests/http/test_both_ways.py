"""Flask and the front are two doors to one pipeline: the same request gets the same bytes."""

import itertools
import json
import time

import pytest

BODIES = [
    b'{"text": "a good day"}',
    b'{"instances": [{"text": "good"}, {"text": "bad"}]}',
    b'{"text": "good", "parameters": {"top_k": 1}}',
    b'{"text": "\\u00e9\\ud83d\\ude00"}',
    b'{"text": 1}',
    b'{"instances": [1, {"text": 2}, {}]}',
    b"{",
    b"",
]
PATHS = [
    "/v1/models/words/predict",
    "/v1/models/ada~words/predict",
    "/v1/models/words/versions/1/predict",
    "/v1/models/words/versions/latest/predict",
    "/v1/models/words/versions/9/predict",
    "/v1/models/nothing/predict",
]


@pytest.fixture
def frozen(shared, monkeypatch):
    """The shared server with one time and one source of ids."""
    now = time.monotonic()
    monkeypatch.setattr(shared.services, "timer", lambda: now)
    monkeypatch.setattr(shared.services.lanes, "timer", lambda: now)

    def restart():
        numbers = itertools.count()
        monkeypatch.setattr(shared.services, "random", lambda: "same" if next(numbers) >= 0 else "")

    restart()
    return shared


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", BODIES, ids=repr)
@pytest.mark.parametrize("credential", ["session", "none", "wrong"])
def test_both_doors_give_the_same_bytes(frozen, path, body, credential):
    """Status, headers and body agree under a fixed clock and id source."""
    authorization = {"session": frozen.ada, "none": {}, "wrong": {"authorization": "Bearer nope"}}[credential]
    headers = {"content-type": "application/json", **authorization}
    one = frozen.through_flask("POST", path, headers=headers, body=body)
    other = frozen.through_front("POST", path, headers=headers, body=body)
    # A WSGI server adds it.
    assert other.headers.pop("date")
    assert (one.status, one.body) == (other.status, other.body)
    assert one.headers == other.headers


def test_what_is_no_inference_passes_through_the_bridge(shared):
    """Other routes, their bodies, queries and failures come back whole."""
    for method, path, query in [
        ("GET", "/", ""),
        ("GET", "/v1/models", "limit=1"),
        ("GET", "/v1/models", "limit=none"),
        ("GET", "/nowhere", ""),
        ("DELETE", "/v1/models", ""),
        ("GET", "/openapi.json", ""),
        ("GET", "/docs", ""),
    ]:
        one = shared.through_flask(method, path, headers=shared.ada, query=query)
        other = shared.through_front(method, path, headers=shared.ada, query=query)
        assert one.status == other.status
        if "json" not in one.headers["content-type"] or one.status < 400:
            assert one.body == other.body
        else:
            first, second = json.loads(one.body)["error"], json.loads(other.body)["error"]
            first.pop("request_id"), second.pop("request_id")
            assert first == second


def test_a_post_with_a_body_passes_through_the_bridge(shared):
    """A key made through the front works."""
    body = json.dumps({"name": "bridged", "scopes": ["models:read"]}).encode()
    headers = {"content-type": "application/json", **shared.ada}
    made = shared.through_front("POST", "/v1/keys", headers=headers, body=body)
    assert made.status == 201
    held = {"authorization": f"Bearer {made.json['secret']}"}
    assert shared.through_front("GET", "/v1/models", headers=held).status == 200
