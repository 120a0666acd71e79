import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    create_engine,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.sqlite import dialect

from reference_server.registry import database
from reference_server.registry.database import StoreError, look_at_schema, upgrade

FIRST = json.loads(Path(__file__).with_name("first_store.json").read_text(encoding="utf-8"))


def config(connection=None):
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", database._MIGRATIONS)
    return made


REVISIONS = [each.revision for each in ScriptDirectory.from_config(config()).walk_revisions()][::-1]


def migrate(file, revision):
    """Bring a store to one revision, as the server of that time did."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        command.upgrade(config(connection), revision)
    engine.dispose()


def fill(file):
    """Write the rows of the first release's store."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, rows in FIRST.items():
            for row in rows:
                values = [
                    bytes.fromhex(each["hex"]) if isinstance(each, dict) else each for each in row.values()
                ]
                places = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", values)  # noqa: S608


def add_rows(file):
    """Write a row into every table that has none, by its columns' types."""
    engine = create_engine(f"sqlite:///{file}")
    tables = MetaData()
    tables.reflect(engine)
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            if connection.scalar(select(func.count()).select_from(table)) == 0:
                connection.execute(insert(table).values(row_of(connection, table)))
    engine.dispose()


def row_of(connection, table):
    parents = {}
    for constraint in table.foreign_key_constraints:
        parent = connection.execute(constraint.referred_table.select().limit(1)).mappings().one()
        for element in constraint.elements:
            parents[element.parent.name] = parent[element.column.name]
    return {column.name: parents.get(column.name, value_of(column)) for column in table.columns}


def value_of(column):
    """Return what a column may hold; what it means is its own release's affair."""
    if column.nullable:
        return None
    for kinds, value in (
        (JSON, {}),
        (Boolean, False),
        (DateTime, database.utc_now()),
        (Date, database.utc_now().date()),
        (LargeBinary, b"bytes"),
        ((Integer, BigInteger), 1),
        (Float, 0.5),
        (String, "a text"),
    ):
        if isinstance(column.type, kinds):
            return value
    raise AssertionError(
        f"{column} has a type of which this test knows no value: {column.type.compile(dialect())}"
    )


def rows_of(file):
    """Return every table's rows, by the names of their columns."""
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')]  # noqa: S608
            for name in names
            if name != "alembic_version"
        }


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """Return the files of a store after each release that it has gone through, with rows in every table."""
    folder = tmp_path_factory.mktemp("past")
    file = folder / "maas.db"
    for each in REVISIONS:
        migrate(file, each)
        if each == REVISIONS[0]:
            fill(file)
        add_rows(file)
        shutil.copy(file, folder / each)
    return folder


@pytest.fixture
def made_at(past, tmp_path):
    """Return a function that gives a copy of the store as a release left it."""
    return lambda revision: Path(shutil.copy(past / revision, tmp_path / "maas.db"))


def test_the_files_names_tell_the_revisions():
    """Without Alembic the same is known as with it, in the order of the migrations."""
    assert database._known_revisions() == REVISIONS


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_store_of_any_release_keeps_its_rows(made_at, revision):
    """Every row of every table is there after the upgrade, and every column with what it held."""
    file = made_at(revision)
    before = rows_of(file)
    assert all(before.values())
    upgrade(f"sqlite:///{file}")
    assert look_at_schema(f"sqlite:///{file}").current == REVISIONS[-1]
    after = rows_of(file)
    for table, rows in before.items():
        columns = rows[0].keys() & after[table][0].keys()
        assert [{name: row[name] for name in columns} for row in after[table]] == [
            {name: row[name] for name in columns} for row in rows
        ]
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_first_releases_store_is_filled_whole(tmp_path):
    """The rows that are written down are of every table that there was."""
    file = tmp_path / "maas.db"
    migrate(file, REVISIONS[0])
    assert set(FIRST) == set(rows_of(file))


def test_a_table_that_is_made_anew_takes_no_rows_with_it(made_at, monkeypatch):
    """SQLite changes some columns by making the table anew, which must not delete what refers to its rows."""
    file = made_at(REVISIONS[0])
    before = rows_of(file)

    def make_anew(config, _revision):
        connection = config.attributes["connection"]
        for statement in (
            "CREATE TABLE models_anew AS SELECT * FROM models",
            "DROP TABLE models",
            f"CREATE TABLE models (id PRIMARY KEY, {', '.join(list(before['models'][0])[1:])})",
            "INSERT INTO models SELECT * FROM models_anew",
            "DROP TABLE models_anew",
        ):
            connection.exec_driver_sql(statement)

    monkeypatch.setattr(command, "upgrade", make_anew)
    upgrade(f"sqlite:///{file}")
    assert rows_of(file) == before


def test_an_upgrade_that_leaves_references_to_nothing_is_undone(made_at, monkeypatch):
    """Whatever a migration has done, a store with dangling references is not kept."""
    file = made_at(REVISIONS[0])
    before = rows_of(file)

    def lose(config, _revision):
        config.attributes["connection"].exec_driver_sql("DELETE FROM models")

    monkeypatch.setattr(command, "upgrade", lose)
    with pytest.raises(StoreError, match="alias_changes, aliases, versions"):
        upgrade(f"sqlite:///{file}")
    assert rows_of(file) == before


def test_a_newer_servers_store_is_refused(made_at):
    """A store whose revision is not known stays as it is, and the message says which server it needs."""
    file = made_at(REVISIONS[-1])
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = rows_of(file)
    with pytest.raises(StoreError, match=f"newer server.*9999.*{REVISIONS[-1]}"):
        upgrade(f"sqlite:///{file}")
    assert rows_of(file) == before
