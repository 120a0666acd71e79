"""Makes a backup: the database at one moment (SQLite's online backup) and every artifact that it names."""

from __future__ import annotations

import os
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from reference_server.backups.files import (
    check_database,
    check_free,
    copy,
    create,
    errors_told,
    look,
    staging,
    sync,
    write,
)
from reference_server.backups.manifest import (
    ARTIFACTS,
    DATABASE,
    MANIFEST,
    TAR,
    BackedUpFile,
    BackupError,
    Manifest,
)
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.database import Database, look_at_schema
from reference_server.registry.folders import sync_folder
from reference_server.registry.inventory import named_artifacts

if TYPE_CHECKING:
    from reference_server.settings import Settings

# What is deleted while it is copied is looked at again; nobody deletes as often as this in that time.
_MOST_ROUNDS = 10


def back_up(settings: Settings, target: Path) -> Manifest:
    """Copy the embedded store; servers may use it meanwhile.

    Args:
        settings: Where it is.
        target: A folder that is not there yet or is empty; or a file, if its name ends in `.tar`.

    Raises:
        BackupError: There is no embedded store, or it cannot be copied to there.
    """
    source = _embedded(settings)
    if not source.is_file():
        raise BackupError(f"there is no store at {source}; check --data-dir (MAAS_SERVER_DATA_DIR)")
    check_free(target)
    with errors_told(target), staging(target, "partial") as folder:
        copied = _copy_store(source, ArtifactStore(settings.artifacts), folder)
        manifest = Manifest(
            made_at=datetime.now(UTC),
            made_by=f"maas-client {version('maas-client')}",
            schema_revision=look_at_schema(f"sqlite:///{folder / DATABASE}").current,
            files=tuple(sorted(copied, key=lambda file: file.path)),
        )
        write(folder / MANIFEST, manifest.model_dump_json(indent=2).encode())
        sync(folder / ARTIFACTS, folder)
        if target.suffix == TAR:
            _pack(folder, manifest, target)
        else:
            folder.rename(target)
        sync_folder(target.absolute().parent)
    return manifest


def _embedded(settings: Settings) -> Path:
    """Return the database's file; what lies elsewhere has better means of its own."""
    if settings.database_url is not None and not settings.database_url.startswith("sqlite:"):
        raise BackupError(
            "the database is not the embedded one: back it up by its own means, such as pg_dump "
            "--format=custom, and the artifacts after it; only what is deleted in between can be missing"
        )
    if settings.artifacts_url is not None:
        raise BackupError(
            f"the artifacts are at {settings.artifacts_url}, not in the data directory: use the object "
            "store's own versioning or replication, and back the database up before them, by SQLite's .backup"
        )
    return Path(str(make_url(settings.database).database))


def _copy_store(source: Path, store: ArtifactStore, folder: Path) -> list[BackedUpFile]:
    """Copy database and artifacts until all that the copied rows name is there.

    Artifacts never change, so what was copied stays right; what is deleted meanwhile is not in the next copy
    of the database.
    """
    copied: dict[str, BackedUpFile] = {}
    for _ in range(_MOST_ROUNDS):
        named = _copy_database(source, folder / DATABASE)
        for name in copied.keys() - named:
            (folder / ARTIFACTS / name).unlink()
            del copied[name]
        missing = [name for name in sorted(named - copied.keys()) if not _copied(store, name, folder, copied)]
        if not missing:
            return [*copied.values(), look(folder / DATABASE, DATABASE)]
    raise BackupError(
        f"{', '.join(missing[:5])} ({len(missing)} in all) are named by the store and are not there; "
        "`maas-server doctor` tells whose they are: publish these again, or delete them, then back up"
    )


def _copied(store: ArtifactStore, name: str, folder: Path, copied: dict[str, BackedUpFile]) -> bool:
    path = f"{ARTIFACTS}/{name}"
    try:
        with store.open_reader(name) as content:
            copied[name] = copy(content, folder / path, path)
    except FileNotFoundError:
        return False
    return True


def _copy_database(source: Path, target: Path) -> set[str]:
    """Copy the database as it is at one moment, and return the artifacts that its rows name."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as live,
        closing(sqlite3.connect(target)) as kept,
    ):
        live.backup(kept)
    database = Database(f"sqlite:///{target}")
    try:
        with database.read() as session:
            named = named_artifacts(session)
    finally:
        database.dispose()
    check_database(target)
    return named


def _pack(folder: Path, manifest: Manifest, target: Path) -> None:
    """Put a staged backup into one file, its manifest last: an archive that was cut off has none."""
    partial = folder.with_name(f"{folder.name}{TAR}")
    try:
        with create(partial) as file, tarfile.open(fileobj=file, mode="w") as archive:
            for path in (*(each.path for each in manifest.files), MANIFEST):
                archive.add(folder / path, arcname=path)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
