"""What `maas-server doctor` looks for in the data itself: rights, integrity, artifacts, room to work.

Nothing is changed, and what a running server writes meanwhile does no harm.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from reference_server import open_files
from reference_server.doctor import Finding
from reference_server.registry.inventory import named_artifacts, package_sizes
from reference_server.tls import TlsError, expiry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_server.settings import Settings

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MOST_NAMED = 5
_SOON = timedelta(days=14)


def permissions(settings: Settings) -> Iterator[Finding]:
    """See whether anybody but the owner can reach what lies in the data directory."""
    folder = settings.data_dir
    if os.name != "posix" or not folder.is_dir():
        return
    open_to_others = [path for path in (folder, *sorted(folder.rglob("*"))) if _is_open(path)]
    if not open_to_others:
        yield Finding("permissions", "ok", f"{folder} and all that is in it are for their owner alone")
        return
    told = f"others can reach {_listed([str(path) for path in open_to_others])}"
    yield Finding("permissions", "warn", told, f"chmod -R go= {folder}")


def integrity(settings: Settings) -> Iterator[Finding]:
    """Let SQLite check the whole database, and every reference in it."""
    file = _database_file(settings)
    if file is None:
        return
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            faults = [row[0] for row in connection.execute(f"PRAGMA integrity_check({_MOST_NAMED})")]
            dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.Error as error:
        faults, dangling = [str(error)], []
    if faults != ["ok"]:
        remedy = (
            "stop the server, keep a copy of the data directory, and `maas-server restore` a backup elsewhere"
        )
        yield Finding("integrity", "fail", f"{file} is damaged: {'; '.join(faults)}", remedy)
    elif dangling:
        tables = ", ".join(sorted({row[0] for row in dangling}))
        told = f"{len(dangling)} rows of {tables} refer to rows that are not there"
        yield Finding("integrity", "fail", told, "`maas-server restore` a backup elsewhere")
    else:
        yield Finding("integrity", "ok", f"{file} is whole")


def stored_artifacts(settings: Settings) -> Iterator[Finding]:
    """Hold the artifacts that the rows name against those that are there, and their sizes."""
    if _database_file(settings) is None or settings.artifacts_url is not None:
        return
    engine = create_engine(make_url(settings.database), hide_parameters=True)
    try:
        with Session(engine) as session:
            named, sizes = named_artifacts(session), package_sizes(session)
    except SQLAlchemyError:
        # Of an older schema, or damaged: that is told already.
        return
    finally:
        engine.dispose()
    folder = Path(settings.artifacts)
    there = {file.name: file.stat().st_size for file in folder.iterdir()} if folder.is_dir() else {}
    remedy = "put them back from a backup, or publish these versions again"
    if missing := sorted(named - there.keys()):
        yield Finding("stored packages", "fail", f"{len(missing)} are missing: {_listed(missing)}", remedy)
    wrong = sorted(name for name, size in sizes.items() if there.get(name, size) != size)
    if wrong:
        told = f"{len(wrong)} have not the size that they were stored with: {_listed(wrong)}"
        yield Finding("stored packages", "fail", told, remedy)
    if not missing and not wrong:
        yield Finding("stored packages", "ok", f"all {len(named)} that the store names are there")


def certificate_expiry(settings: Settings) -> Iterator[Finding]:
    """Tell how long the certificate still holds."""
    if settings.tls_cert is None:
        return
    try:
        ends = expiry(settings.tls_cert)
    except TlsError:
        # That it cannot be loaded is told already.
        return
    left, told = ends - datetime.now(UTC), f"{ends:%Y-%m-%d %H:%M} UTC"
    remedy = "renew it and put it in the place of the old one: a running server takes it up by itself"
    if left <= timedelta():
        yield Finding("TLS: expiry", "fail", f"the certificate expired at {told}", remedy)
    elif left <= _SOON:
        yield Finding("TLS: expiry", "warn", f"the certificate expires at {told}", remedy)
    else:
        yield Finding("TLS: expiry", "ok", f"the certificate holds until {told}")


def files(settings: Settings) -> Iterator[Finding]:
    """Hold the connections that the settings allow against the files that a process may open."""
    if os.name != "posix":
        return
    open_files.raise_limit()
    there, wanted = open_files.most_connections(), settings.max_connections
    if there < wanted:
        told = f"enough for {there} connections of each worker, and max_connections is {wanted}"
        yield Finding("open files", "warn", told, "raise the limit (ulimit -n, systemd's LimitNOFILE)")
    else:
        yield Finding("open files", "ok", f"{open_files.limit()}, and max_connections is {wanted}")


def _database_file(settings: Settings) -> Path | None:
    """Return the embedded database's file; None where there is none."""
    url = make_url(settings.database)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    file = Path(url.database)
    return file if file.is_file() else None


def _is_open(path: Path) -> bool:
    try:
        return bool(path.lstat().st_mode & _OTHERS) and not path.is_symlink()
    except FileNotFoundError:  # a temporary file of the server's
        return False


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
