"""Splits and shadows over HTTP: callers stay with their version, shadows disturb nobody, counts come out."""

from __future__ import annotations

import json
import shutil
import threading
import time

import pytest

from reference_server.errors import Unprocessable
from reference_server.registry import comparisons
from reference_server.runtime.sessions import OnnxRunner

PREDICT = "/v1/models/words/predict"
TRAFFIC = "/v1/models/words/traffic"
WAYS = ["through_front", "through_flask"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory, make_server, text_package, token_package):
    """A data folder with the account `ada`, whose public model `words` has two versions, and her header."""
    folder = tmp_path_factory.mktemp("stored") / "data"
    made = make_server(folder)
    ada = made.register("ada")
    for package in (text_package, token_package):
        assert made.publish(ada, "words", package, query="visibility=public").status == 201
    made.close()
    return folder, ada


@pytest.fixture
def make(tmp_path, make_server, stored):
    """Return a maker of servers over one copy of the data."""
    made = []
    shutil.copytree(stored[0], tmp_path / "data")

    def start(**settings):
        made.append(make_server(tmp_path / "data", calls_per_second=100_000, **settings))
        made[-1].ada = stored[1]
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def server(make):
    return make()


def ask(server, method, path, value=None, *, query="", **headers):
    body = b"" if value is None else json.dumps(value).encode()
    sent = {**server.ada, "content-type": "application/json", **headers}
    return server.through_flask(method, path, headers=sent, body=body, query=query)


def put(server, splits, shadows=(), **more):
    chosen = [{"version": version, "weight": weight} for version, weight in splits.items()]
    # The two versions take the same instances, and their tensors are not the same.
    body = {"splits": chosen, "shadows": list(shadows), "force": True, **more}
    answer = ask(server, "PUT", TRAFFIC, body)
    assert answer.status == 200, answer.body
    return answer


def call(server, sticky=None, *, way="through_front", path=PREDICT, text="good"):
    headers = {**server.ada, "content-type": "application/json"}
    if sticky is not None:
        headers["x-sticky-id"] = sticky
    return getattr(server, way)("POST", path, headers=headers, body=json.dumps({"text": text}).encode())


def compare(server, a=1, b=2, since=0):
    answer = ask(server, "GET", "/v1/models/words/comparison", query=f"a={a}&b={b}&since={since}")
    assert answer.status == 200, answer.body
    return answer.json


def compared(server, calls, **which):
    """Wait until the shadow has answered so many copies, and return the comparison."""
    until = time.monotonic() + 20
    while (found := compare(server, **which))["shadow"] is None or found["shadow"]["calls"] < calls:
        assert time.monotonic() < until, found
        time.sleep(0.01)
    return found


def test_callers_are_shared_out_and_stay(server):
    """By their sticky id, the same through both doors, while the weights grow for others."""
    put(server, {1: 70, 2: 30})
    ids = [f"user-{number}" for number in range(60)]
    first = {each: call(server, each).json["version"] for each in ids}
    assert {call(server, each, way="through_flask").json["version"] == first[each] for each in ids} == {True}
    assert 5 <= list(first.values()).count(2) <= 35
    put(server, {1: 40, 2: 60})
    later = {each: call(server, each).json["version"] for each in ids}
    assert all(later[each] == 2 for each in ids if first[each] == 2)
    assert list(later.values()).count(2) > list(first.values()).count(2)


def test_without_a_sticky_id_the_credential_decides(server):
    """One key always gets one version, and the reply tells which with its digest."""
    put(server, {1: 50, 2: 50})
    answers = [call(server, way=way).json for way in WAYS * 5]
    assert len({(answer["version"], answer["digest"]) for answer in answers}) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_named_version_is_what_is_named(server, way):
    """Numbers and aliases, `default` too, are no business of a split."""
    put(server, {2: 1})
    for selector, version in (("1", 1), ("default", 1), ("latest", 2)):
        path = f"/v1/models/words/versions/{selector}/predict"
        assert call(server, way=way, path=path).json["version"] == version
    for path in (PREDICT, "/v1/models/ada~words/predict"):
        assert call(server, way=way, path=path).json["version"] == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sticky", ["x" * 201, "\x80\x80"])
def test_a_sticky_id_that_cannot_be_one_is_refused(server, way, sticky):
    """Also where no split is in force, so that nothing breaks when one begins."""
    answer = call(server, sticky, way=way)
    assert answer.status == 400
    assert answer.json["error"]["param"] == "X-Sticky-Id"


def test_the_revision_is_the_etag(server):
    """Read, decide, change; whoever was slower gets 412 and changes nothing."""
    assert ask(server, "GET", TRAFFIC).headers["etag"] == '"0"'
    splits = [{"version": 1, "weight": 9}, {"version": 2, "weight": 1}]
    update = {"splits": splits, "note": "try", "force": True}
    made = ask(server, "PUT", TRAFFIC, update, **{"if-match": '"0"'})
    assert (made.status, made.headers["etag"]) == (200, '"1"')
    other = {"splits": [{"version": 2, "weight": 1}], "force": True}
    assert ask(server, "PUT", TRAFFIC, other, **{"if-match": '"0"'}).status == 412
    assert ask(server, "DELETE", TRAFFIC, **{"if-match": '"0"'}).status == 412
    assert ask(server, "PUT", TRAFFIC, other, **{"if-match": "one"}).status == 400
    assert ask(server, "GET", TRAFFIC).json == made.json
    left = ask(server, "DELETE", TRAFFIC, query="note=enough", **{"if-match": '"1"'})
    assert (left.status, left.json["splits"], left.json["note"]) == (200, [], "enough")
    assert call(server).json["version"] == 1


def test_a_promotion_is_what_callers_get_next(server):
    """Until then `default` stays where it is, and is told to."""
    put(server, {1: 50, 2: 50})
    refused = ask(server, "PUT", "/v1/models/words/aliases/default", {"version": 2})
    assert (refused.status, refused.json["error"]["code"]) == (409, "traffic_split_in_force")
    assert put(server, {2: 1}, promote=True).json["kind"] == "promoted"
    assert call(server).json["version"] == 2
    assert ask(server, "GET", "/v1/models/words/aliases/default").json["version"] == 2
    assert ask(server, "GET", "/v1/models/words/served").json["kind"] == "promoted"


def test_a_publish_that_wants_default_is_refused_before_it_is_made(server, package_writer, text_graph):
    """Under a split nothing is published, whether the model is in use or not."""
    put(server, {1: 50, 2: 50})
    package = package_writer(text_graph(), labels=["down", "up"])
    for used in (False, True):
        if used:
            call(server)
        answer = server.publish(server.ada, "words", package, query="set_default=true")
        assert (answer.status, answer.json["error"]["code"]) == (409, "traffic_split_in_force")
    assert ask(server, "GET", "/v1/models/words").json["latest_version"] == 2


def test_a_version_that_cannot_be_loaded_takes_no_traffic(server, monkeypatch):
    """Neither as part of a split nor as a shadow; what was in force stays so."""

    class Broken(OnnxRunner):
        def __init__(self, graph, **options):
            super().__init__(graph, **options)
            if any(spec.name == "input_ids" for spec in self.tensors.inputs):
                raise MemoryError("no room on this machine")

    monkeypatch.setattr("reference_server.runtime.sessions.OnnxRunner", Broken)
    for update in (
        {"splits": [{"version": 1, "weight": 9}, {"version": 2, "weight": 1}], "force": True},
        {"shadows": [2]},
    ):
        answer = ask(server, "PUT", TRAFFIC, update)
        assert (answer.status, answer.json["error"]["code"]) == (503, "model_unavailable")
    assert ask(server, "GET", TRAFFIC).json["revision"] == 0
    assert call(server).json["version"] == 1


def test_versions_that_do_not_fit_together_are_refused(make):
    """Two of more than a megabyte each in a budget of two; nobody is left to wait for reloads."""
    server = make(memory_budget_bytes=2**21)
    answer = ask(server, "PUT", TRAFFIC, {"splits": [{"version": 1, "weight": 1}], "shadows": [2]})
    assert (answer.status, answer.json["error"]["code"]) == (503, "memory_budget_exceeded")


def test_others_may_look_and_not_touch(server):
    """The traffic of a public model is no secret; changing and comparing are its owner's."""
    put(server, {1: 50, 2: 50})
    bob = server.register("bob")
    assert server.through_flask("GET", TRAFFIC, headers=bob).json["revision"] == 1
    body = json.dumps({"shadows": [2]}).encode()
    sent = {**bob, "content-type": "application/json"}
    assert server.through_flask("PUT", TRAFFIC, headers=sent, body=body).status == 403
    assert server.through_flask("DELETE", TRAFFIC, headers=bob).status == 403
    path = "/v1/models/words/comparison"
    assert server.through_flask("GET", path, headers=bob, query="a=1&b=2").status == 403
    assert server.through_flask("GET", "/v1/models/none/traffic", headers=bob).status == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [("a=1&b=1", 422), ("a=1&b=9", 404), ("a=1", 400), ("a=0&b=1", 400), ("a=1&b=2&since=-1", 400)],
)
def test_a_comparison_that_cannot_be_made_is_refused(server, query, status):
    """Two versions that exist."""
    answer = ask(server, "GET", "/v1/models/words/comparison", query=query)
    assert answer.status == status, answer.body


def test_a_comparison_of_nothing_says_so(server):
    """Zeros, no figures, and a word on each."""
    found = compare(server)
    assert found["shadow"] is None
    assert (found["served_a"]["calls"], found["served_a"]["error_rate"]) == (0, None)
    assert len(found["caveats"]) == 3


@pytest.mark.parametrize("way", WAYS)
def test_a_shadow_answers_copies(server, way):
    """The two tell the same labels here; nothing of it reaches the callers."""
    put(server, {}, shadows=[2])
    for number in range(20):
        answer = call(server, f"user-{number}", way=way, text="good" if number % 2 else "bad")
        assert answer.json["version"] == 1
    found = compared(server, 5)
    shadow = found["shadow"]
    assert shadow["measure"] == "label"
    assert shadow["agreement"]["value"] == 1
    assert shadow["agreement"]["low"] < 1 == shadow["agreement"]["high"]
    assert shadow["error_rate_b"]["value"] == 0
    assert (
        shadow["latency_ratio"]["low"] <= shadow["latency_ratio"]["value"] <= shadow["latency_ratio"]["high"]
    )
    assert found["served_a"]["calls"] == 20
    assert found["served_b"]["calls"] == 0


def test_tensors_are_compared_too(server):
    """Under `/v2`: graphs of other inputs cannot answer the same call, and that is the shadow's failure."""
    put(server, {}, shadows=[2])
    body = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]}
    for _ in range(5):
        assert ask(server, "POST", "/v2/models/words/infer", body).status == 200
    shadow = compared(server, 1)["shadow"]
    assert shadow["error_rate_b"]["value"] == 1
    assert (shadow["rows"], shadow["agreement"]) == (0, None)


def test_a_shadow_that_fails_is_counted_and_nobody_notices(server, monkeypatch):
    """Its errors are its own."""
    put(server, {}, shadows=[2])
    run = OnnxRunner.run

    def failing(self, feeds, **options):
        if "input_ids" in feeds:
            raise Unprocessable("planted")
        return run(self, feeds, **options)

    monkeypatch.setattr(OnnxRunner, "run", failing)
    assert [call(server, str(number)).status for number in range(10)] == [200] * 10
    found = compared(server, 2)
    assert found["shadow"]["error_rate_b"]["value"] == 1
    assert found["shadow"]["error_rate_a"]["value"] == 0
    assert found["served_a"]["error_rate"]["value"] == 0


def test_a_slow_shadow_delays_nobody_and_copies_are_dropped(server, monkeypatch):
    """It holds its own thread alone, and the queue stays short."""
    put(server, {}, shadows=[2])
    gate, run = threading.Event(), OnnxRunner.run

    def slow(self, feeds, **options):
        if "input_ids" in feeds:
            assert gate.wait(30)
        return run(self, feeds, **options)

    monkeypatch.setattr(OnnxRunner, "run", slow)
    try:
        took = []
        for number in range(100):
            began = time.perf_counter()
            assert call(server, str(number)).status == 200
            took.append(time.perf_counter() - began)
        assert sorted(took)[98] < 0.5
        found = compare(server)
        assert found["shadow"]["calls"] == 0
        assert found["shadow"]["dropped"] >= 100 - 33
    finally:
        gate.set()


def test_a_shadow_that_serves_a_caller_gets_no_copy_of_that_call(server):
    """In a split it may be both; only the others' calls are compared."""
    put(server, {1: 50, 2: 50}, shadows=[2])
    versions = [call(server, f"user-{number}").json["version"] for number in range(40)]
    found = compared(server, 1)
    assert found["shadow"]["calls"] + found["shadow"]["dropped"] <= versions.count(1)
    assert found["served_b"]["calls"] == versions.count(2)
    assert found["served_a"]["calls"] == versions.count(1)
    assert found["latency_ratio"]["low"] < found["latency_ratio"]["high"]


def test_what_fails_for_callers_is_counted_by_version(server, monkeypatch):
    """A version that cannot answer shows in its error rate, with its interval."""
    put(server, {2: 1})

    def failing(self, feeds, **options):
        raise Unprocessable("planted")

    monkeypatch.setattr(OnnxRunner, "run", failing)
    for number in range(10):
        assert call(server, str(number)).status == 422
    found = compare(server)
    rate = found["served_b"]["error_rate"]
    assert (rate["value"], rate["count"]) == (1, 10)
    assert 0.6 < rate["low"] < 1 == rate["high"]


def test_a_new_revision_can_be_looked_at_alone(server):
    """What an earlier experiment saw does not blur the present one."""
    put(server, {2: 1})
    call(server, "one")
    revision = put(server, {1: 1, 2: 1}).json["revision"]
    for number in range(6):
        call(server, str(number))
    calls = [compare(server, since=since) for since in (0, revision)]
    assert [found["served_a"]["calls"] + found["served_b"]["calls"] for found in calls] == [7, 6]


def test_workers_add_up(server, make):
    """Each adds what it saw; whichever is asked tells of all that was stored."""
    put(server, {2: 1}, shadows=[1])
    other = make(workers=2)
    for each in (server, other):
        for number in range(5):
            assert call(each, str(number)).json["version"] == 2
    comparisons.flush(other.services.database, other.services.traffic.sums)
    assert compare(server)["served_b"]["calls"] == 10


def test_sums_that_cannot_be_stored_are_not_lost(server, monkeypatch):
    """They go with the next ones, when the store is back."""
    put(server, {2: 1})
    call(server, "one")
    database = server.services.database
    write = database.write

    def away():
        raise comparisons.SQLAlchemyError("away")

    monkeypatch.setattr(database, "write", away)
    with pytest.raises(comparisons.SQLAlchemyError):
        comparisons.flush(database, server.services.traffic.sums)
    monkeypatch.setattr(database, "write", write)
    call(server, "two")
    assert compare(server)["served_b"]["calls"] == 2


def test_another_worker_follows_a_split_within_a_second(server, make):
    """And then gives each caller the version that the first worker gives them."""
    other = make(workers=2)
    assert call(other, "user-1").json["version"] == 1
    put(server, {1: 50, 2: 50})
    ids = [f"user-{number}" for number in range(20)]
    wanted = [call(server, each).json["version"] for each in ids]
    until = time.monotonic() + 10
    while [call(other, each).json["version"] for each in ids] != wanted:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_shadows_and_split_versions_count_as_used(server):
    """A lull in a version's share does not make it the first to give way to other models."""
    put(server, {1: 99, 2: 1})
    call(server, "one")
    pool, services = server.services.pool, server.services
    order = list(pool._loaded)
    services.traffic.keep(services.targets.routes())
    assert set(list(pool._loaded)[-2:]) == set(order[-2:])
    route = services.targets.routes()[0]
    pool.find(route.targets[0].digest)
    services.traffic.keep([route])
    assert list(pool._loaded)[-1] == route.targets[-1].digest


@pytest.mark.parametrize(
    ("at", "status", "code"),
    [
        ("2000-01-01T00:00:00Z", 404, "not_served_yet"),
        ("2999-01-01T00:00:00Z", 422, "future_time"),
        ("2026-01-01T00:00:00", 400, "invalid_field"),
        ("yesterday", 400, "invalid_field"),
    ],
)
def test_times_that_cannot_be_told_of(server, at, status, code):
    """Before the first version, in the future, without a zone, or no time at all."""
    answer = ask(server, "GET", "/v1/models/words/served", query=f"at={at}")
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
