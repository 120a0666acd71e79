"""Splits and shadows in the record: who may change them, and what moving `default` means then."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from maas_client.types import PageQuery, TrafficUpdate
from reference_server.errors import Conflict, Forbidden, NotFound, PreconditionFailed, Unprocessable
from reference_server.registry import aliases, export, in_force, traffic, versions
from reference_server.registry.tables import ModelEventRow, ModelRow


@pytest.fixture
def words(registry, ada, package):
    """Ada's public model `words` with three versions, `default` being the first; returns its registry."""
    for content in "123":
        registry.publish(ada, "words", package(content), visibility="public")
    return registry


def change(registry, caller, splits=None, *, shadows=(), note="", promote=False, expected=None):
    update = TrafficUpdate(
        splits=[{"version": version, "weight": weight} for version, weight in (splits or {}).items()],
        shadows=list(shadows),
        note=note,
        promote=promote,
    )
    return traffic.change(registry.db, caller, "words", update, expected_revision=expected)


def default(registry, caller):
    return aliases.get(registry.db, caller, "words", "default").version


def events(registry):
    with registry.db.read() as session:
        rows = session.scalars(select(ModelEventRow).order_by(ModelEventRow.seq))
        return [(row.kind, row.version) for row in rows]


def test_before_any_change_default_serves_alone(words, ada):
    """Revision 0, no splits, no shadows, no author."""
    found = traffic.get(words.db, ada, "words")
    assert (found.revision, found.splits, found.shadows, found.changed_by) == (0, [], [], None)
    assert in_force.unversioned_target(words.db, ada, "words").route is None


def test_a_split_is_remembered_with_its_author_and_reason(words, ada, bob):
    """Everybody who sees the model sees it; shares are fractions of the sum of the weights."""
    made = change(words, ada, {1: 3, 2: 1}, shadows=[3], note="try it")
    assert made == traffic.get(words.db, bob, "words")
    assert [(each.version, each.weight, each.share) for each in made.splits] == [(1, 3, 0.75), (2, 1, 0.25)]
    assert (made.shadows, made.revision, made.note, made.changed_by) == ([3], 1, "try it", "ada")
    assert made.changed_at == words.clock.now


def test_a_split_serves_and_an_explicit_version_does_not_change(words, ada):
    """The route holds for unversioned calls alone; `default` by name means the alias."""
    change(words, ada, {2: 1}, shadows=[3])
    target = in_force.unversioned_target(words.db, ada, "words")
    assert target.route.pick(target, "anybody").version == 2
    assert [shadow.version for shadow in target.route.shadows] == [3]
    assert versions.serving_target(words.db, ada, "words", "default").route is None


def test_only_the_owner_changes_it(words, bob):
    """Others are told so, as the model is public; a private one is not there for them."""
    with pytest.raises(Forbidden):
        change(words, bob, {1: 1, 2: 1})
    with pytest.raises(Forbidden):
        traffic.withdraw(words.db, bob, "words", note="", expected_revision=None)


def test_versions_must_exist(words, ada):
    """In splits and in shadows."""
    with pytest.raises(NotFound, match="9"):
        change(words, ada, {1: 1, 9: 1})
    with pytest.raises(NotFound, match="9"):
        change(words, ada, {1: 1}, shadows=[9])
    assert traffic.get(words.db, ada, "words").revision == 0


def test_a_weight_that_reaches_nobody_is_refused(words, ada):
    """A share below a millionth would be a version that looks served and is not."""
    with pytest.raises(Unprocessable, match="version 2") as caught:
        change(words, ada, {1: 1_000_000, 2: 0.5})
    assert caught.value.param == "splits[1].weight"


def test_a_lost_compare_and_swap_changes_nothing(words, ada):
    """Of two who decide on the same revision one wins; a repeat of the winner's call is no change."""
    change(words, ada, {1: 90, 2: 10}, note="first", expected=0)
    with pytest.raises(PreconditionFailed, match="revision 1, not 0"):
        change(words, ada, {1: 50, 2: 50}, note="second", expected=0)
    assert change(words, ada, {1: 90, 2: 10}, note="first", expected=0).revision == 1
    assert change(words, ada, {1: 50, 2: 50}, note="second", expected=1).revision == 2
    with pytest.raises(PreconditionFailed):
        traffic.withdraw(words.db, ada, "words", note="", expected_revision=1)


def test_default_does_not_move_under_a_split(words, ada, package):
    """By a move, a rollback or a publish: refused with what to do; other aliases and shadows are free."""
    aliases.move(words.db, ada, "words", "default", version=2, note="", expected_revision=None)
    change(words, ada, {1: 1, 2: 1})
    for act in (
        lambda: aliases.move(words.db, ada, "words", "default", version=3, note="", expected_revision=None),
        lambda: aliases.rollback(words.db, ada, "words", "default", note="", expected_revision=None),
        lambda: words.publish(ada, "words", package("4"), set_default=True),
    ):
        with pytest.raises(Conflict, match="PUT …/traffic") as caught:
            act()
        assert caught.value.code == "traffic_split_in_force"
    assert len(versions.list_versions(words.db, ada, "words", PageQuery()).data) == 3
    aliases.move(words.db, ada, "words", "stable", version=3, note="", expected_revision=None)
    change(words, ada, shadows=[3])
    aliases.move(words.db, ada, "words", "default", version=3, note="", expected_revision=None)
    assert default(words, ada) == 3


def test_a_promotion_moves_default_and_ends_the_split(words, ada):
    """In one transaction and at one time; both histories tell it."""
    change(words, ada, {1: 50, 2: 50})
    words.clock.advance(60)
    made = change(words, ada, {2: 1}, promote=True, note="better")
    assert (made.splits, made.shadows, made.kind, made.revision) == ([], [], "promoted", 2)
    moved = aliases.get(words.db, ada, "words", "default")
    assert (moved.version, moved.note, moved.moved_at) == (2, "better", made.changed_at)
    assert change(words, ada, {2: 1}, promote=True, note="better").revision == 2
    assert events(words)[-3:] == [("traffic_changed", None), ("promoted", 2), ("alias_moved", 2)]


def test_a_promotion_of_what_is_default_ends_the_split_alone(words, ada):
    """The alias stays where it is, at its revision."""
    before = aliases.get(words.db, ada, "words", "default")
    change(words, ada, {1: 50, 2: 50})
    change(words, ada, {1: 1}, promote=True)
    assert aliases.get(words.db, ada, "words", "default") == before
    assert traffic.get(words.db, ada, "words").splits == []


def test_a_withdrawal_gives_everything_to_default(words, ada):
    """Once: where nothing is in force there is nothing to remember."""
    change(words, ada, {1: 50, 2: 50}, shadows=[3])
    left = traffic.withdraw(words.db, ada, "words", note="no", expected_revision=1)
    assert (left.splits, left.shadows, left.kind, left.note, left.revision) == ([], [], "withdrawn", "no", 2)
    assert traffic.withdraw(words.db, ada, "words", note="again", expected_revision=None).revision == 2
    assert in_force.unversioned_target(words.db, ada, "words").route is None
    assert events(words)[-2:] == [("traffic_changed", None), ("withdrawn", None)]


@pytest.mark.parametrize(
    ("update", "cause"),
    [
        ({}, "both empty"),
        ({"splits": [{"version": 1, "weight": 1}] * 2}, "splits names a version twice"),
        ({"shadows": [2, 2]}, "shadows names a version twice"),
        ({"splits": [{"version": 1, "weight": 0}]}, "greater than 0"),
        ({"splits": [{"version": 1, "weight": float("inf")}]}, "finite|less than"),
        ({"splits": [{"version": n, "weight": 1} for n in range(1, 12)]}, "at most 10"),
        ({"splits": [{"version": n, "weight": 1} for n in (1, 2)], "promote": True}, "one version"),
        ({"splits": [{"version": 1, "weight": 1}], "shadows": [2], "promote": True}, "no shadows"),
        ({"shadows": [1], "promote": True}, "one version"),
    ],
)
def test_what_cannot_be_meant_is_refused(update, cause):
    """By the contract itself, on both sides of the wire."""
    with pytest.raises(ValueError, match=cause):
        TrafficUpdate.model_validate(update)


def test_what_is_in_the_traffic_can_be_named(words, ada):
    """For whoever would delete a version: what it does there."""
    change(words, ada, {1: 3, 2: 1}, shadows=[2, 3])
    with words.db.read() as session:
        model_id = session.scalar(select(ModelRow.id))
        assert traffic.versions_in_traffic(session, model_id) == {
            1: "has 0.75 of the traffic",
            2: "has 0.25 of the traffic",
            3: "is a shadow",
        }
    traffic.withdraw(words.db, ada, "words", note="", expected_revision=None)
    with words.db.read() as session:
        assert traffic.versions_in_traffic(session, model_id) == {}


def test_the_export_has_every_change(words, ada):
    """Newest first, by model."""
    change(words, ada, {1: 1, 2: 1}, note="a")
    traffic.withdraw(words.db, ada, "words", note="b", expected_revision=None)
    found = export.export(words.db, ada.account_id).traffic_changes["words"]
    assert [(each.revision, each.note) for each in found] == [(2, "b"), (1, "a")]
