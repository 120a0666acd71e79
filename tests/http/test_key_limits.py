"""What a limited key meets, through the front and through Flask."""

import json

import pytest

from maas_client.types import SCOPES
from reference_server.errors import Unavailable
from reference_server.housekeeping import Housekeeping
from reference_server.registry import accounts
from reference_server.runtime.work import TaskWork

WAYS = ["through_front", "through_flask"]
PREDICT = "/v1/models/words/predict"


def make_key(server, maker=None, *, scopes=SCOPES, **limits):
    """Make a key and return its header and its fields."""
    made = server.post(
        "/v1/keys", {"name": "test", "scopes": list(scopes), **limits}, headers=maker or server.ada
    )
    assert made.status == 201, made.body
    return {"authorization": f"Bearer {made.json['secret']}"}, made.json


def ask(server, method, path, value=None, *, headers, way="through_flask", query=""):
    body = b"" if value is None else json.dumps(value).encode()
    sent = {"content-type": "application/json", **headers}
    return getattr(server, way)(method, path, headers=sent, body=body, query=query)


def code(answer):
    error = answer.json["error"]
    return answer.status, error if isinstance(error, str) else error["code"]


@pytest.fixture(scope="module")
def house(tmp_path_factory, make_server, text_package):
    """Ada has `words` (public) and `secret`; bob has `words` and `public`, both public."""
    made = make_server(
        tmp_path_factory.mktemp("house") / "data",
        trusted_proxies=["127.0.0.1", "::1"],
        calls_per_second=100_000,
    )
    made.services.has_job_processes = True
    made.ada, made.bob = made.register("ada"), made.register("bob")
    for who, model, visibility in (
        (made.ada, "words", "private"),
        (made.ada, "secret", "private"),
        (made.bob, "words", "public"),
        (made.bob, "open", "public"),
    ):
        answer = made.publish(who, model, text_package, query=f"visibility={visibility}")
        assert answer.status == 201, answer.body
    yield made
    made.close()


def listed(house, key):
    """Return the ids that a key sees in the catalogue, page by page of one."""
    ids, cursor = [], ""
    while True:
        page = ask(house, "GET", "/v1/models", headers=key, query=f"limit=1{cursor}").json
        ids += [model["id"] for model in page["data"]]
        if not page["has_more"]:
            return ids
        assert len(page["data"]) == 1
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize(
    ("models", "seen"),
    [
        (None, ["words", "secret", "open", "bob~words"]),
        (["words"], ["words"]),
        (["*"], ["words", "secret", "open"]),
        (["bob~*"], ["open", "bob~words"]),
        (["ada~s*", "open"], ["secret", "open"]),
        (["none"], []),
    ],
)
def test_other_models_do_not_exist_for_a_key(house, models, seen):
    """Neither in listings, page by page, nor in the index, nor by any of their names."""
    key, _ = make_key(house, **({} if models is None else {"models": models}))
    assert sorted(listed(house, key)) == sorted(seen)
    index = ask(house, "POST", "/v2/repository/index", headers=key).json
    assert sorted({each["name"] for each in index}) == sorted(seen)
    exact = {"ada~words": "words", "bob~open": "open", "bob~words": "bob~words"}
    for name, model in (exact | {name: name for name in ("words", "secret", "open")}).items():
        answer = ask(house, "GET", f"/v1/models/{name}", headers=key)
        assert answer.status == (200 if model in seen else 404), name


@pytest.mark.parametrize("way", WAYS)
def test_a_hidden_model_answers_like_one_that_nobody_has(house, way):
    """Every route over a model, predictions too, also while another key of the account is served with it."""
    key, _ = make_key(house, models=["words"])
    full, _ = make_key(house)
    template = "/v1/models/{}/predict"
    assert (
        ask(house, "POST", template.format("secret"), {"text": "good"}, headers=full, way=way).status == 200
    )
    assert ask(house, "POST", template.format("words"), {"text": "good"}, headers=key, way=way).status == 200
    for method, path, body in (
        ("POST", template, {"text": "good"}),
        ("POST", "/v1/models/{}/versions/1/predict", {"text": "good"}),
        ("POST", "/v1/models/{}/evaluate", {"inputs": [{"text": "a"}], "targets": ["positive"]}),
        ("GET", "/v1/models/{}/versions", None),
        ("GET", "/v1/models/{}/aliases", None),
        ("GET", "/v1/models/{}/history", None),
        ("PATCH", "/v1/models/{}", {"visibility": "private"}),
        ("DELETE", "/v1/models/{}", None),
        ("GET", "/v2/models/{}", None),
        ("GET", "/v2/models/{}/stats", None),
    ):
        hidden, absent = (
            ask(house, method, path.format(name), body, headers=key, way=way) for name in ("secret", "absent")
        )
        assert hidden.status == absent.status == 404, path
        differing = {hidden.headers["x-request-id"]: "", absent.headers["x-request-id"]: ""}
        texts = [answer.body.decode().replace("absent", "secret") for answer in (hidden, absent)]
        for each in differing:
            texts = [text.replace(each, "") for text in texts]
        assert texts[0] == texts[1]


def test_a_limited_key_publishes_under_names_of_its_own_alone(house, text_package):
    """A name that is taken by a hidden model, and one that is free, answer alike."""
    key, _ = make_key(house, models=["mine-*"])
    for name in ("secret", "free"):
        answer = house.publish(key, name, text_package)
        assert code(answer) == (404, "model_not_found")
        assert code(ask(house, "POST", "/v1/models", {"name": name}, headers=key)) == (404, "model_not_found")
    assert house.publish(key, "mine-1", text_package).status == 201
    assert ask(house, "DELETE", "/v1/models/mine-1", headers=key).status == 200


def test_a_limited_key_sees_jobs_and_usage_of_its_models_alone(house):
    """What was done with a hidden model tells of it as well."""
    key, _ = make_key(house, models=["words"])
    full, _ = make_key(house)
    body = {"inputs": [{"text": "a"}], "targets": ["positive"], "background": True}
    jobs = {
        name: ask(house, "POST", f"/v1/models/{name}/evaluate", body, headers=full).json["id"]
        for name in ("words", "secret")
    }
    assert [job["id"] for job in ask(house, "GET", "/v1/jobs", headers=key).json["data"]] == [jobs["words"]]
    assert ask(house, "GET", f"/v1/jobs/{jobs['words']}", headers=key).status == 200
    for method, path in (
        ("GET", "/v1/jobs/{}"),
        ("GET", "/v1/jobs/{}/log"),
        ("GET", "/v1/jobs/{}/events"),
        ("POST", "/v1/jobs/{}/cancel"),
        ("DELETE", "/v1/jobs/{}"),
    ):
        answer = ask(house, method, path.format(jobs["secret"]), headers=key)
        assert code(answer) == (404, "job_not_found"), path
    for name in jobs:
        assert ask(house, "POST", f"/v1/models/{name}/predict", {"text": "a"}, headers=full).status == 200
    house.services.metrics.publish()
    Housekeeping(house.services)._store_counts()
    used = ask(house, "GET", "/v1/usage", headers=key).json["data"]
    assert {each["model"] for each in used} == {"ada~words"}
    used = ask(house, "GET", "/v1/usage", headers=full).json["data"]
    assert {each["model"] for each in used} >= {"ada~words", "ada~secret"}
    for job in jobs.values():
        ask(house, "POST", f"/v1/jobs/{job}/cancel", headers=full)


@pytest.mark.parametrize("way", WAYS)
def test_a_key_works_from_its_networks_alone(house, way):
    """From elsewhere the answer names no network, also a moment after it was used from the right place."""
    key, _ = make_key(house, networks=["203.0.113.0/24", "2001:db8::/32"])

    def predict(address):
        return ask(
            house, "POST", PREDICT, {"text": "good"}, headers={**key, "x-forwarded-for": address}, way=way
        )

    for address in ("203.0.113.7", "2001:db8::5", "::ffff:203.0.113.9"):
        assert predict(address).status == 200
    for address in ("198.51.100.1", "2001:db9::1", "203.0.113.7, 198.51.100.1", ""):
        refused = predict(address)
        assert code(refused) == (403, "address_not_allowed")
        assert b"203.0" not in refused.body
        assert b"2001" not in refused.body


def test_who_wrote_x_forwarded_for_is_believed_only_when_trusted(house, make_server, tmp_path):
    """Without the setting the header is what anyone can write."""
    other = make_server(tmp_path / "data")
    try:
        other.ada = other.register("ada")
        key, _ = make_key(other, networks=["203.0.113.0/24"])
        for way in WAYS:
            answer = ask(
                other, "GET", "/v1/models", headers={**key, "x-forwarded-for": "203.0.113.7"}, way=way
            )
            assert code(answer) == (403, "address_not_allowed")
    finally:
        other.close()


def test_the_owner_sees_when_and_from_where_a_key_was_used(house):
    """The last use that was let in; who was refused is not a use."""
    key, made = make_key(house, networks=["203.0.113.0/24"])
    for address in ("203.0.113.7", "198.51.100.1"):
        ask(house, "GET", "/v1/models", headers={**key, "x-forwarded-for": address})
    house.services.authenticate.forget()
    ask(house, "GET", "/v1/models", headers={**key, "x-forwarded-for": "198.51.100.1"})
    house.services.authenticate.flush()
    seen = ask(house, "GET", f"/v1/keys/{made['id']}", headers=house.ada).json
    assert seen["last_used_from"] == "203.0.113.7"
    assert seen["last_used_at"] is not None


def test_limits_are_shown_and_kept_by_a_new_secret(house):
    """Making, listing and rotating show the same limits, and the new secret has them."""
    limits = {"models": ["words"], "networks": ["127.0.0.0/8"], "requests_per_minute": 50, "rows_per_day": 70}
    _, made = make_key(house, **limits)
    assert {name: made[name] for name in limits} == limits
    rotated = house.post(f"/v1/keys/{made['id']}/rotate", {"overlap_seconds": 60}, headers=house.ada).json
    assert {name: rotated[name] for name in limits} == limits
    key = {"authorization": f"Bearer {rotated['secret']}"}
    assert ask(house, "GET", "/v1/models/secret", headers=key).status == 404
    assert ask(house, "GET", "/v1/models", headers=key).headers["x-ratelimit-limit"] == "50"


@pytest.mark.parametrize(
    ("limits", "wider", "param"),
    [
        ({"models": ["words"]}, {"models": ["*"]}, "models"),
        ({"networks": ["127.0.0.0/8"]}, {"networks": ["0.0.0.0/0"]}, "networks"),
        ({"expires_at": "2099-01-01T00:00:00Z"}, {"expires_at": "2099-01-01T00:00:01Z"}, "expires_at"),
        ({"requests_per_minute": 50}, {"requests_per_minute": 51}, "requests_per_minute"),
        ({"rows_per_day": 50}, {"rows_per_day": 51}, "rows_per_day"),
    ],
)
def test_a_key_makes_and_takes_over_no_wider_key(house, limits, wider, param):
    """In no way; what is left out is the maker's own."""
    maker, made = make_key(house, **limits)
    refused = house.post("/v1/keys", {"name": "more", **wider}, headers=maker)
    assert (*code(refused), refused.json["error"]["param"]) == (403, "limit_not_held", param)
    _, child = make_key(house, maker)
    assert child[param] == made[param]
    _, full = make_key(house)
    assert code(house.post(f"/v1/keys/{full['id']}/rotate", {}, headers=maker)) == (403, "limit_not_held")
    assert house.post(f"/v1/keys/{child['id']}/rotate", {}, headers=maker).status == 200
    assert house.post(f"/v1/keys/{made['id']}/rotate", {}, headers=maker).status == 200


def test_keys_that_a_key_made_are_counted_with_it(house):
    """However many keys it makes, and they make: together they have what it has."""
    maker, _ = make_key(house, requests_per_minute=6, rows_per_day=8)
    child, _ = make_key(house, maker)
    grandchild, _ = make_key(house, child, requests_per_minute=5)
    # Two requests made keys.
    answers = [
        ask(house, "POST", PREDICT, {"text": "a"}, headers=each)
        for each in (child, grandchild, maker, grandchild)
    ]
    assert [answer.status for answer in answers] == [200] * 4
    assert '"key-requests";q=5;w=60' in answers[3].headers["ratelimit-policy"]
    for each in (maker, child, grandchild):
        assert code(ask(house, "POST", PREDICT, {"text": "a"}, headers=each)) == (429, "rate_limited")


@pytest.mark.parametrize("way", WAYS)
def test_requests_of_a_minute(house, way):
    """Each answer tells what is left, the refusal when to come back; other keys are not touched."""
    key, _ = make_key(house, requests_per_minute=3)
    answers = [ask(house, "POST", PREDICT, {"text": "a"}, headers=key, way=way) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[0].headers["ratelimit-policy"] == '"key-requests";q=3;w=60'
    assert answers[0].headers["ratelimit"] == '"key-requests";r=2;t=20'
    assert answers[3].headers["ratelimit"] == '"key-requests";r=0;t=20'
    assert answers[3].headers["retry-after"] == "20"
    other, _ = make_key(house)
    answer = ask(house, "POST", PREDICT, {"text": "a"}, headers=other, way=way)
    assert (answer.status, "ratelimit" in answer.headers) == (200, False)


@pytest.mark.parametrize("way", WAYS)
def test_rows_of_a_day_are_counted_as_rows(house, way):
    """Instances and not calls; a refusal says when there will be more, and that nobody should wait for it."""
    key, _ = make_key(house, rows_per_day=5)

    def predict(count):
        rows = {"instances": [{"text": "a"}] * count}
        return ask(house, "POST", PREDICT, rows, headers=key, way=way)

    assert predict(3).headers["ratelimit"].startswith('"key-rows";r=2;t=')
    refused = predict(3)
    assert code(refused) == (429, "quota_spent")
    assert "at midnight, UTC" in refused.json["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert predict(2).status == 200
    assert predict(1).status == 429
    # What needs no row is not refused.
    assert ask(house, "GET", "/v1/models", headers=key, way=way).status == 200


def test_rows_of_every_way_to_predict_are_counted(house):
    """Tensors, evaluations at once, and those that a job makes."""
    key, _ = make_key(house, rows_per_day=100)
    rows = {"inputs": [{"text": "a"}] * 4, "targets": ["positive"] * 4}

    def left(answer):
        assert answer.status in (200, 202), answer.body
        return int(answer.headers["x-ratelimit-remaining"])

    tensors = {"inputs": [{"name": "text", "shape": [3], "datatype": "BYTES", "data": ["a", "b", "c"]}]}
    meta = ask(house, "GET", "/v2/models/words", headers=key).json["inputs"][0]
    tensors["inputs"][0] |= {"name": meta["name"], "shape": [3, *meta["shape"][1:]]}
    assert left(ask(house, "POST", "/v2/models/words/infer", tensors, headers=key)) == 97
    assert left(ask(house, "POST", "/v1/models/words/evaluate", rows, headers=key)) == 93
    background = ask(house, "POST", "/v1/models/words/evaluate", {**rows, "background": True}, headers=key)
    assert left(background) == 89
    ask(house, "POST", f"/v1/jobs/{background.json['id']}/cancel", headers=key)


@pytest.mark.parametrize("way", WAYS)
def test_rows_of_a_call_that_fails_are_returned(house, monkeypatch, way):
    """Nobody pays for what was not predicted: neither for a wrong row nor for a model that fails."""
    key, _ = make_key(house, rows_per_day=5)
    five = {"instances": [{"text": "a"}] * 5}
    wrong = {"instances": [{"wrong": 1}] * 2}
    assert ask(house, "POST", PREDICT, wrong, headers=key, way=way).status == 422

    def fail(*_, **__):
        raise Unavailable("no", code="busy", retry_after=1)

    with monkeypatch.context() as patch:
        patch.setattr(TaskWork, "run", fail)
        patch.setattr(TaskWork, "run_with", fail)
        failed = ask(house, "POST", PREDICT, five, headers=key, way=way)
        assert code(failed) == (503, "busy")
    assert ask(house, "POST", PREDICT, five, headers=key, way=way).status == 200
    assert ask(house, "POST", PREDICT, {"text": "a"}, headers=key, way=way).status == 429


def test_an_accounts_limits_hold_for_all_its_keys_and_not_for_its_owner(house):
    """Two keys share it; a log-in session still manages them."""
    eve = house.register("eve")
    database = house.services.database
    account = accounts.find(database, "eve")
    accounts.set_limits(database, account.id, requests_per_minute=2, rows_per_day=100)
    house.services.authenticate.forget()
    first, made = make_key(house, eve)
    second, _ = make_key(house, eve, requests_per_minute=50)
    answers = [ask(house, "GET", "/v1/models", headers=each) for each in (first, second, first, second)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert '"account-requests";q=2;w=60' in answers[1].headers["ratelimit-policy"]
    for _ in range(3):
        assert ask(house, "GET", "/v1/keys", headers=eve).status == 200
    assert ask(house, "DELETE", f"/v1/keys/{made['id']}", headers=eve).status == 204


def test_the_servers_default_limits_accounts_without_their_own(tmp_path, make_server, text_package):
    """0 of its own is no limit; predictions of a session count as well."""
    made = make_server(tmp_path / "data", account_requests_per_minute=2, account_rows_per_day=3)
    try:
        made.ada = made.register("ada")
        made.publish(made.ada, "words", text_package)
        assert ask(made, "POST", PREDICT, {"text": "a"}, headers=made.ada).status == 200
        many = {"instances": [{"text": "a"}] * 3}
        assert code(ask(made, "POST", PREDICT, many, headers=made.ada)) == (429, "quota_spent")
        assert code(ask(made, "POST", PREDICT, {"text": "a"}, headers=made.ada)) == (429, "rate_limited")
        account = accounts.find(made.services.database, "ada")
        accounts.set_limits(made.services.database, account.id, requests_per_minute=0, rows_per_day=0)
        made.services.authenticate.forget()
        answer = ask(made, "POST", PREDICT, many, headers=made.ada)
        assert (answer.status, "ratelimit" in answer.headers) == (200, False)
    finally:
        made.close()


def test_what_was_used_of_a_day_outlives_the_server(tmp_path, make_server, text_package):
    """A restart renews no quota."""
    made = make_server(tmp_path / "data")
    made.ada = made.register("ada")
    made.publish(made.ada, "words", text_package)
    key, _ = make_key(made, rows_per_day=4)
    assert ask(made, "POST", PREDICT, {"instances": [{"text": "a"}] * 3}, headers=key).status == 200
    made.services.limits.stored.exchange()
    made.close()
    again = make_server(tmp_path / "data")
    try:
        two = {"instances": [{"text": "a"}] * 2}
        assert code(ask(again, "POST", PREDICT, two, headers=key)) == (429, "quota_spent")
        assert ask(again, "POST", PREDICT, {"text": "a"}, headers=key).status == 200
    finally:
        again.close()
