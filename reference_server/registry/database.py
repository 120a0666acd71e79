"""The store's connections and transactions; the one module that knows which database it is.

On both databases one writer runs at a time: on SQLite by BEGIN IMMEDIATE, on PostgreSQL by an advisory lock
of the transaction. Writes are rare (no prediction makes one), and a check followed by an insert cannot race.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import orjson
from sqlalchemy import column, create_engine, event, inspect, make_url, select, table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from reference_server.registry.faults import storage_faults
from reference_server.registry.folders import make_folder
from reference_server.security.master_keys import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL, Connection, Engine

    from reference_server.security.master_keys import MasterKeys

_BUSY_SECONDS = 10.0
# A caller waits for the answer meanwhile; whoever still reads then may read for long.
_CHECKPOINT_MILLISECONDS = 500
_WAL_RETRY_SECONDS = 0.01
_WRITES = "maas_writes"
_CLOCK = "maas_clock"
_MASTER_KEYS = "maas_master_keys"
_CACHE_KIBIBYTES = 8192
_MIGRATIONS = "reference_server.registry:migrations"
_REVISIONS = table("alembic_version", column("version_num"))
# Any fixed number, as long as nothing else in the same PostgreSQL database uses it: "maas" in ASCII.
_WRITER_LOCK = 0x6D616173


# What other rooms, which know no SQL, get from one function here and give to the next.
Transaction: TypeAlias = Session


class StoreError(Exception):
    """The store cannot be opened; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Which revision of the tables a store has.

    Args:
        current: Its own; None when there is no store or nothing in it.
        newest: This server's.
        is_known: Whether this server knows the store's own; a newer server's it does not.
    """

    current: str | None
    newest: str | None
    is_known: bool


@dataclass(frozen=True, slots=True)
class _Joint:
    """A transaction of several writes, and what is to be done after its commit."""

    session: Session
    afterwards: list[Callable[[], None]] = field(default_factory=list)


_joint: ContextVar[_Joint | None] = ContextVar("joint", default=None)


def utc_now() -> datetime:
    """Return the time as an aware datetime in UTC."""
    return datetime.now(UTC)


def now(session: Session) -> datetime:
    """Return the time by the clock of the store that a session is of."""
    time: datetime = session.info[_CLOCK]()
    return time


def master_keys(session: Session) -> MasterKeys:
    """Return the keys that the store of a session is opened with.

    Raises:
        MasterKeyError: When it was opened without any.
    """
    keys: MasterKeys | None = session.info[_MASTER_KEYS]
    if keys is None:
        raise MasterKeyError("this part of the store is sealed, and it was opened without a master key")
    return keys


class Database:
    """The registry's store.

    Args:
        url: SQLAlchemy URL of an SQLite file or a PostgreSQL database that `upgrade` has prepared.
        master_keys: What seals the keys in it; without them nothing that is sealed opens.
        clock: The time that rows get and expiries are held against; aware.
    """

    def __init__(
        self, url: str, *, master_keys: MasterKeys | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.clock = clock
        self._master_keys = master_keys
        self._reader = _open(url)
        self._writer = self._reader.execution_options(**{_WRITES: True})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session whose queries see one state of the store; nothing it does is kept."""
        with storage_faults(), self._session(self._reader) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give the session of the only writer; commits at the end, rolls back on any exception.

        Raises:
            Unavailable, StorageFull: When another writer holds the store for too long, or it cannot be
                written (`faults.py`).
        """
        with storage_faults(), self._transaction() as session:
            yield session

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make everything that the block writes one transaction, which begins with the first write.

        A `write` in it that raises is undone by itself. Readers do not see what is not committed. Within
        another such block it is a part of that one's transaction.
        """
        if _joint.get() is not None:
            yield
            return
        with storage_faults(), self._session(self._writer) as session:
            joint = _Joint(session)
            token = _joint.set(joint)
            try:
                yield
                session.commit()
            finally:
                _joint.reset(token)
        for act in joint.afterwards:
            act()

    def when_committed(self, act: Callable[[], None]) -> None:
        """Do something once what was written can be seen: now, or at the end of `together`."""
        joint = _joint.get()
        if joint is None:
            act()
        else:
            joint.afterwards.append(act)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        joint = _joint.get()
        if joint is None:
            with self._session(self._writer) as session, session.begin():
                yield session
        else:
            with joint.session.begin_nested():
                yield joint.session

    def _session(self, engine: Engine) -> Session:
        return Session(
            engine, expire_on_commit=False, info={_CLOCK: self.clock, _MASTER_KEYS: self._master_keys}
        )

    @property
    def how_overwritten(self) -> str:
        """What `overwrite` does, for people."""
        if self._reader.dialect.name == "sqlite":
            return "the database overwrote them with zeros, and its write-ahead log was emptied"
        return "the database server reuses their room by its own vacuum"

    @property
    def not_overwritten(self) -> tuple[str, ...]:
        """What stays of deleted rows for a while, sealed keys among them, for people."""
        if self._reader.dialect.name == "sqlite":
            return ()
        told = (
            "deleted rows, sealed keys among them, in the database server's files until its vacuum has been "
            "there, and in its own log, its replicas and their archives for as long as those are kept"
        )
        return (told,)

    def overwrite(self) -> bool:
        """Write SQLite's log back and empty it, so that no file has what was deleted; tell whether it could.

        The rows themselves are overwritten with zeros when they are deleted (`secure_delete`), but the log
        still has the pages as they were. A reader that began before holds it, for as long as it reads.
        """
        if self._reader.dialect.name != "sqlite":
            return True
        connection = self._reader.raw_connection()
        try:
            connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_MILLISECONDS}")
            is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")
        finally:
            connection.close()
        return not is_busy

    def dispose(self) -> None:
        """Close every pooled connection."""
        self._reader.dispose()


def upgrade(url: str) -> None:
    """Bring the store's tables to the newest revision, making the file and its folder if need be.

    Runs whole or not at all, in the one writer's transaction, so workers that start together wait in line.

    Raises:
        StoreError: When there is no such database, or what is there is none of ours.
    """
    try:
        _upgrade(url)
    except (OSError, ImportError, ValueError, SQLAlchemyError) as error:
        raise StoreError(
            f"the store cannot be opened: {_cause(error)}; check database_url (MAAS_SERVER_DATABASE_URL) or "
            "the data directory"
        ) from error


def look_at_schema(url: str) -> Schema:
    """Look at a store's schema without changing anything; an SQLite file that is not there is not made.

    Raises:
        StoreError: When there is no such database, or it cannot be read.
    """
    try:
        return _read_schema(url)
    except (OSError, ImportError, ValueError, SQLAlchemyError) as error:
        raise StoreError(f"the store cannot be read: {_cause(error)}") from error


def _read_schema(url: str) -> Schema:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(_sqlite_path(parsed)).exists():
        return _schema(None)
    # Not `_open`: what it sets would change the file.
    engine = create_engine(parsed, hide_parameters=True)
    try:
        with engine.connect() as connection:
            return _schema(connection)
    finally:
        engine.dispose()


def _schema(connection: Connection | None) -> Schema:
    current = None if connection is None else _revision(connection)
    known = _known_revisions()
    return Schema(current, known[-1], current is None or current in known)


def _revision(connection: Connection) -> str | None:
    """Return what Alembic noted; without Alembic, which takes longer to import than a store to open."""
    if not inspect(connection).has_table(_REVISIONS.name):
        return None
    revision: str | None = connection.scalar(select(_REVISIONS.c.version_num))
    return revision


def _known_revisions() -> list[str]:
    """Return this server's revisions, oldest first; each is the number that its file's name begins with."""
    package, _, folder = _MIGRATIONS.partition(":")
    files = (resources.files(package) / folder / "versions").iterdir()
    return sorted(file.name.partition("_")[0] for file in files if file.name[0].isdecimal())


def _refuse_newer(schema: Schema) -> None:
    if not schema.is_known:
        raise StoreError(
            f"the store was made by a newer server: its tables are at revision {schema.current}, and this "
            f"server knows them up to {schema.newest}; run the newer one, or set the data directory or "
            "database_url (MAAS_SERVER_DATABASE_URL) to a copy from before the upgrade"
        )


def _upgrade(url: str) -> None:
    _make_file(make_url(url))
    engine = _open(url, for_migration=True)
    try:
        with engine.execution_options(**{_WRITES: True}).begin() as connection:
            schema = _schema(connection)
            if schema.current != schema.newest:
                _refuse_newer(schema)
                _migrate(connection)
                _check_references(connection)
    finally:
        engine.dispose()


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _MIGRATIONS)
    command.upgrade(config, "head")


def _check_references(connection: Connection) -> None:
    """Refuse a migration that left a reference to nothing.

    SQLite changes a table by making a new one and dropping the old, which with references held would delete
    what refers to it; so they are not held then, and are checked at the end (sqlite.org, "ALTER TABLE", 7).
    """
    if connection.dialect.name != "sqlite":
        return
    if dangling := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
        tables = ", ".join(sorted({row[0] for row in dangling}))
        raise StoreError(
            f"the store was not upgraded: {len(dangling)} rows of {tables} refer to rows that are not there; "
            "restore a copy that passes SQLite's PRAGMA foreign_key_check"
        )


def _cause(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name in ("psycopg", "psycopg2"):
        return (
            f"its driver is not installed ({error.name}): write postgresql+psycopg://… and run pip install "
            "'maas-client[server,postgres]'"
        )
    if isinstance(error, ModuleNotFoundError):
        return f"its driver is not installed ({error.name})"
    # What SQLAlchemy wraps around the driver's words is an address on the web.
    text = str(error.orig if isinstance(error, DBAPIError) else error)
    return " ".join(text.split())


def _make_file(url: URL) -> None:
    if url.get_backend_name() != "sqlite":
        return
    file = Path(_sqlite_path(url))
    make_folder(file.parent)
    # SQLite gives its -wal and -shm files the mode of the database file.
    file.touch(mode=0o600)
    file.chmod(0o600)


def _sqlite_path(url: URL) -> str:
    if url.database in (None, "", ":memory:") or "mode" in url.query:
        raise ValueError(
            f"database URL {url.render_as_string()!r} names no file, and the registry outlives one process; "
            "use sqlite:////path/to/maas.db or a PostgreSQL URL"
        )
    return str(url.database)


def _open(url: str, *, for_migration: bool = False) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        _sqlite_path(parsed)
        engine = create_engine(
            # Parameters hold addresses, hashes and notes, which have no place in a traceback.
            parsed,
            connect_args={"timeout": _BUSY_SECONDS},
            hide_parameters=True,
            json_deserializer=orjson.loads,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        if not for_migration:
            event.listen(engine, "connect", _hold_references)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(parsed, pool_pre_ping=True, hide_parameters=True, json_deserializer=orjson.loads)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver must not open or commit transactions by itself (sqlite3, "Transaction control").
    connection.isolation_level = None
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    # What is deleted is overwritten with zeros, and not only marked as free.
    connection.execute("PRAGMA secure_delete = ON")


def _hold_references(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # With the default of 2 MB a filter over 10,000 models reads each page of their table anew, twice as slow.
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")


def _use_wal(connection: sqlite3.Connection) -> None:
    # Of two processes that switch a new file to WAL at once, one fails without waiting: SQLite leaves the
    # busy handler out where waiting could deadlock (sqlite.org, sqlite3_busy_handler).
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _sqlite_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")


def _sqlite_code(error: sqlite3.Error) -> int:
    # The low byte is the primary result code, the rest tells the kind (sqlite.org, "Result Codes").
    return error.sqlite_errorcode & 0xFF
