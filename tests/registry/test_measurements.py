"""What workers counted, stored: usage by account and day, performance by device, the catalogue's columns."""

from collections import Counter
from datetime import date, timedelta

import pytest
from sqlalchemy import delete, event, select

from maas_client.types import ModelQuery, UsageQuery
from reference_server import sketches
from reference_server.errors import NotFound, Unavailable
from reference_server.metrics import Asked, Measured
from reference_server.registry import aliases, measurements, models, usage, versions
from reference_server.registry.export import export
from reference_server.registry.tables import ModelRow, UsageRow, VersionPerformanceRow, VersionRow

DAY = date(2030, 1, 1)


def measured(calls, *, seconds=0.001, run_seconds=0.5):
    """Return what was counted: calls and rows by account."""
    total = sum(each.calls for each in calls.values())
    return Measured(Counter({sketches.bucket_of(seconds): total}), run_seconds, dict(calls))


def store(registry, *, model="ada~words", version=1, device="cpu", seconds=0.001, **accounts):
    asked = {registry.ids[name]: each for name, each in accounts.items()}
    measurements.store(registry.db, {(model, version, device): measured(asked, seconds=seconds)})


@pytest.fixture
def shop(registry, ada, bob, package):
    """Return a registry in which everybody may call ada's public `words`, of two versions."""
    registry.publish(ada, "words", package("1"), visibility="public")
    registry.publish(ada, "words", package("2"))
    registry.ids = {"ada": ada.account_id, "bob": bob.account_id, "nobody": "acc_gone"}
    registry.ada, registry.bob = ada, bob
    return registry


def used(shop, caller, **query):
    page = usage.list_usage(shop.db, caller, UsageQuery(**query))
    return [(each.day, each.model, each.version, each.calls, each.rows, each.failures) for each in page.data]


def test_usage_is_told_to_the_account_that_called(shop):
    """Each account sees its own calls; a model's total is for everybody, and names nobody."""
    store(shop, ada=Asked(2, 20, 0), bob=Asked(3, 3, 1))
    store(shop, bob=Asked(1, 1, 0))
    store(shop, version=2, bob=Asked(1, 5, 0))
    assert used(shop, shop.ada) == [(DAY, "ada~words", 1, 2, 20, 0)]
    assert used(shop, shop.bob) == [(DAY, "ada~words", 2, 1, 5, 0), (DAY, "ada~words", 1, 4, 4, 1)]
    model = models.get(shop.db, shop.bob, "words")
    assert (model.usage.calls, model.usage.rows, model.usage.days) == (7, 29, 30)
    assert "bob" not in model.model_dump_json()
    listed = versions.get(shop.db, shop.ada, "words", "2")
    assert (listed.usage.calls, listed.usage.rows) == (1, 5)
    assert [each.calls for each in export(shop.db, shop.bob.account_id).usage] == [1, 4]


def test_usage_is_filtered_and_paged(shop):
    """By model, version and days; the newest day first."""
    for day in range(3):
        store(shop, bob=Asked(day + 1, 1, 0))
        shop.clock.advance(86_400)
    days = [DAY + timedelta(days=2 - each) for each in range(3)]
    assert [each[0] for each in used(shop, shop.bob)] == days
    assert [each[3] for each in used(shop, shop.bob, since=days[1])] == [3, 2]
    assert [each[3] for each in used(shop, shop.bob, until=days[1], model="words", version=1)] == [2, 1]
    assert used(shop, shop.bob, version=2) == []
    first = usage.list_usage(shop.db, shop.bob, UsageQuery(limit=2))
    rest = usage.list_usage(shop.db, shop.bob, UsageQuery(limit=2, cursor=first.next_cursor))
    assert [each.day for each in first.data + rest.data] == days
    with pytest.raises(NotFound):
        usage.list_usage(shop.db, shop.bob, UsageQuery(model="nothing"))


def test_performance_adds_up_over_workers(shop):
    """Two workers' counts on one device are one figure; another device is another."""
    store(shop, seconds=0.010, bob=Asked(90, 90, 0))
    shop.clock.advance(60)
    store(shop, seconds=0.200, bob=Asked(10, 900, 2))
    store(shop, device="cuda:0", seconds=0.002, ada=Asked(1, 1, 0))
    quick, slow = models.get(shop.db, shop.bob, "words").performance
    assert (quick.device, quick.p50_ms) == ("cuda:0", pytest.approx(2, rel=0.02))
    assert (slow.device, slow.calls, slow.rows, slow.failures) == ("cpu", 100, 990, 2)
    assert slow.p50_ms == pytest.approx(10, rel=0.02)
    assert slow.p95_ms == pytest.approx(200, rel=0.02)
    assert slow.rows_per_second == 990.0  # in a second of computing
    assert (slow.updated_at - slow.since).total_seconds() == 60
    assert versions.get(shop.db, shop.bob, "words", "1").performance == [quick, slow]
    assert versions.get(shop.db, shop.bob, "words", "2").performance == []


def test_the_catalogue_follows_what_is_measured(shop, package):
    """A model is sorted and filtered by the listed version's best median, and by all calls of late."""
    shop.publish(shop.ada, "other", package("3"))
    store(shop, seconds=0.05, bob=Asked(1, 1, 0))
    store(shop, version=2, seconds=0.001, bob=Asked(1, 1, 0))

    def found(**query):
        return [each.name for each in models.list_models(shop.db, shop.ada, ModelQuery(**query)).data]

    assert found(sort="-usage") == found(sort="latency") == found(sort="-latency") == ["words", "other"]
    assert found(max_latency_ms=60) == ["words"]
    assert found(max_latency_ms=2) == []
    aliases.move(shop.db, shop.ada, "words", "default", version=2, note="", expected_revision=None)
    assert found(max_latency_ms=2) == ["words"]


def test_what_is_gone_is_passed_over(shop):
    """Counts of a model, a version or an account that is no longer there stop nothing."""
    store(shop, model="ada~nothing", bob=Asked(1, 1, 0))
    store(shop, version=9, bob=Asked(1, 1, 0))
    store(shop, nobody=Asked(1, 1, 0), bob=Asked(1, 2, 0))
    assert used(shop, shop.bob) == [(DAY, "ada~words", 1, 1, 2, 0)]
    assert models.get(shop.db, shop.bob, "words").usage.calls == 2


def test_a_model_that_goes_takes_its_counts_along(shop):
    """Nothing is left that points nowhere; of a version that goes, the usage stays."""
    store(shop, bob=Asked(1, 1, 0))
    store(shop, version=2, bob=Asked(1, 1, 0))
    with shop.db.write() as session:
        session.execute(delete(VersionRow).where(VersionRow.number == 2))
        assert session.scalars(select(VersionPerformanceRow.version)).all() == [1]
        assert sorted(session.scalars(select(UsageRow.version))) == [1, 2]
    aliases_of = models.get(shop.db, shop.ada, "words")
    assert aliases_of.default_version == 1
    with shop.db.write() as session:
        session.execute(delete(ModelRow).where(ModelRow.name == "words"))
        assert session.scalars(select(UsageRow)).all() == []


def test_days_roll_out_of_the_last_thirty(shop):
    """What was called thirty days ago no longer counts as lately, and after 400 days is forgotten."""
    store(shop, bob=Asked(5, 50, 0))
    shop.clock.advance(29 * 86_400)
    store(shop, bob=Asked(1, 1, 0))
    usage.roll(shop.db)
    assert models.get(shop.db, shop.bob, "words").usage.calls == 6
    shop.clock.advance(86_400)
    usage.roll(shop.db)
    assert (models.get(shop.db, shop.bob, "words").usage.calls, len(used(shop, shop.bob))) == (1, 2)
    assert versions.get(shop.db, shop.bob, "words", "1").usage.calls == 1
    shop.clock.advance(371 * 86_400)
    usage.roll(shop.db)
    assert (models.get(shop.db, shop.bob, "words").usage.calls, len(used(shop, shop.bob))) == (0, 1)


def test_all_is_stored_in_one_transaction_or_nothing(shop):
    """However much was counted there is one commit; where there is nothing there is none."""
    begun = []
    event.listen(shop.db._writer, "begin", lambda _: begun.append(1))
    measurements.store(shop.db, {})
    assert begun == []
    counts = measured({shop.ids["bob"]: Asked(1, 1, 0), shop.ids["ada"]: Asked(1, 1, 0)})
    measurements.store(shop.db, {("ada~words", number, "cpu"): counts for number in (1, 2)})
    assert len(begun) == 1
    assert len(used(shop, shop.bob)) == 2


def test_a_store_that_is_busy_keeps_nothing_half(shop, monkeypatch):
    """Where the last step fails nothing of the others is there."""

    def fail(*_):
        raise Unavailable("busy", code="store_busy")

    monkeypatch.setattr(measurements, "_refresh", fail)
    with pytest.raises(Unavailable):
        store(shop, bob=Asked(1, 1, 0))
    monkeypatch.undo()
    assert used(shop, shop.bob) == []
    assert models.get(shop.db, shop.bob, "words").performance == []
