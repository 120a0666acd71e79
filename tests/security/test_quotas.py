import shutil
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from reference_server.registry import row_counts
from reference_server.registry.database import Database, upgrade
from reference_server.security.quotas import StoredQuotas


class Store:
    """A real store that workers share, with a clock of the test's."""

    def __init__(self, url):
        self.now = datetime(2030, 1, 1, 12, tzinfo=UTC)
        self.db = Database(url, clock=lambda: self.now)
        self.asked = 0
        self.is_away = False

    def quotas(self, processes=1, worker=0):
        claim = partial(self.claim, worker=worker, workers=processes)
        return StoredQuotas(claim, processes=processes, clock=lambda: self.now)

    def claim(self, claims, **who):
        if self.is_away:
            raise OSError("away")
        self.asked += 1
        return row_counts.claim(self.db, claims, **who)

    def used(self, subject="ada"):
        with self.db.read() as session:
            return sum(row.used for row in session.query(row_counts.RowCountRow).filter_by(subject=subject))


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    file = tmp_path_factory.mktemp("empty") / "maas.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def store(tmp_path, empty):
    made = Store(f"sqlite:///{shutil.copy(empty, tmp_path / 'maas.db')}")
    yield made
    made.db.dispose()


def take(quotas, rows, most=100, subject="ada"):
    (level,) = quotas.take([(subject, most)], rows)
    return level


def test_rows_are_counted_as_rows_until_none_are_left(store):
    """A hundred rows a day are one call of a hundred, and not one more row."""
    quotas = store.quotas()
    assert take(quotas, 60).left == 40
    refused = take(quotas, 41)
    assert (refused.left, refused.wait) == (40, 12 * 3600)
    assert take(quotas, 40).wait == 0
    assert take(quotas, 1).wait == 12 * 3600


def test_a_new_day_begins_at_midnight(store):
    """In UTC, whatever the hour of the first call was."""
    quotas = store.quotas()
    take(quotas, 100)
    store.now += timedelta(hours=12)
    assert take(quotas, 100).wait == 0


def test_the_event_loop_never_waits_for_the_store(store):
    """Who is not known yet is looked up where that may take a moment, and once."""
    quotas = store.quotas()
    assert quotas.take([("ada", 100)], 1, may_wait=False) is None
    assert store.asked == 0
    take(quotas, 1)
    assert quotas.take([("ada", 100)], 1, may_wait=False) is not None
    assert store.asked == 1


def test_counts_outlive_a_restart(store):
    """A quota is not renewed by whoever restarts the server."""
    quotas = store.quotas()
    take(quotas, 90)
    quotas.exchange()
    assert take(store.quotas(), 11).wait > 0
    assert take(store.quotas(), 10).wait == 0


def test_what_cannot_be_stored_is_stored_later(store):
    """A store that is away for a moment loses nothing."""
    quotas = store.quotas()
    take(quotas, 30)
    store.is_away = True
    with pytest.raises(OSError, match="away"):
        quotas.exchange()
    store.is_away = False
    take(quotas, 5)
    quotas.exchange()
    assert store.used() == 35
    quotas.exchange()
    assert store.used() == 35


def test_several_workers_together_never_give_out_more(store):
    """Each claims a share of what nobody has claimed, again and again, whoever of them gets the calls."""
    workers = [store.quotas(processes=3, worker=each) for each in range(3)]
    given = 0
    for turn in range(24):
        for quotas in workers:
            while take(quotas, 1).wait == 0:
                given += 1
            assert given <= 100
            if turn % 2:
                quotas.exchange()
    # More than a share is asked for once a second, and here no time passes.
    assert 98 <= given <= 100
    for quotas in workers:
        quotas.exchange()
    store.now += timedelta(seconds=1)
    assert take(workers[0], 3).wait == 12 * 3600 - 1


def test_a_share_that_is_used_up_is_renewed_in_a_second(store):
    """Who has to wait for another share is not sent away until tomorrow."""
    quotas = store.quotas(processes=2)
    assert take(quotas, 50).wait == 0
    assert take(quotas, 10).wait == 0
    assert take(quotas, 20).wait == 1.0
    quotas.exchange()
    assert take(quotas, 20).wait == 0


def test_a_caller_who_meets_one_worker_alone_gets_nearly_all(store):
    """What others claimed and did not use is left to whoever wants it."""
    busy, idle = store.quotas(processes=2), store.quotas(processes=2, worker=1)
    take(idle, 1)
    idle.exchange()
    store.now += timedelta(seconds=11)
    idle.exchange()
    given = 0
    for _ in range(12):
        while take(busy, 1).wait == 0:
            given += 1
        busy.exchange()
    assert given == 98
    assert store.used() == 99


def test_a_worker_that_died_leaves_its_claim_to_its_successor(store):
    """What it had claimed is not lost to the caller, nor given out twice."""
    others, died = store.quotas(processes=2), store.quotas(processes=2, worker=1)
    assert take(died, 30).wait == 0
    died.exchange()
    assert take(others, 17).wait == 0
    successor = store.quotas(processes=2, worker=1)
    given = 47
    for _ in range(12):
        for quotas in (others, successor):
            while take(quotas, 1).wait == 0:
                given += 1
            quotas.exchange()
    assert 99 <= given <= 100


def test_fewer_workers_go_on_from_what_more_have_used(store):
    """A restart with another number of workers renews nothing, and forgets what nobody claims any more."""
    for each in range(3):
        quotas = store.quotas(processes=3, worker=each)
        assert take(quotas, 10).wait == 0
        quotas.exchange()
    assert take(store.quotas(), 71).wait > 0
    assert take(store.quotas(), 70).wait == 0


def test_of_several_quotas_all_or_none_are_used(store):
    """A call that its account may not make takes nothing from its key."""
    quotas = store.quotas()
    first, second = quotas.take([("key", 100), ("account", 5)], 10)
    assert (first.wait, second.wait) == (0, 12 * 3600)
    assert take(quotas, 100, subject="key").wait == 0


def test_rows_that_came_to_nothing_are_returned(store):
    """Also after the store has been told of them."""
    quotas = store.quotas()
    take(quotas, 100)
    quotas.exchange()
    quotas.give_back(["ada"], 40)
    assert take(quotas, 40).wait == 0
    quotas.exchange()
    assert store.used() == 100


def test_who_has_not_called_for_long_is_forgotten(store):
    """Memory holds those who call, and nothing is told twice."""
    quotas = store.quotas()
    take(quotas, 1)
    quotas.exchange()
    store.now += timedelta(minutes=2)
    quotas.exchange()
    assert quotas._days == {}
    assert take(quotas, 100).wait > 0


def test_a_call_larger_than_a_share_gets_what_nobody_has_claimed(store):
    """With two workers each has half: one that gets all the calls can still spend all of it."""
    first, second = store.quotas(2, 0), store.quotas(2, 1)
    assert take(first, 80).wait == 0
    first.exchange()
    assert take(second, 21).wait == 12 * 3600
    store.now += timedelta(seconds=1)
    assert take(second, 10).wait == 0
    store.now += timedelta(seconds=10)
    first.exchange()
    assert take(second, 10).wait == 0
    second.exchange()
    assert store.used() == 100


def test_what_another_worker_holds_is_waited_for_and_not_until_midnight(store):
    """It gives back what it does not use; the two never give out more than there is."""
    first, second = store.quotas(2, 0), store.quotas(2, 1)
    take(first, 1)
    refused = take(second, 80)
    assert (refused.wait, refused.full) == (10, 12 * 3600)
    store.now += timedelta(seconds=11)
    first.exchange()
    first.exchange()
    assert take(second, 80).wait == 0
    second.exchange()
    store.now += timedelta(seconds=1)
    assert take(second, 20).wait == 12 * 3600 - 12
    store.now += timedelta(seconds=1)
    assert take(second, 19).wait == 0


def test_who_has_spent_all_makes_no_write_of_every_call(store):
    """More than a share is asked for once a second."""
    quotas = store.quotas(2, 0)
    take(quotas, 90)
    quotas.take([("ada", 100)], 20)
    asked = store.asked
    for _ in range(20):
        assert quotas.take([("ada", 100)], 10, may_wait=True) is not None
        quotas.give_back(["ada"], 10)
        assert take(quotas, 11).wait > 0
    assert store.asked <= asked + 1


def give_back(store, rows, *, spent, day=None):
    taken = row_counts.Taken(("ada",), day or store.now.date(), rows)
    with store.db.write() as session:
        row_counts.give_back(session, taken, spent=spent)


@pytest.mark.parametrize("processes", [1, 3])
def test_what_a_job_gave_back_is_there_again_for_every_worker(store, processes):
    """Within a second of the only one, of several when the others have let it go; and never twice."""
    workers = [store.quotas(processes, number) for number in range(processes)]
    assert take(workers[0], 90, most=90).wait == 0
    assert take(workers[-1], 30, most=90).wait > 0
    give_back(store, 90, spent=30)
    give_back(store, 80, spent=0, day=store.now.date() - timedelta(days=1))
    give_back(store, 20, spent=25)
    for _ in range(1 if processes == 1 else 3):
        store.now += timedelta(seconds=6)
        for worker in workers:
            worker.exchange()
    assert take(workers[-1], 60, most=90).wait == 0
    for worker in (*workers, *workers):
        worker.exchange()
        store.now += timedelta(seconds=2)
        assert take(worker, 1, most=90).wait > 0
    assert store.used() == 90 - 80


def test_what_was_given_back_is_told_once_to_who_counts_elsewhere(store):
    """With Redis the store counts nothing, and each worker looks."""
    give_back(store, 90, spent=30)
    today = store.now.date()
    assert row_counts.take_given_back(store.db, today - timedelta(days=1)) == {}
    assert row_counts.take_given_back(store.db, today) == {"ada": 60}
    assert row_counts.take_given_back(store.db, today) == {}
