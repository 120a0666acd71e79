"""Against a real redis-server, which Debian's package of that name brings; without one these are skipped."""

import logging
import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime

import pytest

from reference_server.errors import TooManyRequests
from reference_server.limit_counters import open_limits
from reference_server.registry import row_counts
from reference_server.registry.database import Database
from reference_server.security.delays import LocalFailures, LogInDelays
from reference_server.security.quotas import Grant, StoredQuotas
from reference_server.security.rate_limits import LocalBuckets, Rate, RateLimit
from reference_server.security.shared_limits import (
    LeasedBuckets,
    RedisLink,
    SharedBuckets,
    SharedFailures,
    SharedQuotas,
)
from reference_server.settings import Settings

redis = pytest.importorskip("redis", reason="the package redis is not installed")
pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None,
    reason="redis-server is not installed (Debian's package redis-server)",
)

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SLOW = Rate(1 / 3600, 3)


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(port=port)
    deadline = time.monotonic() + 20
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    client.close()
    yield port
    process.terminate()
    process.wait(20)


@pytest.fixture
def links(redis_port):
    """Return a function that gives a worker's own connection to an empty Redis."""
    made = []

    def connect(**options):
        made.append(RedisLink(f"redis://127.0.0.1:{redis_port}/0", **options))
        return made[-1]

    connect()._redis.flushdb()
    yield connect
    for link in made:
        link.close()


def nobody():
    """Return what counts nothing here: a test that falls back to it fails."""
    return LocalBuckets(processes=10**6, clock=lambda: pytest.fail("Redis was not asked"))


def test_workers_share_a_bucket(links):
    """Three at once through two workers are three, and all hear when the next one is due."""
    first, second = (SharedBuckets(links(), nobody()) for _ in range(2))
    assert [each.take([("ada", SLOW)])[0].wait for each in (first, second, first)] == [0, 0, 0]
    assert second.take([("ada", SLOW)])[0].wait == pytest.approx(3600, rel=0.01)
    assert first.take([("bob", SLOW)])[0].wait == 0


def test_of_several_buckets_all_or_none_lose_one(links):
    """A call that one limit refuses is not counted by the others."""
    buckets = SharedBuckets(links(), nobody())
    for _ in range(3):
        buckets.take([("key", SLOW)])
    account, key = buckets.take([("account", SLOW), ("key", SLOW)])
    assert (account.wait, account.left) == (0, 3)
    assert key.wait > 0
    assert buckets.take([("account", SLOW)])[0].left == pytest.approx(2, abs=0.01)


def test_the_event_loop_never_waits_for_redis(links):
    """Who may not wait hears that somebody has to be asked."""
    assert SharedBuckets(links(), nobody()).take([("ada", SLOW)], may_wait=False) is None
    quotas = SharedQuotas(links(), None, clock=lambda: NOON)
    assert quotas.take([("ada", 10)], 1, may_wait=False) is None


def test_predictions_are_fetched_some_at_a_time_and_never_more(links):
    """Of 100 a second, two are fetched at once; both workers together have no more than the burst."""
    rate = Rate(100, 100)
    workers = [LeasedBuckets(SharedBuckets(links(), nobody()), nobody()) for _ in range(2)]
    assert workers[0].take([("ada", rate)])[0].wait == 0
    assert workers[0].take([("ada", rate)], may_wait=False)[0].wait == 0
    assert workers[0].take([("ada", rate)], may_wait=False) is None
    began = time.monotonic()
    given = 2
    for _ in range(200):
        given += sum(each.take([("ada", rate)])[0].wait == 0 for each in workers)
    assert given <= 100 + 100 * (time.monotonic() - began) + 1


def test_workers_share_the_rows_of_a_day(links):
    """All of them together give out a hundred, and say when there will be more."""
    first, second = (SharedQuotas(links(), None, clock=lambda: NOON) for _ in range(2))
    assert first.take([("ada", 100)], 60)[0].left == 40
    assert second.take([("ada", 100)], 41)[0].wait == 12 * 3600
    assert second.take([("ada", 100)], 40)[0].wait == 0
    first.give_back(["ada"], 10)
    for each in (first, second):
        assert each.take([("ada", 100), ("all", 1000)], 11)[0].wait > 0
    assert second.take([("ada", 100), ("all", 1000)], 10)[1].left == 990


def test_what_a_job_gave_back_comes_to_redis(redis_port, links, empty_database, tmp_path):
    """Once a second each worker looks into the store; the first one brings it, and it comes once."""
    links()
    database = Database(f"sqlite:///{shutil.copy(empty_database, tmp_path / 'maas.db')}", clock=lambda: NOON)
    settings = Settings(rate_limit_url=f"redis://127.0.0.1:{redis_port}/0", workers=2, data_dir=tmp_path)
    first, second = (
        open_limits(settings, database, worker=number, timer=time.monotonic) for number in range(2)
    )
    try:
        assert first.rows.take([("ada", 100)], 90)[0].left == 10
        with database.write() as session:
            row_counts.give_back(session, row_counts.Taken(("ada",), NOON.date(), 90), spent=30)
        for each in (second, first):
            each.exchange()
        assert second.rows.take([("ada", 100)], 70)[0].left == 0
    finally:
        first.close()
        second.close()
        database.dispose()


def test_workers_share_failed_log_ins(links):
    """Guesses through several workers are slowed down as if there were one."""
    workers = [LogInDelays(SharedFailures(links(), LocalFailures()), free=4) for _ in range(2)]
    for each in range(4):
        workers[each % 2].begin("ada@example.com", f"203.0.113.{each}")
    with pytest.raises(TooManyRequests) as caught:
        workers[0].begin("ada@example.com", "203.0.113.9")
    assert caught.value.retry_after == pytest.approx(1, abs=0.2)
    workers[1].succeeded("ada@example.com", "203.0.113.3")
    workers[0].begin("ada@example.com", "203.0.113.9")
    for each in range(3):
        workers[0].begin("ada@example.com", f"198.51.100.{each}")
    with pytest.raises(TooManyRequests):
        workers[0].begin("ada@example.com", "198.51.100.9")
    # All workers know from where the owner logged in.
    workers[0].begin("ada@example.com", "203.0.113.3")


def test_no_e_mail_and_no_address_of_a_log_in_stands_in_redis(links, redis_port):
    """What is counted there is named by digests."""
    delays = LogInDelays(SharedFailures(links(), LocalFailures()), free=4)
    delays.begin("ada@example.com", "203.0.113.3")
    delays.succeeded("ada@example.com", "203.0.113.3")
    delays.begin("ada@example.com", "203.0.113.4")
    names = redis.Redis(port=redis_port).keys()
    assert names
    assert not any(b"ada" in name or b"203" in name[-40:-32] or b"@" in name for name in names)


def test_what_is_counted_is_forgotten_in_time(links, redis_port):
    """Nothing stays in Redis for ever."""
    SharedBuckets(links(), nobody()).take([("ada", SLOW)])
    SharedQuotas(links(), None, clock=lambda: NOON).take([("ada", 10)], 1)
    delays = LogInDelays(SharedFailures(links(), LocalFailures()), free=4)
    delays.begin("ada@example.com", "203.0.113.3")
    delays.succeeded("ada@example.com", "203.0.113.3")
    client = redis.Redis(port=redis_port)
    names = client.keys()
    assert len(names) >= 4
    assert all(client.ttl(name) > 0 for name in names)


def test_without_redis_each_worker_counts_its_share_and_says_so_once(caplog):
    """An outage neither opens the door nor closes it; while it lasts, nobody waits for Redis each time."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    clock = [0.0]
    link = RedisLink(f"redis://127.0.0.1:{port}/0", clock=lambda: clock[0])
    limit = RateLimit(
        SharedBuckets(link, LocalBuckets(processes=2)), per_minute=1 / 60, burst=4, what="tries"
    )
    stored = StoredQuotas(
        lambda claims: [Grant(each.used, 5, 0) for each in claims], processes=2, clock=lambda: NOON
    )
    quotas = SharedQuotas(link, stored, clock=lambda: NOON)
    with caplog.at_level(logging.ERROR, "reference_server"):
        limit.take("ada")
        clock[0] = 5.0
        limit.take("ada")
        with pytest.raises(TooManyRequests):
            limit.take("ada")
        assert quotas.take([("ada", 10)], 5)[0].wait == 0
        assert quotas.take([("ada", 10)], 1)[0].wait > 0
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "its share" in caplog.text
    link.close()


def test_redis_is_used_again_when_it_answers_again(links, caplog):
    """A second after the failure it is asked once more, and the log says that it is back."""
    clock = [0.0]
    link = links(clock=lambda: clock[0])
    buckets = SharedBuckets(link, LocalBuckets())
    link._lost(OSError("cut"))
    assert buckets.take([("ada", SLOW)])[0].wait == 0
    assert link._redis.exists("maas:bucket:ada") == 0
    clock[0] = 2.0
    with caplog.at_level(logging.WARNING, "reference_server"):
        buckets.take([("ada", SLOW)])
    assert link._redis.exists("maas:bucket:ada") == 1
    assert "answers again" in caplog.text
