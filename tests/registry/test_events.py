import pytest
from sqlalchemy import text

from maas_client.types import HistoryQuery, VersionUpdate
from reference_server.registry import aliases, deletion, events, names, states
from reference_server.registry.database import Database


def history(registry, caller, model="words", **query):
    return events.history(registry.db, caller, model, HistoryQuery(**query)).data


@pytest.fixture
def words(registry, ada, package):
    """Return a registry in whose model `words` everything has happened once."""
    for content in "123":
        registry.publish(ada, "words", package(content), notes=f"Note {content}.", visibility="public")
    aliases.move(registry.db, ada, "words", "default", version=2, note="better", expected_revision=None)
    registry.clock.advance(60)
    aliases.rollback(registry.db, ada, "words", "default", note="worse", expected_revision=None)
    for state in ("deprecated", "active", "retired"):
        states.update(registry.db, ada, "words", "3", VersionUpdate(state=state))
    deletion.delete_version(registry.db, registry.store, ada, "words", "2")
    registry.ada = ada
    return registry


def test_everything_that_happens_is_told_in_its_order(words):
    """Publications, moves, states and deletions, newest first, numbered without a gap."""
    told = history(words, words.ada)
    assert [(event.seq, event.kind, event.version) for event in told] == [
        (10, "version_deleted", 2),
        (9, "retired", 3),
        (8, "restored", 3),
        (7, "deprecated", 3),
        (6, "alias_rolled_back", 1),
        (5, "alias_moved", 2),
        (4, "published", 3),
        (3, "published", 2),
        (2, "alias_moved", 1),
        (1, "published", 1),
    ]
    assert {event.by for event in told} == {"ada"}
    assert told[5].details == {"alias": "default", "from_version": 1, "note": "better"}
    assert told[6].details["notes"] == "Note 3."
    assert (told[4].at - told[5].at).total_seconds() == 60


def test_a_history_is_read_in_pages_by_kind_and_from_an_event_on(words, every_page):
    """Each filter narrows it, and pages hold every event once."""
    pages = every_page(lambda q: events.history(words.db, words.ada, "words", q), HistoryQuery, limit=3)
    assert [event.seq for page in pages for event in page] == list(range(10, 0, -1))
    assert [event.seq for event in history(words, words.ada, kind="published")] == [4, 3, 1]
    assert [event.seq for event in history(words, words.ada, after=8)] == [10, 9]
    assert history(words, words.ada, after=10) == []


def test_what_changes_nothing_is_no_event(words):
    """A repeated move or state leaves no trace."""
    before = len(history(words, words.ada))
    states.update(words.db, words.ada, "words", "3", VersionUpdate(state="retired"))
    states.update(words.db, words.ada, "words", "1", VersionUpdate())
    aliases.move(words.db, words.ada, "words", "default", version=1, note="worse", expected_revision=None)
    assert len(history(words, words.ada)) == before


def test_a_failed_change_is_no_event(words, package):
    """What is rolled back takes its event with it."""
    before = history(words, words.ada)

    def fail():
        with words.db.write() as session:
            model_id = names.allowed(session, words.ada, "words", names.OWNER).row.id
            events.record(session, model_id, "published", by=words.ada, at=words.clock.now)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert history(words, words.ada) == before


def test_an_older_store_gets_the_history_that_can_be_known(words, tmp_path):
    """The migration tells of the versions and of the moves that there were before events were kept."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    from reference_server.registry import database

    engine = create_engine(words.url)
    config = Config()
    config.set_main_option("script_location", database._MIGRATIONS)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
    engine.dispose()
    database.upgrade(words.url)
    again = Database(words.url)
    told = events.history(again, words.ada, "words", HistoryQuery()).data
    assert [(event.seq, event.kind, event.version) for event in reversed(told)] == [
        (1, "published", 1),
        (2, "published", 3),
        (3, "alias_moved", 1),
        (4, "alias_moved", 2),
        (5, "alias_moved", 1),
    ]
    assert told[0].at == words.clock.now
    with again.read() as session:
        assert session.execute(text("PRAGMA foreign_key_check")).first() is None
        assert session.execute(text("SELECT count(*) FROM aliases")).scalar() == 1
    again.dispose()
