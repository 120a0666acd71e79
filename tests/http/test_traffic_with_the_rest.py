"""What splits and shadows do together with publishing, the catalogue, notices, deletion and evaluation."""

from __future__ import annotations

import json

import pytest

PREDICT = "/v1/models/words/predict"
TRAFFIC = "/v1/models/words/traffic"
VERSION = "/v1/models/words/versions/2"
WAYS = ["through_front", "through_flask"]


@pytest.fixture
def server(server, text_package, package_writer, text_graph):
    """A server with the account `ada`, whose model `words` has two versions of one signature."""
    server.ada = server.register("ada")
    for package in (text_package, package_writer(text_graph(), example="another")):
        assert server.publish(server.ada, "words", package).status == 201
    return server


def ask(server, method, path, value=None, *, query="", way="through_flask", **headers):
    body = b"" if value is None else json.dumps(value).encode()
    sent = {**server.ada, "content-type": "application/json", **headers}
    return getattr(server, way)(method, path, headers=sent, body=body, query=query)


def put(server, splits, shadows=(), **more):
    chosen = [{"version": version, "weight": weight} for version, weight in splits.items()]
    answer = ask(server, "PUT", TRAFFIC, {"splits": chosen, "shadows": list(shadows), **more})
    assert answer.status == 200, answer.body
    return answer


@pytest.mark.parametrize("used", [False, True])
def test_what_is_default_already_may_be_published_as_it_under_a_split(server, text_package, used):
    """The same content is the same version, and nothing would move; whether the model is in use or not."""
    put(server, {1: 50, 2: 50})
    if used:
        assert ask(server, "POST", PREDICT, {"text": "good"}).status == 200
    answer = server.publish(server.ada, "words", text_package, query="set_default=true")
    assert (answer.status, answer.json["version"]) == (200, 1)


@pytest.mark.parametrize("used", [False, True])
def test_what_would_move_default_is_not_published_under_a_split(server, package_writer, text_graph, used):
    """Nor even tried out; a version that is there already moves nothing either."""
    put(server, {1: 50, 2: 50})
    if used:
        assert ask(server, "POST", PREDICT, {"text": "good"}).status == 200
    for example in ("a third", "another"):
        package = package_writer(text_graph(), example=example)
        answer = server.publish(server.ada, "words", package, query="set_default=true")
        assert (answer.status, answer.json["error"]["code"]) == (409, "traffic_split_in_force")
    found = ask(server, "GET", "/v1/models/words").json
    assert (found["default_version"], found["latest_version"]) == (1, 2)


def test_a_promotion_is_what_the_catalogue_lists(server):
    """A model is found by what its owner measured of the version that was promoted, and shows it."""
    metric = {"name": "accuracy", "value": 0.9, "dataset": "own reviews", "rows": 40}
    assert ask(server, "PATCH", VERSION, {"metrics": [metric]}).status == 200
    put(server, {1: 50, 2: 50})
    assert ask(server, "GET", "/v1/models", query="min_accuracy=0.8").json["data"] == []
    put(server, {2: 1}, promote=True)
    (listed,) = ask(server, "GET", "/v1/models", query="min_accuracy=0.8").json["data"]
    assert [(each["name"], each["value"]) for each in listed["metrics"]] == [("accuracy", 0.9)]
    assert ask(server, "GET", "/v1/models/words").json["metrics"] == listed["metrics"]
    assert ask(server, "POST", "/v1/models/words/aliases/default/rollback", {}).status == 200
    assert ask(server, "GET", "/v1/models/words").json["metrics"] == []


@pytest.mark.parametrize("way", WAYS)
def test_callers_of_a_deprecated_part_of_a_split_are_told(server, way):
    """Those whom it serves, and nobody else."""
    assert ask(server, "PATCH", VERSION, {"state": "deprecated"}).status == 200
    put(server, {1: 50, 2: 50})
    answers = [
        ask(server, "POST", PREDICT, {"text": "good"}, way=way, **{"x-sticky-id": str(number)})
        for number in range(30)
    ]
    told = {(each.json["version"], each.headers.get("x-maas-version")) for each in answers}
    assert told == {(1, None), (2, "2")}


def test_what_the_traffic_needs_is_neither_deleted_nor_retired(server):
    """Not a part of a split, not a shadow; once it is withdrawn it may go, and the record still names it."""
    for splits, shadows in (({1: 1, 2: 1}, ()), ({}, (2,))):
        at = put(server, splits, shadows).json["changed_at"]
        for answer in (ask(server, "DELETE", VERSION), ask(server, "PATCH", VERSION, {"state": "retired"})):
            assert (answer.status, answer.json["error"]["code"]) == (409, "version_in_use")
    assert ask(server, "DELETE", TRAFFIC).status == 200
    assert ask(server, "DELETE", VERSION).status == 200
    assert ask(server, "GET", "/v1/models/words/served", query=f"at={at}").json["shadows"] == [2]
    refused = ask(server, "PUT", TRAFFIC, {"splits": [{"version": 2, "weight": 1}]})
    assert (refused.status, refused.json["error"]["code"]) == (404, "version_not_found")


@pytest.mark.parametrize("way", WAYS)
def test_an_evaluation_is_no_traffic(server, way):
    """It has the version of `default`, whatever the split; shadows get no copy and no version is counted."""
    put(server, {2: 1}, [1])
    rows = {"inputs": [{"text": "good"}, {"text": "bad"}], "targets": ["positive", "negative"]}
    answer = ask(server, "POST", "/v1/models/words/evaluate", rows, way=way, **{"x-sticky-id": "a"})
    assert (answer.status, answer.json["version"]) == (200, 1)
    found = ask(server, "GET", "/v1/models/words/comparison", query="a=2&b=1").json
    assert (found["served_a"]["calls"], found["served_b"]["calls"], found["shadow"]) == (0, 0, None)


@pytest.mark.parametrize("way", WAYS)
def test_an_explanation_is_no_traffic(server, way):
    """It has the version that predicts for its caller, but counts for none, also when it fails."""
    put(server, {2: 1}, [1])
    body = {"inputs": {"text": "a good day"}}
    for change, status in (({}, 200), ({"target": "none"}, 422)):
        asked = {**body, **change}
        answer = ask(server, "POST", "/v1/models/words/explain", asked, way=way, **{"x-sticky-id": "a"})
        assert (answer.status, answer.json.get("version", 2)) == (status, 2)
    found = ask(server, "GET", "/v1/models/words/comparison", query="a=2&b=1").json
    assert (found["served_a"]["calls"], found["served_b"]["calls"], found["shadow"]) == (0, 0, None)
