"""Which versions served when: told from the record as whoever had watched would have told it."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from maas_client.types import TrafficUpdate
from reference_server.errors import Conflict, NotFound, Unprocessable
from reference_server.registry import aliases, deletion, models, served, traffic

KINDS = ("move", "share", "shadow", "reshadow", "promote", "withdraw")


class History:
    """Changes that somebody makes one after the other, and the log that a watcher keeps of them."""

    def __init__(self, registry, caller):
        self.registry, self.caller = registry, caller
        self.default, self.split, self.shadows = 1, {}, []
        self.log = [(registry.clock.now, "alias_moved", 1, "")]

    def act(self, kind, value, note):
        try:
            getattr(self, kind)(value, note)
        except Conflict:
            assert kind == "move"
            assert self.split

    def move(self, version, note):
        aliases.move(
            self.registry.db,
            self.caller,
            "words",
            "default",
            version=version,
            note=note,
            expected_revision=None,
        )
        self.log.append((self.registry.clock.now, "alias_moved", version, note))
        self.default = version

    def share(self, version, note):
        self.change(note, {version: 3, version % 3 + 1: 1})

    def shadow(self, version, note):
        self.change(note, shadows=[version])

    def reshadow(self, version, note):
        self.change(note, self.split, shadows=[version])

    def promote(self, version, note):
        self.change(note, {version: 1}, promote=True)
        if version != self.default:
            self.log.append((self.registry.clock.now, "alias_moved", version, note))
        self.log.append((self.registry.clock.now, "promoted", ({}, []), note))
        self.default, self.split, self.shadows = version, {}, []

    def withdraw(self, _, note):
        traffic.withdraw(self.registry.db, self.caller, "words", note=note, expected_revision=None)
        if self.split or self.shadows:
            self.log.append((self.registry.clock.now, "withdrawn", ({}, []), note))
        self.split, self.shadows = {}, []

    def change(self, note, splits=None, shadows=(), *, promote=False):
        splits, shadows = splits or {}, list(shadows)
        chosen = [{"version": version, "weight": weight} for version, weight in splits.items()]
        update = TrafficUpdate(splits=chosen, shadows=shadows, note=note, promote=promote)
        traffic.change(self.registry.db, self.caller, "words", update, expected_revision=None)
        if not promote:
            self.log.append((self.registry.clock.now, "traffic_changed", (splits, shadows), note))
            self.split, self.shadows = splits, shadows

    def told(self, moment):
        """Replay the log up to a moment: shares, shadows, and the change that made the shares so."""
        default, split, shadows = 0, {}, []
        moved = shared = None
        for time, kind, value, note in self.log:
            if time > moment:
                break
            if kind == "alias_moved":
                default, moved = value, (time, kind, note)
            else:
                if value[0] != split:
                    shared = (time, kind, note)
                split, shadows = value
        total = sum(split.values())
        shares = {version: weight / total for version, weight in split.items()} or {default: 1.0}
        return shares, shadows, shared if shared and shared[0] >= moved[0] else moved


@pytest.mark.parametrize("seed", range(12))
def test_the_record_tells_what_a_watcher_saw(registry, ada, package, seed):
    """For any history of moves, splits, shadows, promotions and withdrawals, at each time between them."""
    for content in "123":
        registry.publish(ada, "words", package(content))
    history, dice = History(registry, ada), random.Random(seed)  # noqa: S311 - no secret
    for number in range(12):
        registry.clock.advance(dice.choice([0, 1, 60]))
        history.act(dice.choice(KINDS), dice.randint(1, 3), f"change {number}")
    registry.clock.advance(1)
    times = sorted({time for time, *_ in history.log})
    for moment in (*times, *(time - timedelta(microseconds=1) for time in times[1:]), registry.clock.now):
        found = served.at(registry.db, ada, "words", moment)
        shares, shadows, cause = history.told(moment)
        assert {each.version: each.share for each in found.versions} == pytest.approx(shares)
        assert (found.shadows, found.by) == (shadows, "ada")
        assert (found.since, found.kind, found.note) == cause


def test_before_the_first_version_nothing_served(registry, ada, package):
    """A 404 of its own, also for a model that only has a name."""
    models.create(registry.db, ada, name="words", visibility="private")
    for moment in (None, registry.clock.now):
        with pytest.raises(NotFound) as caught:
            served.at(registry.db, ada, "words", moment)
        assert caught.value.code == "not_served_yet"
    early = registry.clock.now
    registry.clock.advance(10)
    registry.publish(ada, "words", package("1"))
    with pytest.raises(NotFound, match="had none yet"):
        served.at(registry.db, ada, "words", early)
    found = served.at(registry.db, ada, "words", None)
    assert (found.versions[0].version, found.versions[0].digest[:7]) == (1, "sha256:")
    assert found.since == registry.clock.now


def test_the_future_is_not_known(registry, ada, package):
    """It is said what time the server has."""
    registry.publish(ada, "words", package("1"))
    with pytest.raises(Unprocessable, match="has not come yet") as caught:
        served.at(registry.db, ada, "words", registry.clock.now + timedelta(seconds=1))
    assert caught.value.code == "future_time"


def test_what_others_keep_to_themselves_is_not_there(registry, ada, bob, package):
    """As everywhere."""
    registry.publish(ada, "words", package("1"))
    with pytest.raises(NotFound) as caught:
        served.at(registry.db, bob, "ada~words", None)
    assert caught.value.code == "model_not_found"


def test_an_answer_of_a_deleted_version_can_still_be_traced(registry, ada, package):
    """Its digest is in the history."""
    first, _ = registry.publish(ada, "words", package("1"))
    then = registry.clock.now
    registry.clock.advance(10)
    second, _ = registry.publish(ada, "words", package("2"), set_default=True)
    deletion.delete_version(registry.db, registry.store, ada, "words", "1")
    assert [each.digest for each in served.at(registry.db, ada, "words", then).versions] == [first.digest]
    assert [each.digest for each in served.at(registry.db, ada, "words", None).versions] == [second.digest]
