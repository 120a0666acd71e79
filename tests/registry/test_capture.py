"""Captured calls in the store: what gets in, what goes first, and what time, erasures and changes do."""

from datetime import timedelta

import orjson
import pytest
from sqlalchemy import func, select, update

from maas_client.types import CapturedQuery, CaptureUpdate, ModelQuery
from reference_server.errors import Forbidden, InvalidRequest, NotFound, Unavailable
from reference_server.registry import (
    account_erasure,
    capture,
    capture_set,
    captured,
    data_keys,
    deletion,
    events,
    housekeeping,
    models,
    shares,
    versions,
)
from reference_server.registry.capture_set import NewCall
from reference_server.registry.export import export
from reference_server.registry.splits import BUCKETS
from reference_server.registry.tables import CapturedRow, CaptureRow, DataKeyRow
from reference_server.security.encryption import SealBrokenError

MOST = 100_000
ON = CaptureUpdate(enabled=True)
OFF = CaptureUpdate(enabled=False)


class Captured:
    """The public model `words` of ada's, whose calls are captured, and what tests do with it."""

    def __init__(self, registry, ada, package):
        self.registry, self.db, self.ada = registry, registry.db, ada
        registry.publish(ada, "words", package(), visibility="public")
        self.set(ON)

    def set(self, asked, caller=None):
        return capture.change(self.db, caller or self.ada, "words", asked, most_bytes=MOST)

    @property
    def told(self):
        return capture.get(self.db, self.ada, "words", most_bytes=MOST)

    @property
    def capturing(self):
        return versions.serving_target(self.db, self.ada, "words", None).capture

    def call(self, caller=None, *, into=None, size=0, number=0):
        """Return a call as a worker would hand it on."""
        found = into or self.capturing
        return NewCall(
            model_id=found.model_id,
            key_id=found.key_id,
            days=found.days,
            at=self.db.clock(),
            version=found.version,
            account_id=(caller or self.ada).account_id,
            request_id=f"req_{number}",
            route="predict",
            content=orjson.dumps({"inputs": [number, "x" * size], "predictions": []}),
        )

    def add(self, *calls, most=MOST, dropped=()):
        capture_set.add(self.db, calls, dict(dropped), most_bytes=most)

    def listed(self, **query):
        return captured.list_calls(self.db, self.ada, "words", CapturedQuery(**query)).data

    @property
    def numbers(self):
        return [each.inputs[0] for each in self.listed()]

    def sums(self):
        """Return what the set says of itself, and what is so."""
        with self.db.read() as session:
            row = session.scalar(select(CaptureRow))
            counted = select(func.count(), func.coalesce(func.sum(CapturedRow.size), 0))
            return (row.records, row.bytes), tuple(session.execute(counted).one())

    def change(self, seq, /, **values):
        with self.db.write() as session:
            session.execute(update(CapturedRow).where(CapturedRow.seq == seq).values(**values))


@pytest.fixture
def words(registry, ada, package):
    return Captured(registry, ada, package)


def test_everybody_who_sees_the_model_is_told_and_only_owners_change_it(words, bob):
    """Since when, for how long, which part; in the model, its listing and its history too."""
    since = words.db.clock()
    words.registry.clock.advance(60)
    told = words.set(CaptureUpdate(enabled=True, days=3, sample=0.25))
    assert (told.enabled, told.since, told.days, told.sample, told.records) == (True, since, 3, 0.25, 0)
    theirs = capture.get(words.db, bob, "words", most_bytes=MOST)
    assert (theirs.since, theirs.days, theirs.sample) == (since, 3, 0.25)
    assert (theirs.records, theirs.bytes, theirs.dropped, theirs.oldest_at) == (None, None, None, None)
    assert "3 days" in theirs.notice
    assert "25.0%" in theirs.notice
    listed = models.list_models(words.db, bob, ModelQuery()).data
    for model in (models.get(words.db, bob, "words"), listed[0]):
        assert (model.captured.since, model.captured.days, model.captured.sample) == (since, 3, 0.25)
    with pytest.raises(Forbidden):
        words.set(OFF, bob)
    words.set(OFF)
    assert models.get(words.db, bob, "words").captured is None
    kinds = [(each.kind, each.details) for each in events.history(words.db, bob, "words", history()).data]
    assert [kind for kind, _ in kinds[:3]] == ["capture_changed"] * 3
    assert kinds[0][1] == {"enabled": False, "days": 3, "sample": 0.25}


def history():
    from maas_client.types import HistoryQuery

    return HistoryQuery()


def test_a_repeat_changes_nothing(words):
    """Neither the time since when, nor the history."""
    before = len(events.history(words.db, words.ada, "words", history()).data)
    told = words.told
    words.registry.clock.advance(60)
    assert words.set(ON) == told
    assert len(events.history(words.db, words.ada, "words", history()).data) == before


def test_an_operator_can_forbid_it(words):
    """With room for nothing nobody switches it on; off it goes."""
    with pytest.raises(Forbidden) as refused:
        capture.change(words.db, words.ada, "words", ON, most_bytes=0)
    assert refused.value.code == "capture_not_allowed"
    assert not capture.change(words.db, words.ada, "words", OFF, most_bytes=0).enabled


def test_the_sample_is_told_by_the_request_id(words):
    """The same answer for the same id, and about as many as were asked for; all and none at the ends."""
    ids = [f"req_{number}" for number in range(4000)]
    every = words.capturing
    assert all(every.takes(each) for each in ids)
    words.set(CaptureUpdate(enabled=True, sample=0.25))
    found = words.capturing
    assert found.header == "days=7, sample=0.250"
    taken = [each for each in ids if found.takes(each)]
    # Four standard deviations of a binomial.
    assert abs(len(taken) - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5
    again = words.capturing
    assert taken == [each for each in ids if again.takes(each)]
    words.set(CaptureUpdate(enabled=True, sample=1e-9))
    assert words.capturing.below < BUCKETS / 1e8


def test_calls_come_back_oldest_first_page_by_page(words, bob):
    """With their number, time, version, caller and request; a cursor goes on where the page ended."""
    for number in range(5):
        words.registry.clock.advance(1)
        words.add(words.call(bob, number=number))
    first = captured.list_calls(words.db, words.ada, "words", CapturedQuery(limit=2))
    assert [(each.seq, each.request_id) for each in first.data] == [(1, "req_0"), (2, "req_1")]
    assert {(each.account, each.version, each.route) for each in first.data} == {
        (bob.account_id, 1, "predict")
    }
    rest = captured.list_calls(words.db, words.ada, "words", CapturedQuery(cursor=first.next_cursor))
    assert [each.inputs[0] for each in rest.data] == [2, 3, 4]
    assert (rest.has_more, rest.next_cursor) == (False, None)
    assert words.listed(version=2) == []
    with pytest.raises(InvalidRequest):
        words.listed(cursor="bm8")
    with pytest.raises(Forbidden):
        captured.list_calls(words.db, bob, "words", CapturedQuery())


def test_a_page_of_large_calls_is_shorter(words, monkeypatch):
    """It is made in memory; a call that is larger than a page alone has one of its own."""
    words.add(*(words.call(number=number, size=1000) for number in range(5)))
    monkeypatch.setattr(captured, "_PAGE_BYTES", 2500)
    seen, cursor = [], None
    while True:
        page = captured.list_calls(words.db, words.ada, "words", CapturedQuery(cursor=cursor))
        seen.append([each.inputs[0] for each in page.data])
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [[0, 1], [2, 3], [4]]
    monkeypatch.setattr(captured, "_PAGE_BYTES", 10)
    assert len(words.listed()) == 1


def test_beyond_the_room_the_oldest_go(words):
    """And their numbers are never used again; what is too large by itself is counted and not written."""
    most = 5000
    for number in range(12):
        words.add(words.call(number=number, size=1000), most=most)
    assert words.numbers == [8, 9, 10, 11]
    assert [each.seq for each in words.listed()] == [9, 10, 11, 12]
    assert words.told.bytes <= most
    words.add(words.call(number=12, size=most), most=most)
    assert words.numbers == [8, 9, 10, 11]
    assert words.told.dropped == 1
    says, is_so = words.sums()
    assert says == is_so


def test_what_was_dropped_is_told(words):
    """A worker that held no more says how many."""
    words.add(dropped={words.capturing.model_id: 3, "mdl_none": 1})
    assert words.told.dropped == 3


def test_switched_off_it_writes_nothing_and_keeps_what_is_there(words):
    """Also nothing that was answered a moment before; the reply says what becomes of the rest."""
    into = words.capturing
    words.add(words.call(number=1))
    told = words.set(OFF)
    assert words.capturing is None
    words.add(words.call(number=2, into=into))
    assert words.numbers == [1]
    assert (told.enabled, told.since, told.records) == (False, None, 1)
    assert "1 that were captured before stay" in told.notice
    words.set(ON)
    words.add(words.call(number=3))
    assert words.numbers == [1, 3]


def test_a_call_goes_when_its_days_end(words):
    """No caller's record is kept for longer than was told; fewer days hold for what is there too."""
    day = timedelta(days=1).total_seconds()
    words.add(words.call(number=1))
    words.set(CaptureUpdate(enabled=True, days=30))
    words.add(words.call(number=2))
    words.registry.clock.advance(7 * day - 1)
    assert words.numbers == [1, 2]
    words.registry.clock.advance(1)
    assert words.numbers == [2]
    housekeeping.purge(words.db)
    says, is_so = words.sums()
    assert says == is_so
    assert says[0] == 1
    words.set(CaptureUpdate(enabled=True, days=7))
    assert words.numbers == []
    words.set(OFF)
    housekeeping.purge(words.db)
    assert words.sums() == ((0, 0), (0, 0))


@pytest.mark.parametrize(
    "values",
    [
        {"version": 2},
        {"request_id": "req_9"},
        {"route": "infer"},
        {"sealed": b"\0" * 60},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_changed_record_is_found_and_named(words, values, caplog):
    """Whatever of it was changed; the others are read all the same."""
    words.add(*(words.call(number=number) for number in range(3)))
    words.change(2, **values)
    first, changed, last = words.listed()
    assert (first.inputs[0], last.inputs[0]) == (0, 2)
    assert (changed.seq, changed.inputs, changed.predictions) == (2, None, None)
    assert changed.fault == capture_set.FAULT
    assert "captured call 2 of mdl_" in caplog.text


def test_exchanged_records_are_found(words, bob):
    """Neither the time, nor the caller, nor the place among the others can be another's."""
    words.add(words.call(number=0), words.call(bob, number=1))
    with words.db.read() as session:
        one, other = session.scalars(select(CapturedRow).order_by(CapturedRow.seq)).all()
    words.change(1, sealed=other.sealed)
    words.change(2, sealed=one.sealed)
    assert [each.fault for each in words.listed()] == [capture_set.FAULT] * 2
    words.change(1, sealed=one.sealed, account_id=bob.account_id)
    words.change(2, sealed=other.sealed, at=other.at + timedelta(seconds=1))
    assert [each.fault for each in words.listed()] == [capture_set.FAULT] * 2
    words.change(1, account_id=words.ada.account_id)
    assert words.listed()[0].fault is None
    words.change(1, seq=9)
    assert [each.fault for each in words.listed() if each.seq == 9] == [capture_set.FAULT]


def test_another_sets_key_opens_nothing(words, package):
    """A set whose row names the key of another model's says so, and other sets are written on."""
    words.registry.publish(words.ada, "other", package("two"))
    capture.change(words.db, words.ada, "other", ON, most_bytes=MOST)
    words.add(words.call(number=1))
    other = versions.serving_target(words.db, words.ada, "other", None).capture
    with words.db.write() as session:
        session.get_one(CaptureRow, words.capturing.model_id).data_key = other.key_id
    with pytest.raises(Unavailable) as told:
        words.listed()
    assert told.value.code == "captured_damaged"
    words.add(words.call(number=2), words.call(number=3, into=other))
    assert words.told.dropped == 1
    theirs = captured.list_calls(words.db, words.ada, "other", CapturedQuery()).data
    assert [each.inputs[0] for each in theirs] == [3]


def test_erasing_destroys_the_key_and_begins_anew(words, bob):
    """What a worker still held for the erased set does not come back with the next one."""
    into = words.capturing
    words.add(words.call(number=1))
    with words.db.read() as session:
        row = session.scalar(select(CapturedRow))
        held = data_keys.get(session, into.key_id, thing=capture.thing(into.model_id))
    with pytest.raises(Forbidden):
        captured.erase(words.db, words.registry.store, bob, "words")
    erasure = captured.erase(words.db, words.registry.store, words.ada, "words")
    assert (erasure.state, erasure.what, erasure.counts) == ("done", "captured", {"captured_calls": 1})
    with words.db.read() as session, pytest.raises(data_keys.KeyDestroyedError):
        data_keys.get(session, into.key_id, thing=capture.thing(into.model_id))
    assert words.told.enabled
    words.add(words.call(number=2, into=into))
    assert words.numbers == []
    words.add(words.call(number=3))
    assert [(each.seq, each.inputs[0]) for each in words.listed()] == [(2, 3)]
    with words.db.read() as session:
        found = session.scalar(select(CapturedRow))
    place = capture_set._place(row.model_id, 2, found)
    with pytest.raises(SealBrokenError):
        held.open(found.sealed, bound_to=place)


def test_erasing_what_was_switched_off_leaves_no_key(words):
    """A set that is off and empty has none."""
    words.add(words.call())
    words.set(OFF)
    captured.erase(words.db, words.registry.store, words.ada, "words")
    assert keys_of_sets(words) == 0
    again = captured.erase(words.db, words.registry.store, words.ada, "words")
    assert again.counts == {"captured_calls": 0}


def keys_of_sets(words):
    with words.db.read() as session:
        of_sets = select(func.count()).select_from(DataKeyRow).where(DataKeyRow.purpose == "capture")
        return session.scalar(of_sets)


def test_a_models_deletion_takes_its_calls_along(words):
    """With their key, and the erasure counts them."""
    words.add(words.call(), words.call())
    into = words.capturing
    deleted = deletion.delete_model(words.db, words.registry.store, words.ada, "words")
    assert deleted.erasure.counts == {"models": 1, "versions": 1, "captured_calls": 2}
    assert keys_of_sets(words) == 0
    words.add(words.call(into=into))
    with words.db.read() as session:
        assert session.scalar(select(func.count()).select_from(CapturedRow)) == 0
    with pytest.raises(NotFound):
        words.told  # noqa: B018 - it raises


def test_a_callers_erasure_takes_their_calls_out_of_others_sets(words, bob):
    """What they sent goes with them, and what a worker still held of it is not written any more."""
    into = words.capturing
    words.add(words.call(bob, number=1), words.call(number=2), words.call(bob, number=3))
    assert account_erasure.plan(words.db, bob.account_id).counts["captured_calls"] == 2
    account_erasure.erase(words.db, bob.account_id)
    assert words.numbers == [2]
    says, is_so = words.sums()
    assert says == is_so
    words.add(words.call(bob, number=4, into=into), words.call(number=5))
    assert words.numbers == [2, 5]


def test_an_owners_erasure_takes_the_sets_of_its_models(words, bob):
    """Those of others' calls too: they were kept for this owner alone."""
    words.add(words.call(bob), words.call())
    assert account_erasure.plan(words.db, words.ada.account_id).counts["captured_calls"] == 2
    account_erasure.erase(words.db, words.ada.account_id)
    assert keys_of_sets(words) == 0
    with words.db.read() as session:
        assert session.scalar(select(func.count()).select_from(CaptureRow)) == 0


def test_a_co_owner_may_all_of_it_and_the_export_tells(words, bob):
    """By the share's role; the settings stand in the export of the account whose model it is."""
    shares.put(words.db, words.ada, "words", "bob", role="owner")
    words.add(words.call(bob))
    assert capture.get(words.db, bob, "words", most_bytes=MOST).records == 1
    assert words.set(CaptureUpdate(enabled=True, days=2), bob).days == 2
    assert len(captured.list_calls(words.db, bob, "words", CapturedQuery()).data) == 1
    told = export(words.db, words.ada.account_id)
    assert (told.captures["words"].days, told.captures["words"].records) == (2, 1)
    assert export(words.db, bob.account_id).captures == {}
