from datetime import timedelta

import pytest
from pydantic import ValidationError

from maas_client.types import ModelQuery, PageQuery, VersionUpdate
from reference_server.errors import Conflict, Gone, NotFound, Unprocessable
from reference_server.registry import aliases, deletion, models, states, versions


@pytest.fixture
def words(registry, ada, package):
    """Return a registry whose model `words` has 3 versions of ada's; `default` is 1, `best` is 2."""
    for content in "123":
        registry.publish(ada, "words", package(content))
    aliases.move(registry.db, ada, "words", "best", version=2, note="", expected_revision=None)
    registry.clock.advance(60)
    registry.ada = ada
    return registry


def update(registry, version, **change):
    return states.update(registry.db, registry.ada, "words", str(version), VersionUpdate(**change))


def target(registry, selector):
    return versions.serving_target(registry.db, registry.ada, "words", selector)


def test_a_deprecated_version_still_runs_and_tells(words):
    """What the owner says about it is in the version and in what is served."""
    later = words.clock.now + timedelta(days=30)
    told = {"reason": "Old words.", "replacement": "3", "sunset": later, "documentation": "https://a.test/x"}
    version = update(words, 1, state="deprecated", **told)
    assert version.state == "deprecated"
    assert version.state_since == words.clock.now
    assert {name: getattr(version, name) for name in told} == told
    served = target(words, None)
    assert served.deprecation == versions.Deprecation(words.clock.now, later, "3", "https://a.test/x")
    assert versions.get(words.db, words.ada, "words", "default") == version


def test_what_is_left_out_stays_and_a_null_takes_it_away(words):
    """A later change adds to the notice; restoring clears it."""
    since = update(words, 1, state="deprecated", reason="Old.", replacement="3").state_since
    words.clock.advance(60)
    changed = update(words, 1, documentation="https://a.test/x", replacement=None)
    assert (changed.reason, changed.replacement, changed.documentation) == ("Old.", None, "https://a.test/x")
    assert changed.state_since == since
    restored = update(words, 1, state="active")
    assert (restored.state, restored.reason, restored.documentation) == ("active", "", None)
    assert target(words, "1").deprecation is None


def test_a_retired_version_does_not_run(words):
    """Serving it fails and names the replacement; reading it does not fail."""
    update(words, 3, state="retired", reason="Wrong.", replacement="2")
    with pytest.raises(Gone) as caught:
        target(words, "3")
    assert (caught.value.code, caught.value.replacement) == ("version_retired", "2")
    assert "use version 2" in caught.value.message
    assert versions.get(words.db, words.ada, "words", "3").reason == "Wrong."
    update(words, 3, state="active")
    assert target(words, "3").version == 3


def test_latest_is_never_retired(words):
    """Everywhere that tells or follows it: the newest that runs, or none."""
    update(words, 3, state="retired")
    assert target(words, "latest").version == 2
    assert aliases.get(words.db, words.ada, "words", "latest").version == 2
    assert models.get(words.db, words.ada, "words").latest_version == 2
    assert models.list_models(words.db, words.ada, ModelQuery()).data[0].latest_version == 2
    listed = versions.list_versions(words.db, words.ada, "words", PageQuery()).data
    assert [version.aliases for version in listed] == [[], ["best", "latest"], ["default"]]


def test_the_index_tells_what_is_retired(words):
    """It is listed, and whoever lists it can see that it does not run."""
    update(words, 3, state="retired")
    found = versions.index(words.db, words.ada, "words")
    assert [(each.version, each.retired) for each in found] == [(3, True), (2, False), (1, False)]


@pytest.mark.parametrize(("number", "names"), [(1, "'default'"), (2, "'best'")])
def test_what_an_alias_points_to_cannot_be_retired(words, number, names):
    """The answer names the alias; deprecating it is allowed."""
    with pytest.raises(Conflict) as caught:
        update(words, number, state="retired")
    assert caught.value.code == "version_in_use"
    assert names in caught.value.message
    assert update(words, number, state="deprecated").state == "deprecated"


def test_no_alias_can_point_to_what_is_retired(words):
    """Neither by a move nor by a rollback."""
    aliases.move(words.db, words.ada, "words", "best", version=3, note="", expected_revision=None)
    update(words, 2, state="retired")
    for act in (
        lambda: aliases.move(words.db, words.ada, "words", "x", version=2, note="", expected_revision=None),
        lambda: aliases.rollback(words.db, words.ada, "words", "best", note="", expected_revision=None),
        lambda: aliases.check_move(
            words.db, words.ada, "words", "best", version=2, note="", expected_revision=None, force=True
        ),
    ):
        with pytest.raises(Conflict) as caught:
            act()
        assert caught.value.code == "version_retired"


BAD = {
    "a notice about an active version": ({"reason": "x"}, "notice_without_state"),
    "a notice with the state active": ({"state": "active", "replacement": "2"}, "notice_without_state"),
    "a replacement that is not there": ({"state": "deprecated", "replacement": "9"}, "unknown_replacement"),
    "itself as the replacement": ({"state": "deprecated", "replacement": "1"}, "unknown_replacement"),
    "another's private model": ({"state": "deprecated", "replacement": "bob~secret"}, "unknown_replacement"),
    "its own model": ({"state": "deprecated", "replacement": "words"}, "unknown_replacement"),
    "a sunset in the past": (
        {"state": "deprecated", "sunset": "2029-01-01T00:00:00Z"},
        "sunset_too_early",
    ),
}


@pytest.mark.parametrize(("change", "code"), BAD.values(), ids=BAD)
def test_what_a_notice_cannot_say(words, bob, package, change, code):
    """It is refused, and nothing changes."""
    words.publish(bob, "secret", package())
    before = versions.get(words.db, words.ada, "words", "1")
    with pytest.raises(Unprocessable) as caught:
        update(words, 1, **change)
    assert caught.value.code == code
    assert versions.get(words.db, words.ada, "words", "1") == before


def test_callers_are_sent_to_what_still_runs(words, package):
    """A replacement that was retired since hands on to its own; one that was deleted is told no more."""
    words.publish(words.ada, "words", package("4"))
    update(words, 1, state="deprecated", replacement="3")
    update(words, 3, state="retired", replacement="4")
    assert target(words, "1").deprecation.replacement == "4"
    update(words, 4, state="retired", replacement="2")
    assert target(words, "1").deprecation.replacement == "2"
    with pytest.raises(Gone) as caught:
        target(words, "3")
    assert (caught.value.replacement, caught.value.message.rpartition("use ")[2]) == ("2", "version 2")
    deletion.delete_version(words.db, words.store, words.ada, "words", "4")
    assert target(words, "1").deprecation.replacement is None
    with pytest.raises(Gone) as caught:
        target(words, "3")
    assert (caught.value.replacement, "use" in caught.value.message) == (None, False)


def test_a_model_that_is_gone_replaces_nothing(words, bob, package):
    """Nor one that its owner keeps to themselves by now."""
    words.publish(bob, "better", package("x"), visibility="public")
    update(words, 1, state="deprecated", replacement="better")
    assert target(words, "1").deprecation.replacement == "better"
    models.update(words.db, bob, "better", visibility="private")
    assert target(words, "1").deprecation.replacement is None


def test_replacements_that_lead_in_a_circle_lead_nowhere(words):
    """Each ran when it was named."""
    update(words, 3, state="deprecated", replacement="1")
    aliases.move(words.db, words.ada, "words", "default", version=2, note="", expected_revision=None)
    update(words, 1, state="deprecated", replacement="3")
    update(words, 3, state="retired")
    update(words, 1, state="retired")
    with pytest.raises(Gone) as caught:
        target(words, "1")
    assert caught.value.replacement is None


def test_a_retired_version_replaces_nothing(words):
    """Callers are not sent from one end to another."""
    update(words, 3, state="retired")
    with pytest.raises(Unprocessable):
        update(words, 1, state="deprecated", replacement="3")


def test_another_model_can_be_the_replacement(words, bob, package):
    """One that the owner can see."""
    words.publish(bob, "better", package(), visibility="public")
    assert update(words, 1, state="deprecated", replacement="better").replacement == "better"


@pytest.mark.parametrize("selector", ["default", "best", "latest"])
def test_a_version_is_changed_by_its_number_alone(words, selector):
    """An alias may have moved between the look and the change."""
    with pytest.raises(Unprocessable) as caught:
        update(words, selector, state="deprecated")
    assert caught.value.code == "version_number_needed"
    with pytest.raises(NotFound):
        update(words, 9, state="deprecated")


@pytest.mark.parametrize(
    "change",
    [
        {"documentation": 'https://a.test/"><x'},
        {"documentation": "https://a.test/\r\nX-Evil: 1"},
        {"documentation": "javascript:alert(1)"},
        {"replacement": "../x"},
        {"replacement": "a b"},
        {"sunset": "2030-01-01T00:00:00"},
        {"state": "gone"},
        {"reason": "x" * 4001},
    ],
)
def test_what_would_break_a_header_is_no_request(change):
    """Line breaks, quotes and addresses of other schemes are refused by the contract itself."""
    with pytest.raises(ValidationError):
        VersionUpdate(**change)
