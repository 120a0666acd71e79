"""What versions, traffic, aliases, evaluations and jobs do to each other, on a real server."""

from __future__ import annotations

import json
import time
import warnings
from contextlib import suppress
from datetime import UTC, datetime

import pytest

import maas_client
from maas_client import _deprecation, errors

pytestmark = pytest.mark.long

TEXTS = ["a good day", "a bad day", "dull", "fun"]
TARGETS = ["positive", "negative", "positive", "positive"]


@pytest.fixture(scope="module")
def running(serving, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("interplay"), MAAS_SERVER_JOB_PROCESSES="1") as made:
        yield made


@pytest.fixture
def words(three_versions):
    """A handle on a model with three versions; `default` is 1, and 3 breaks its calls."""
    return three_versions("no", "yes")


def code_of(act):
    with pytest.raises(errors.StatusError) as caught:
        act()
    return caught.value.code


def versions_met(client):
    """Return the versions that some callers get, by their ids."""
    return {
        sticky: client.model("words", sticky_id=sticky).predict(text="good").version
        for sticky in map(str, range(20))
    }


def test_what_serves_is_neither_retired_nor_deleted_until_it_is_withdrawn(words):
    """The message names the traffic; afterwards it goes, and what it had served is still told."""
    words.traffic.split({1: 1, 2: 1}, shadows=[3])
    at = datetime.now(UTC)
    digests = {number: words.versions.get(number).digest for number in (1, 2)}
    for number in (2, 3):
        for act in (words.versions.delete, words.versions.retire):
            with pytest.raises(errors.ConflictError, match="traffic") as caught:
                act(number)
            assert caught.value.code == "version_in_use"
    words.traffic.withdraw()
    words.versions.delete(2)
    words.versions.retire(3)
    served = words.served(at=at)
    assert [(each.version, each.share, each.digest) for each in served.versions] == [
        (number, 0.5, digest) for number, digest in digests.items()
    ]
    assert served.shadows == [3]
    for act in (lambda: words.traffic.split({3: 1}), lambda: words.traffic.shadow(3)):
        assert code_of(act) == "version_retired"
    assert code_of(lambda: words.traffic.split({2: 1})) == "version_not_found"


def test_a_version_that_breaks_calls_serves_nobody_unless_it_is_meant(words):
    """Nor does it by a promotion; as a shadow it harms nobody."""
    assert code_of(lambda: words.traffic.split({1: 9, 3: 1})) == "breaking_signature"
    assert code_of(lambda: words.traffic.promote(3)) == "breaking_signature"
    assert words.traffic.shadow(3).shadows == [3]
    assert [each.version for each in words.traffic.split({1: 9, 3: 1}, force=True).splits] == [1, 3]
    assert code_of(lambda: words.traffic.promote(3)) == "breaking_signature"
    words.traffic.promote(3, force=True)
    assert words.predict(text="good").version == 3
    assert code_of(lambda: words.aliases.rollback("default")) == "breaking_signature"
    words.aliases.rollback("default", force=True)
    assert words.predict(text="good").version == 1


def test_aliases_and_splits_do_not_undo_each_other(owner, words):
    """`default` stays while others serve for it, other aliases move, and a promotion can be rolled back."""
    words.aliases.move("default", version=2)
    words.traffic.split({1: 1, 2: 1})
    for act in (
        lambda: words.aliases.move("default", version=1),
        lambda: words.aliases.rollback("default"),
    ):
        assert code_of(act) == "traffic_split_in_force"
    assert words.aliases.move("default", version=2).version == 2
    assert words.aliases.move("stable", version=1).version == 1
    assert words.predict(text="good", version="default").version == 2
    words.traffic.promote(1)
    assert set(versions_met(owner).values()) == {1}
    assert words.aliases.rollback("default").version == 2
    kinds = [each.kind for each in words.history()]
    assert kinds[:3] == ["alias_rolled_back", "alias_moved", "promoted"]


def test_only_those_whom_a_deprecated_version_serves_are_told(owner, words, monkeypatch):
    """Of two versions that share the traffic; a pinned caller hears what `default` is, and no more."""
    words.versions.deprecate(2, replacement="1")
    words.traffic.split({1: 1, 2: 1})
    told = {}
    for sticky in map(str, range(20)):
        monkeypatch.setattr(_deprecation, "_told", set())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            version = owner.model("words", sticky_id=sticky).predict(text="good").version
        told.setdefault(version, set()).add(len(caught))
    assert told == {1: {0}, 2: {1}}


def test_an_evaluation_is_of_default_whoever_shares_its_traffic(owner, words):
    """At once and by a job; a pinned handle's is of its own version, and says what it has missed."""
    words.traffic.split({2: 1})
    assert set(versions_met(owner).values()) == {2}
    assert words.evaluate(TEXTS, TARGETS).version == 1
    assert words.evaluate_in_background(TEXTS, TARGETS).wait(30).version == 1
    words.traffic.promote(2)
    pinned = owner.model("words", pin=1)
    with pytest.warns(maas_client.VersionWarning, match="version 2 is the default"):
        assert pinned.evaluate(TEXTS, TARGETS).version == 1
    assert words.evaluate(TEXTS, TARGETS).version == 2


def test_an_evaluation_tells_of_an_end_and_ends_with_its_version(owner, words, monkeypatch):
    """Deprecated it warns, retired it is refused, and a model that is deleted leaves no job behind."""
    monkeypatch.setattr(_deprecation, "_told", set())
    words.versions.deprecate(2, replacement="1")
    with pytest.warns(maas_client.ModelDeprecationWarning, match="version '2' of the model 'words'"):
        words.evaluate(TEXTS, TARGETS, version=2)
    words.versions.retire(2)
    assert code_of(lambda: words.evaluate(TEXTS, TARGETS, version=2)) == "version_retired"
    jobs = [words.evaluate_in_background(TEXTS * many, TARGETS * many) for many in (5000, 1)]
    words.delete()
    ends = [end_of(owner, each) for each in jobs]
    # What ran already has the version in memory, and may come to its end.
    assert set(ends) <= {("failed", "model_not_found"), ("succeeded", None)}
    assert ends[-1] == ("failed", "model_not_found")


def end_of(owner, job):
    with suppress(errors.JobError):
        job.wait(60)
    found = owner.jobs.get(job.id)
    return found.state, None if found.reply.error is None else found.reply.error.code


def test_what_was_measured_follows_default_into_the_catalogue(owner, words):
    """Attached to a version that waits for its turn, it counts from the promotion on."""
    found = words.evaluate(TEXTS, TARGETS, version=2)
    words.versions.update(2, metrics=found.as_metrics("four sentences"))
    name = words.get().id
    assert name not in {each.id for each in owner.models.list(min_accuracy=0.7)}
    words.traffic.promote(2)
    (listed,) = [each for each in owner.models.list(min_accuracy=0.7) if each.id == name]
    assert [each.value for each in listed.metrics if each.name == "accuracy"] == [found["accuracy"]]
    (change,) = [each for each in words.versions.diff(1, 2, graph=False).metrics if each.name == "accuracy"]
    assert (change.before, change.after) == (None, found["accuracy"])
    words.aliases.rollback("default")
    assert name not in {each.id for each in owner.models.list(min_accuracy=0.7)}


def test_a_follower_hears_of_traffic_in_its_order(words):
    """With who did it and what it was, beside versions and aliases."""
    before = next(iter(words.history())).seq
    words.traffic.split({1: 3, 2: 1}, note="try")
    words.traffic.promote(2)
    words.traffic.shadow(1)
    words.traffic.withdraw(note="enough")
    seen = list(words.versions.watch(after=before, interval=0.05, timeout=0.2))
    assert [each.kind for each in seen] == [
        "traffic_changed",
        "promoted",
        "alias_moved",
        "traffic_changed",
        "withdrawn",
    ]
    assert seen[0].details["splits"] == [{"version": 1, "weight": 3.0}, {"version": 2, "weight": 1.0}]
    assert [each.seq for each in seen] == list(range(before + 1, before + 6))


def test_an_export_holds_all_of_it(owner, words):
    """Traffic, events, jobs with their results, and versions in whatever state."""
    words.traffic.split({1: 1, 2: 1}, note="try")
    words.versions.deprecate(3, reason="old")
    job = words.evaluate_in_background(TEXTS, TARGETS)
    job.wait(30)
    held = owner.account.export()
    assert [each.note for each in held.traffic_changes["words"]] == ["try"]
    assert [each.kind for each in held.events["words"]][:2] == ["deprecated", "traffic_changed"]
    assert [(each.id, each.result["rows"]) for each in held.jobs] == [(job.id, 4)]
    assert {each.version: each.state for each in held.versions} == {3: "deprecated", 2: "active", 1: "active"}


def test_a_recommendation_keeps_to_one_version_of_each_model(owner, words, another):
    """Though versions share the traffic; none of its calls is anybody else's."""
    owner.models.publish(another(), name="other")
    words.traffic.split({1: 1, 2: 1})
    found = owner.models.recommend(
        [{"text": text} for text in TEXTS * 8], TARGETS * 8, candidates=["words", "other"], progress=False
    )
    assert {each.model for each in found.candidates} == {"words", "other"}
    assert [each.problem for each in found.candidates] == [None, None]
    (mine,) = [each for each in found.candidates if each.model == "words"]
    assert mine.version in {1, 2}


def test_evaluations_are_usage_and_no_measure_of_speed(running, owner, words):
    """The call's and the job's, in the account's list and on the card; the figures stay those of calls."""
    for _ in range(5):
        words.predict(text="good")
    for _ in range(6):
        words.evaluate(TEXTS, TARGETS)
    words.evaluate_in_background(TEXTS, TARGETS).wait(30)
    until = time.monotonic() + 20
    while sum(each.calls for each in owner.usage()) < 12:
        assert time.monotonic() < until, list(owner.usage())
        time.sleep(0.1)
    used = list(owner.usage())
    assert [(each.version, each.calls, each.rows) for each in used] == [(1, 12, 5 + 7 * len(TEXTS))]
    version = words.versions.get(1)
    assert sum(each.calls for each in version.performance) == 5
    assert version.usage.calls == owner.models.get("words").usage.calls == 12
    key = owner.keys.create("usage", scopes=["audit"]).secret.get_secret_value()
    (shown,) = json.loads(running.run("maas", "usage", "--json", MAAS_API_KEY=key).stdout)
    assert (shown["calls"], shown["model"]) == (12, used[0].model)


def test_what_is_default_may_be_published_again_while_others_serve_for_it(owner, words, another):
    """Nothing would move; what would move it is refused before it is there."""
    made = another()
    newest = owner.models.publish(made, name="words", set_default=True)
    words.traffic.split({1: 50, newest.version: 50})
    assert owner.models.publish(made, name="words", set_default=True) == newest
    refused = code_of(lambda: owner.models.publish(another(), name="words", set_default=True))
    assert refused == "traffic_split_in_force"
    assert words.get().latest_version == newest.version
