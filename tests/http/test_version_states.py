"""Deprecated, retired and deleted versions as their callers meet them, through both ways."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime

import pytest

WAYS = ("through_front", "through_flask")
CALLS = {
    "predict": ("/v1/models/words/predict", {"text": "good"}),
    "a version": ("/v1/models/words/versions/1/predict", {"text": "good"}),
    "an alias": ("/v1/models/words/versions/default/predict", {"text": "good"}),
    "infer": (
        "/v2/models/words/infer",
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]},
    ),
}


@pytest.fixture(scope="module")
def words(tmp_path_factory, make_server, text_package, token_package):
    """A server with the account `ada`, whose model `words` has two versions; `default` is 1."""
    made = make_server(tmp_path_factory.mktemp("words") / "data")
    made.ada = made.register("ada")
    for package in (text_package, token_package):
        assert made.publish(made.ada, "words", package, query="visibility=public").status == 201
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _as_it_was(words):
    yield
    for number in (1, 2):
        assert patch(words, number, state="active").status == 200


def send(server, method, path, value=None, *, way="through_flask", headers=None):
    body = b"" if value is None else json.dumps(value).encode()
    headers = {**(headers or server.ada), "content-type": "application/json"}
    return getattr(server, way)(method, path, headers=headers, body=body)


def patch(server, number, **change):
    return send(server, "PATCH", f"/v1/models/words/versions/{number}", change)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("path", "body"), CALLS.values(), ids=CALLS)
def test_callers_of_a_deprecated_version_are_told(words, way, path, body):
    """By the standard headers, whichever way they call it; of an active one there is none of them."""
    told = ("deprecation", "sunset", "link", "x-maas-model", "x-maas-version")
    before = send(words, "POST", path, body, way=way)
    assert before.status == 200
    assert not set(told) & set(before.headers)
    answer = patch(
        words,
        1,
        state="deprecated",
        replacement="2",
        sunset="2099-06-30T02:00:00+02:00",
        documentation="https://models.test/words",
    )
    assert answer.status == 200
    headers = send(words, "POST", path, body, way=way).headers
    since = answer.json["state_since"]
    assert headers["deprecation"].startswith("@")
    assert int(headers["deprecation"][1:]) == int(parsed(since))
    assert headers["sunset"] == "Tue, 30 Jun 2099 00:00:00 GMT"
    assert parsedate_to_datetime(headers["sunset"]).year == 2099
    successor, page = headers["link"].split(", ")
    assert successor == '</v1/models/words/versions/2>; rel="successor-version"'
    assert page == '<https://models.test/words>; rel="deprecation"'
    assert (headers["x-maas-model"], headers["x-maas-version"]) == ("words", "1")


def parsed(text):
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["/v1/models/words/versions/2/predict", "/v2/models/words/versions/2/infer"])
def test_a_retired_version_is_gone(words, way, path):
    """410 with the replacement, under `/v2` as a text; and it can be brought back."""
    assert patch(words, 2, state="retired", reason="Wrong.", replacement="1").status == 200
    body = CALLS["infer"][1] if "infer" in path else {"text": "good"}
    answer = send(words, "POST", path, body, way=way)
    assert answer.status == 410
    assert answer.headers["x-should-retry"] == "false"
    error = answer.json["error"]
    if path.startswith("/v2"):
        assert "use version 1" in error
    else:
        assert (error["code"], error["replacement"]) == ("version_retired", "1")
    assert patch(words, 2, state="active").status == 200
    assert send(words, "POST", "/v1/models/words/versions/2/predict", {"text": "good"}).status == 200


def test_a_pinned_caller_learns_which_version_is_default(words):
    """Only who names a number is told; it costs no call of its own."""
    header = "x-maas-default-version"
    for way in WAYS:
        assert send(words, "POST", CALLS["a version"][0], {"text": "a"}, way=way).headers[header] == "1"
        assert header not in send(words, "POST", CALLS["predict"][0], {"text": "a"}, way=way).headers
        assert header not in send(words, "POST", CALLS["an alias"][0], {"text": "a"}, way=way).headers


def test_what_retires_leaves_memory(words):
    """At once in the worker that is told; a version of the same content keeps it there."""
    version = send(words, "GET", "/v1/models/words/versions/2").json
    assert send(words, "POST", "/v1/models/words/versions/2/predict", {"text": "a"}).status == 200
    assert words.services.pool.find(version["digest"]) is not None
    assert patch(words, 2, state="retired").status == 200
    assert words.services.pool.find(version["digest"]) is None


def test_the_index_of_the_protocol_tells_what_is_retired(words):
    """It is not ready, and says why."""
    assert patch(words, 2, state="retired").status == 200
    entries = send(words, "POST", "/v2/repository/index").json
    found = {entry["version"]: (entry["state"], entry["reason"]) for entry in entries}
    assert found["2"] == ("UNAVAILABLE", "retired")
    assert send(words, "GET", "/v2/models/words/versions/2/ready").status == 410


def test_only_the_owner_changes_a_version(words):
    """Who sees the model is told so; who does not finds none."""
    bob = words.register("bob")
    for method, path in (
        ("PATCH", "/v1/models/words/versions/1"),
        ("DELETE", "/v1/models/words/versions/1"),
        ("DELETE", "/v1/models/words"),
    ):
        answer = send(words, method, path, {"state": "deprecated"}, headers=bob)
        assert (answer.status, answer.json["error"]["code"]) == (403, "not_owner")
        hidden = send(words, method, path.replace("words", "hidden"), {}, headers=bob)
        assert hidden.status == 404


def test_a_lost_race_is_told_with_what_won(words):
    """412 carries the alias as it is now, and its ETag, so that the loser can decide at once."""
    path = "/v1/models/words/aliases/race"
    assert send(words, "PUT", path, {"version": 1}).status == 200
    answer = send(words, "PUT", path, {"version": 2}, headers={**words.ada, "if-match": '"7"'})
    assert (answer.status, answer.headers["etag"]) == (412, '"1"')
    current = answer.json["error"]["current"]
    assert (current["name"], current["version"], current["moved_by"]) == ("race", 1, "ada")
    assert send(words, "PUT", path, {"version": 2}, headers={**words.ada, "if-match": '"1"'}).status == 200


def test_an_alias_is_made_or_moved_only_where_that_is_said(words):
    """`If-Match: *` is for one that is there, `If-None-Match: *` for one that is not (RFC 9110, 13.1)."""
    path = "/v1/models/words/aliases/said"
    there, new = ({**words.ada, name: "*"} for name in ("if-match", "if-none-match"))
    refused = send(words, "PUT", path, {"version": 1}, headers=there)
    assert (refused.status, refused.json["error"]["code"]) == (412, "revision_mismatch")
    assert send(words, "GET", path).status == 404
    assert send(words, "PUT", path, {"version": 1}, headers=new).status == 200
    lost = send(words, "PUT", path, {"version": 2}, headers=new)
    assert (lost.status, lost.json["error"]["current"]["version"]) == (412, 1)
    assert send(words, "PUT", path, {"version": 2}, headers=there).json["version"] == 2
    odd = send(words, "PUT", path, {"version": 1}, headers={**words.ada, "if-none-match": '"1"'})
    assert (odd.status, odd.json["error"]["code"]) == (400, "invalid_header")


def test_a_breaking_move_is_refused_before_anything_is_loaded(words):
    """409 lists what breaks; `force` says that it is meant."""
    path = "/v1/models/words/aliases/default"
    digest = send(words, "GET", "/v1/models/words/versions/2").json["digest"]
    words.services.pool.drop(digest)
    answer = send(words, "PUT", path, {"version": 2})
    assert (answer.status, answer.json["error"]["code"]) == (409, "breaking_signature")
    assert {"input_removed", "output_renamed"} <= {each["code"] for each in answer.json["error"]["errors"]}
    assert words.services.pool.find(digest) is None
    assert send(words, "PUT", path, {"version": 2, "force": True}).status == 200
    assert send(words, "POST", f"{path}/rollback", {}).json["error"]["code"] == "breaking_signature"
    assert send(words, "POST", f"{path}/rollback", {"force": True}).status == 200


def test_a_deleted_version_is_gone_from_memory_and_disk(words, text_package, package_writer, text_graph):
    """Whoever calls it finds none; the history tells that there was one."""
    package = package_writer(text_graph(), example="another")
    made = words.publish(
        words.ada, "words", package, query="parent=1&origin=trained&lineage=%7B%22data%22%3A+%22a+b%22%7D"
    ).json
    number = made["version"]
    assert (made["parent"], made["origin"], made["lineage"]) == (1, "trained", {"data": "a b"})
    path = f"/v1/models/words/versions/{number}"
    for way in WAYS:
        assert send(words, "POST", f"{path}/predict", {"text": "a"}, way=way).status == 200
    assert send(words, "DELETE", path).status == 200
    assert words.services.pool.find(made["digest"]) is None
    for way in WAYS:
        assert send(words, "POST", f"{path}/predict", {"text": "a"}, way=way).status == 404
    newest = send(words, "GET", "/v1/models/words/history").json["data"][0]
    assert (newest["kind"], newest["version"]) == ("version_deleted", number)
    assert send(words, "DELETE", "/v1/models/words/versions/1").json["error"]["code"] == "version_in_use"


def test_another_worker_unloads_what_was_deleted(words, make_server, package_writer, text_graph):
    """Within its next round of housekeeping, of which there is one a second."""
    from reference_server.housekeeping import Housekeeping

    package = package_writer(text_graph(), example="for another worker")
    made = words.publish(words.ada, "words", package).json
    path = f"/v1/models/words/versions/{made['version']}"
    other = make_server(words.services.settings.data_dir)
    try:
        assert send(other, "POST", f"{path}/predict", {"text": "a"}, headers=words.ada).status == 200
        assert send(words, "DELETE", path).status == 200
        assert other.services.pool.find(made["digest"]) is not None
        Housekeeping(other.services)._unload_gone()
        assert other.services.pool.find(made["digest"]) is None
    finally:
        other.close()


def test_a_deleted_model_frees_its_name(words, text_package):
    """All of it goes, and the next model of that name begins at 1."""
    assert words.publish(words.ada, "short", text_package, query="visibility=public").status == 201
    assert send(words, "POST", "/v1/models/short/predict", {"text": "a"}).status == 200
    assert send(words, "DELETE", "/v1/models/short").status == 200
    for way in WAYS:
        assert send(words, "POST", "/v1/models/short/predict", {"text": "a"}, way=way).status == 404
    # Version 1 of `words` has the same content.
    assert send(words, "POST", CALLS["predict"][0], {"text": "good"}).status == 200
    carol = words.register("carol")
    again = words.publish(carol, "short", text_package, query="visibility=public")
    assert (again.status, again.json["version"]) == (201, 1)
    assert [event["kind"] for event in send(words, "GET", "/v1/models/short/history").json["data"]] == [
        "alias_moved",
        "published",
    ]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"state": "gone"}, 422, "invalid_field"),
        ({"sate": "retired"}, 422, "invalid_field"),
        ({"state": "deprecated", "documentation": "https://a.test/\r\nx: y"}, 422, "invalid_field"),
        ({"reason": "why"}, 422, "notice_without_state"),
        ({"state": "deprecated", "sunset": "9999-12-31T23:59:59-23:00"}, 422, "invalid_field"),
        ({"metrics": [{"name": "accuracy", "value": 99, "dataset": "d", "rows": 1}]}, 422, "invalid_field"),
        (
            {"metrics": [{"name": "mean_squared_error", "value": -1, "dataset": "d", "rows": 1}]},
            422,
            "invalid_field",
        ),
        ({"state": "deprecated", "replacement": "99"}, 422, "unknown_replacement"),
        ({"state": "deprecated", "replacement": 99}, 422, "unknown_replacement"),
        ({"state": "deprecated", "replacement": 0}, 422, "invalid_field"),
        ({"state": "deprecated", "replacement": True}, 422, "invalid_field"),
        ({"state": "deprecated", "replacement": 2.0}, 422, "invalid_field"),
        ({"state": "deprecated", "reason": "a\x00b"}, 422, "invalid_field"),
        ({"state": "deprecated", "reason": "a\x1b[31mb"}, 422, "invalid_field"),
        ({"state": "retired"}, 409, "version_in_use"),
    ],
)
def test_what_cannot_be_is_told(words, change, status, code):
    """Each with its own code, and the version stays as it was."""
    answer = patch(words, 1, **change)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert send(words, "GET", "/v1/models/words/versions/1").json["state"] == "active"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/models/words/served", "at=0001-01-01T00:00:00%2B23:59"),
        ("/v1/models/words/served", "at=9999-12-31T23:59:59-23:59"),
        ("/v1/models/words/comparison", f"a=1&b=2&since={10**20}"),
        ("/v1/models/words/comparison", f"b=2&a={10**20}"),
        ("/v1/models", f"max_size_bytes={10**20}"),
        ("/v1/usage", f"version={10**20}"),
    ],
)
def test_numbers_and_times_beyond_what_is_kept_are_refused(words, path, query):
    """What the store could not hold is an error of the caller's and none of the server's."""
    answer = words.through_flask("GET", path, headers=words.ada, query=query)
    assert (answer.status, answer.json["error"]["param"]) == (
        400,
        query.rpartition("=")[0].rpartition("&")[2],
    )


def test_a_version_comes_with_a_call_of_it(words):
    """Ready to paste, as the model's own; a listing has none."""
    found = send(words, "GET", "/v1/models/words/versions/2").json
    assert "/v1/models/words/versions/2/predict" in found["snippets"]["curl"]
    assert "predict('words', version=2, " in found["snippets"]["python"]
    assert send(words, "GET", "/v1/models/words/versions").json["data"][0]["snippets"] is None


@pytest.mark.parametrize("replacement", [2, "2"])
def test_a_replacement_may_be_a_number(words, replacement):
    """A version's number as JSON has numbers means what it means as a text."""
    answer = patch(words, 1, state="deprecated", replacement=replacement)
    assert (answer.status, answer.json["replacement"]) == (200, "2")


def test_a_note_may_have_lines_and_tabs_and_no_other_control_character(words):
    """The error names the character and where it stands."""
    assert patch(words, 1, state="deprecated", reason="Old.\n\tVery old: ä 字.").status == 200
    error = patch(words, 1, state="deprecated", reason="ab\x00").json["error"]
    assert "U+0000 at position 2" in error["message"]
    note = send(words, "PUT", "/v1/models/words/aliases/live", {"version": 1, "note": "\x85"})
    assert (note.status, note.json["error"]["param"]) == (422, "note")


def test_the_catalogue_tells_of_a_deprecation(words):
    """A model carries the state of the version that it is described by."""
    active = send(words, "GET", "/v1/models/words").json
    assert (active["state"], active["sunset"], active["replacement"]) == ("active", None, None)
    shown, other = (1, 2) if active["default_version"] == 1 else (2, 1)
    answer = patch(words, shown, state="deprecated", replacement=other, sunset="2099-01-01T00:00:00Z")
    assert answer.status == 200
    data = send(words, "GET", "/v1/models").json["data"]
    listed = next(each for each in data if each["id"] == "words")
    for found in (listed, send(words, "GET", "/v1/models/words").json):
        told = (found["state"], found["sunset"], found["replacement"])
        assert told == ("deprecated", "2099-01-01T00:00:00Z", str(other))


@pytest.mark.parametrize("query", ["limit=1&kind=published", "after=1", "after=-1", "after=x", "cursor=x"])
def test_a_history_is_filtered_or_refused(words, query):
    """A filter that cannot be is an error and no empty answer."""
    answer = words.through_flask("GET", "/v1/models/words/history", headers=words.ada, query=query)
    assert answer.status == (200 if query in ("limit=1&kind=published", "after=1") else 400)
