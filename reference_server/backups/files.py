"""The files of a backup on their way: beside their place until all are there, for their owner alone."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sqlite3
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from reference_server.backups.manifest import ARTIFACTS, TAR, BackedUpFile, BackupError
from reference_server.registry.database import StoreError, look_at_schema
from reference_server.registry.folders import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 2**20


def check_free(target: Path) -> None:
    """Refuse a place where something is already, or whose folder is not there."""
    if target.is_dir() and not any(target.iterdir()) and target.suffix != TAR:
        return
    if target.exists() or target.is_symlink():
        raise BackupError(f"{target} is there already and is not overwritten; name another place")
    if not target.absolute().parent.is_dir():
        raise BackupError(f"{target.absolute().parent} is no folder; make it first")


@contextmanager
def errors_told(target: Path) -> Iterator[None]:
    """Tell what the system or the database found wrong as a `BackupError`."""
    try:
        yield
    except (OSError, sqlite3.Error, SQLAlchemyError, StoreError) as error:
        raise BackupError(f"{target} was not made: {error}") from error


@contextmanager
def staging(target: Path, what: str) -> Iterator[Path]:
    """Give a folder beside the target, which takes its name once all is in it, and else is removed."""
    beside = target.absolute().parent / f".{target.name}.{what}-{secrets.token_hex(8)}"
    (beside / ARTIFACTS).mkdir(mode=0o700, parents=True)
    beside.chmod(0o700)
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def copy(content: IO[bytes], target: Path, path: str) -> BackedUpFile:
    """Copy what can be read into a new, lasting file, and describe it by its `path` in the backup."""
    sha256, size = hashlib.sha256(), 0
    with create(target) as file:
        while chunk := content.read(_CHUNK):
            file.write(chunk)
            sha256.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return BackedUpFile(path=path, size=size, sha256=sha256.hexdigest())


def look(file: Path, path: str) -> BackedUpFile:
    """Make a file lasting, and describe it by its `path` in the backup."""
    with file.open("rb") as content:
        os.fsync(content.fileno())
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return BackedUpFile(path=path, size=file.stat().st_size, sha256=sha256)


def create(target: Path) -> IO[bytes]:
    """Open a new file for its owner alone."""
    # Never readable to others, not even while it is empty.
    return os.fdopen(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def write(target: Path, content: bytes) -> None:
    """Write a new, lasting file."""
    with create(target) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(*folders: Path) -> None:
    """Make the names in some folders lasting."""
    for folder in folders:
        sync_folder(folder)


def check_database(file: Path) -> None:
    """Refuse a database that is damaged or that this server does not know; leaves it in one file."""
    with closing(sqlite3.connect(file)) as connection:
        # The copy has no log beside it that could be forgotten.
        connection.execute("PRAGMA journal_mode = DELETE")
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise BackupError(f"the database is damaged: {found}; use an older backup")
    schema = look_at_schema(f"sqlite:///{file}")
    if not schema.is_known:
        raise BackupError(
            f"the database has schema {schema.current}, and this server knows them up to {schema.newest}; "
            "use the release that made it, or a newer one"
        )
