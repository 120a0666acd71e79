import itertools
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, func, inspect, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError

from reference_server.errors import Unavailable
from reference_server.registry import accounts, database
from reference_server.registry.database import Database, Schema, StoreError, look_at_schema, upgrade
from reference_server.registry.ids import new_id
from reference_server.registry.tables import AccountRow, Base, KeyRow, SessionRow


def account(name="ada", **fields):
    values = {"email": name, "password_hash": "h", "role": "user", "policy_version": "1"}
    values["created_at"] = datetime(2030, 1, 1, tzinfo=UTC)
    return AccountRow(id=name, name=name, **{**values, **fields})


def count(db):
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(AccountRow))


@pytest.fixture
def engine(tmp_path):
    """Return a plain connection maker to a database that `upgrade` has prepared."""
    url = f"sqlite:///{tmp_path / 'maas.db'}"
    upgrade(url)
    made = create_engine(url)
    yield made
    made.dispose()


def differences(connection):
    return compare_metadata(MigrationContext.configure(connection), Base.metadata)


def test_the_migrations_make_the_tables(engine):
    """What the migrations build step by step is what the tables declare, nothing more and nothing less."""
    with engine.begin() as connection:
        assert differences(connection) == []


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX ix_sessions_expires_at",
        "ALTER TABLE api_keys DROP COLUMN last_used_at",
        "ALTER TABLE models ADD COLUMN colour TEXT",
        "DROP TABLE idempotency",
    ],
)
def test_a_drift_of_the_migrations_would_show(engine, change):
    """The comparison sees an index, a column or a table that is missing or one too many."""
    with engine.begin() as connection:
        connection.execute(text(change))
        assert len(differences(connection)) >= 1


def description(engine):
    """Return the keys, constraints and rules of every table, which the comparison does not look at."""
    found = inspect(engine)
    return {
        table: {
            "primary key": found.get_pk_constraint(table),
            "foreign keys": sorted(found.get_foreign_keys(table), key=str),
            "unique": sorted(found.get_unique_constraints(table), key=str),
            "nullable": {column["name"]: column["nullable"] for column in found.get_columns(table)},
        }
        for table in Base.metadata.tables
    }


def test_the_migrations_make_the_same_constraints(engine, tmp_path):
    """Keys, names of constraints and what is deleted together are the same on both ways."""
    declared = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    Base.metadata.create_all(declared)
    assert description(engine) == description(declared)
    declared.dispose()


def test_the_migrations_can_be_undone(engine):
    """Downgrading to the beginning leaves no table of ours."""
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", database._MIGRATIONS)
        command.downgrade(config, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]


def test_an_upgrade_makes_the_file_for_its_owner_alone(tmp_path):
    """Folder, database and journal can be read by nobody else."""
    file = tmp_path / "new" / "maas.db"
    upgrade(f"sqlite:///{file}")
    db = Database(f"sqlite:///{file}")
    with db.write() as session:
        session.add(account())
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert {
        entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in file.parent.iterdir()
    } == dict.fromkeys(("maas.db", "maas.db-wal", "maas.db-shm"), 0o600)
    db.dispose()


def test_an_upgrade_takes_the_file_from_others(tmp_path):
    """A database that was copied into place with a loose mode is its owner's again."""
    file = tmp_path / "maas.db"
    file.touch()
    file.chmod(0o644)
    upgrade(f"sqlite:///{file}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_upgrade_changes_nothing(registry):
    """Every start upgrades, and what is there stays."""
    registry.account("ada")
    upgrade(registry.url)
    assert count(registry.db) == 1


def test_workers_may_start_together(tmp_path):
    """Processes that upgrade the same new file wait for each other."""
    url = f"sqlite:///{tmp_path / 'maas.db'}"
    program = "import sys; from reference_server.registry.database import upgrade; upgrade(sys.argv[1])"
    started = [
        subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE) for _ in range(3)
    ]
    assert [(one.communicate(timeout=60)[1], one.returncode) for one in started] == [(b"", 0)] * 3
    db = Database(url)
    assert count(db) == 0
    db.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_must_outlive_the_process(url):
    """A database in memory would be another one in every worker."""
    for call in (upgrade, Database):
        with pytest.raises((StoreError, ValueError), match="names no file"):
            call(url)


def spoil(registry, statement):
    with registry.db.write() as session:
        session.execute(text(statement))
    return registry.url


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda registry, file: "nosuch://host/name", "nosuch"),
        (lambda registry, file: "no url", "URL"),
        (lambda registry, file: f"sqlite:///{file.parent}", "directory"),
        (lambda registry, file: f"sqlite:///{file}", "not a database"),
        (
            lambda registry, file: spoil(registry, "UPDATE alembic_version SET version_num = 'newer'"),
            "newer",
        ),
        (lambda registry, file: spoil(registry, "DROP TABLE alembic_version"), "already exists"),
    ],
    ids=["unknown kind", "no URL", "a folder", "another file", "a newer server's", "another program's"],
)
def test_what_is_no_store_of_ours_is_told_in_one_line(registry, tmp_path, make, cause):
    """Whoever starts a server learns what is wrong with its database, and where to set another."""
    file = tmp_path / "notes.txt"
    file.write_text("This is no database, and long enough to show it. " * 50, encoding="utf-8")
    before = file.read_bytes()
    with pytest.raises(StoreError, match="database_url") as caught:
        upgrade(make(registry, file))
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before


def test_a_failure_rolls_everything_back(registry):
    """A transaction is kept whole or not at all."""

    def write():
        with registry.db.write() as session:
            session.add(account())
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert count(registry.db) == 0
    registry.account("ada")
    assert count(registry.db) == 1


def test_what_a_reader_does_is_not_kept(registry):
    """Only a writer changes anything."""
    with registry.db.read() as session:
        session.add(account())
        session.flush()
    assert count(registry.db) == 0


def test_a_reader_sees_one_moment(registry):
    """A commit that comes between two queries of one reader is not seen by the second."""
    with registry.db.read() as session:
        before = session.scalar(select(func.count()).select_from(AccountRow))
        registry.account("ada")
        assert session.scalar(select(func.count()).select_from(AccountRow)) == before == 0
    assert count(registry.db) == 1


def test_writers_wait_for_each_other(registry):
    """A read and the write that depends on it are not parted by another writer."""
    registry.account("ada")

    def increment():
        for _ in range(5):
            with registry.db.write() as session:
                row = session.scalar(select(AccountRow))
                row.policy_version = row.policy_version + "+"

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with registry.db.read() as session:
        assert session.scalar(select(AccountRow)).policy_version == "2030-01" + 20 * "+"


def test_a_writer_does_not_wait_for_ever(registry, monkeypatch):
    """When another holds the store for too long, the caller is told to come back."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.01)
    db = Database(registry.url)
    with registry.db.write() as session:
        session.add(account())
        session.flush()
        assert count(db) == 0  # readers go on
        with pytest.raises(Unavailable) as caught:
            accounts.set_role(db, "ada", "operator")
    assert (caught.value.code, caught.value.retry_after) == ("store_busy", 1.0)
    db.dispose()


def test_other_failures_of_the_store_stay_what_they_are(registry):
    """Only a busy store is asked again; a broken one is reported."""

    def write():
        with registry.db.write() as session:
            session.execute(text("SELECT * FROM no_such_table"))

    with pytest.raises(OperationalError, match="no such table"):
        write()


def test_references_are_kept(registry):
    """A row that refers to nothing is refused, and the error does not tell what was in it."""
    made = registry.clock.now

    def write():
        with registry.db.write() as session:
            session.add(
                SessionRow(id="s", account_id="none", hash="a-hash", created_at=made, expires_at=made)
            )

    with pytest.raises(IntegrityError) as caught:
        write()
    assert "a-hash" not in str(caught.value)


def test_a_commit_is_lasting(registry):
    """Every connection waits for the disk, and none of them blocks the readers."""
    for work in (registry.db.read, registry.db.write):
        with work() as session:
            assert session.scalar(text("PRAGMA journal_mode")) == "wal"
            assert session.scalar(text("PRAGMA synchronous")) == 2
            assert session.scalar(text("PRAGMA foreign_keys")) == 1


def test_times_are_kept_in_utc(registry, ada):
    """A time comes back as the same moment, in UTC, whatever zone it was given in."""
    given = datetime(2030, 6, 1, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    with registry.db.write() as session:
        session.get(AccountRow, ada.account_id).created_at = given
    with registry.db.read() as session:
        read = session.get(AccountRow, ada.account_id).created_at
    assert read == given
    assert read.isoformat() == "2030-05-31T20:00:00.123456+00:00"
    with sqlite3.connect(registry.folder.parent / "maas.db") as plain:
        stored = plain.execute("SELECT created_at FROM accounts").fetchone()
    plain.close()
    assert stored == ("2030-05-31 20:00:00.123456",)


def test_a_time_without_a_zone_is_our_own_defect(registry):
    """It is refused before it gets into the store."""

    def write():
        with registry.db.write() as session:
            session.add(account(created_at=datetime(2030, 1, 1)))  # noqa: DTZ001 - what is refused

    with pytest.raises(StatementError, match="no time zone"):
        write()
    assert count(registry.db) == 0


def test_a_missing_time_stays_missing(registry, ada):
    """A key that never expires has no moment at which it does."""
    row = KeyRow(id="k", account_id=ada.account_id, name="n", prefix="p", last4="l", scopes=["predict"])
    row.created_at = registry.clock.now
    with registry.db.write() as session:
        session.add(row)
    with registry.db.read() as session:
        read = session.get(KeyRow, "k")
        assert (read.expires_at, read.last_used_at, read.scopes) == (None, None, ["predict"])


def test_the_usual_clock_knows_its_zone(registry):
    """Without a clock of its own a database takes the time in UTC."""
    db = Database(registry.url)
    assert db.clock().utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - db.clock()) < timedelta(seconds=5)
    db.dispose()


def test_identifiers_tell_their_kind_and_sort_by_time(monkeypatch):
    """An identifier of a later millisecond is larger; of the same one, different."""
    monkeypatch.setattr("time.time_ns", itertools.count(0, 10**12).__next__)
    made = [new_id("acc") for _ in range(1000)]
    assert made == sorted(made)
    assert all(one.startswith("acc_") and len(one) == 36 for one in made)
    monkeypatch.setattr("time.time_ns", lambda: 10**18)
    assert len({new_id("acc") for _ in range(1000)}) == 1000


def test_a_schema_is_looked_at_and_not_made(tmp_path):
    """No store is no revision and stays none; a store has the newest; one of a newer server is not known."""
    url = f"sqlite:///{tmp_path / 'maas.db'}"
    absent = look_at_schema(url)
    assert absent == Schema(None, absent.newest, is_known=True)
    assert list(tmp_path.iterdir()) == []
    upgrade(url)
    assert look_at_schema(url) == Schema(absent.newest, absent.newest, is_known=True)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    assert look_at_schema(url) == Schema("9999", absent.newest, is_known=False)
