import json
from urllib.parse import quote

import pytest

from reference_server.housekeeping import Housekeeping


@pytest.fixture(scope="module")
def counted(shared):
    """The shared server after bob has called ada's model, and what was counted has been stored."""
    shared.bob = shared.register("bob")
    body = json.dumps({"instances": [{"text": "good"}, {"text": "bad"}]}).encode()
    headers = {"content-type": "application/json", **shared.bob}
    for door in (shared.through_front, shared.through_flask):
        assert door("POST", "/v1/models/words/predict", headers=headers, body=body).status == 200
    tensors = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]}
    assert shared.post("/v2/models/words/infer", tensors, headers=shared.bob).status == 200
    housekeeping = Housekeeping(shared.services)
    housekeeping.start()
    housekeeping.stop()
    return shared


@pytest.fixture(params=["front", "flask"])
def ask(request, counted):
    """Return a function that asks as bob, through each door."""
    door = counted.through_front if request.param == "front" else counted.through_flask

    def get(path, query="", **headers):
        return door("GET", path, headers={**counted.bob, **headers}, query=query)

    return get


def test_a_model_tells_what_it_was_measured_to_do(ask):
    """Latency and throughput by device, size, calls of late, and an example with this server's address."""
    model = ask("/v1/models/words", host="models.example.com:8443").json
    (measured,) = model["performance"]
    assert (measured["device"], measured["calls"], measured["rows"]) == ("cpu", 3, 5)
    assert 0 < measured["p50_ms"] <= measured["p95_ms"]
    assert measured["rows_per_second"] > 0
    assert model["usage"] == {"calls": 3, "rows": 5, "days": 30}
    assert model["size"] > 0
    assert "http://models.example.com:8443/v1/models/words/predict" in model["snippets"]["curl"]
    assert "base_url='http://models.example.com:8443'" in model["snippets"]["python"]


@pytest.mark.parametrize("host", ["a';id;'", "$(id)", "a b", "", "[::1", "x" * 300, "a/b"])
def test_a_strange_host_stands_in_no_example(counted, host):
    """What no host can be is left out of what people paste into a shell."""
    model = counted.through_flask("GET", "/v1/models/words", headers={**counted.bob, "host": host})
    if model.status == 200:
        assert "http://127.0.0.1:8000/" in model.json["snippets"]["curl"]


def test_listings_have_no_examples(ask):
    """They would make a page long."""
    (model,) = ask("/v1/models").json["data"]
    assert model["snippets"] is None
    assert model["usage"]["calls"] == 3


def test_usage_is_ones_own(ask, counted):
    """Bob called, ada did not; a key without the scope is refused."""
    (entry,) = ask("/v1/usage").json["data"]
    assert (entry["model"], entry["version"], entry["calls"], entry["rows"]) == ("ada~words", 1, 3, 5)
    assert ask("/v1/usage", "since=2000-01-01&until=2000-01-02").json["data"] == []
    assert counted.through_flask("GET", "/v1/usage", headers=counted.ada).json["data"] == []
    key = counted.post("/v1/keys", {"name": "k", "scopes": ["models:read"]}, headers=counted.bob).json
    held = {"authorization": f"Bearer {key['secret']}"}
    assert counted.through_flask("GET", "/v1/usage", headers=held).status == 403
    assert counted.through_flask("GET", "/v1/usage").status == 401


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("license=apache-2.0&max_latency_ms=60000&max_size_bytes=1000000&sort=-accuracy", 1),
        ("license=MIT", 0),
        ("tag=a", 0),
        ("tag=a&tag=b,c", 0),
        ("min_accuracy=0", 0),
        ("max_latency_ms=0.000001", 0),
        ("q=words", 1),
        ("sort=-usage", 1),
    ],
)
def test_filters_are_taken_from_the_query(ask, query, found):
    """Each of them, tags repeated or between commas."""
    answer = ask("/v1/models", query)
    assert (answer.status, len(answer.json["data"])) == (200, found)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("sort=beauty", "sort"),
        ("min_accuracy=2", "min_accuracy"),
        ("min_accuracy=nan", "min_accuracy"),
        ("max_latency_ms=inf", "max_latency_ms"),
        ("max_latency_ms=0", "max_latency_ms"),
        ("max_size_bytes=1.5", "max_size_bytes"),
        (f"tag={quote('a b')}", "tag[0]"),
        ("tag=" + ",".join("abcdefghijklmnopqrstuvwxyz"), "tag"),
        ("tag=", "tag[0]"),
        ("price=1", "price"),
    ],
)
def test_a_filter_that_cannot_be_is_named(ask, query, param):
    """The caller learns which parameter is wrong."""
    answer = ask("/v1/models", query)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize("query", ["since=yesterday", "version=0", "until=2030-02-30", "limit=0"])
def test_a_usage_filter_that_cannot_be_is_refused(ask, query):
    """Days are dates."""
    assert ask("/v1/usage", query).status == 400
