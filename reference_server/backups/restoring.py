"""Makes a data directory of a backup, once all of it was found whole."""

from __future__ import annotations

import tarfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from pydantic import ValidationError

from reference_server.backups.audited import mark_restored
from reference_server.backups.files import check_database, check_free, copy, errors_told, staging, sync
from reference_server.backups.manifest import ARTIFACTS, DATABASE, MANIFEST, BackupError, Manifest
from reference_server.registry.folders import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def restore(source: Path, data_dir: Path) -> Manifest:
    """Make a data directory of a backup, once everything in it was found whole.

    Args:
        source: The folder or file that `back_up` made.
        data_dir: A folder that is not there yet or is empty.

    Raises:
        BackupError: It is no whole backup, a newer server made it, or there is something in the folder.
    """
    check_free(data_dir)
    with errors_told(data_dir), staging(data_dir, "restoring") as folder, _opened(source) as files:
        manifest = files.manifest()
        for file in manifest.files:
            with files.open(file.path) as content:
                found = copy(content, folder / file.path, file.path)
            if found != file:
                raise BackupError(
                    f"{file.path} in {source} is damaged: it has {found.size} bytes with the sha256 "
                    f"{found.sha256}, and the manifest says {file.size} with {file.sha256}; use another "
                    "backup"
                )
        check_database(folder / DATABASE)
        mark_restored(folder)
        sync(folder / ARTIFACTS, folder)
        # An empty folder gives way to a whole one in one step (rename(2)).
        folder.rename(data_dir)
        sync_folder(data_dir.absolute().parent)
    return manifest


class _Folder:
    """A backup in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, path: str) -> IO[bytes]:
        """Open one of its files."""
        try:
            return (self._folder / path).open("rb")
        except FileNotFoundError as error:
            raise _not_whole(self._folder, path) from error

    def manifest(self) -> Manifest:
        """Read what it holds."""
        with self.open(MANIFEST) as file:
            return _manifest(file.read(), self._folder)


class _Archive:
    """A backup in one file."""

    def __init__(self, archive: tarfile.TarFile, file: Path) -> None:
        self._archive, self._file = archive, file

    def open(self, path: str) -> IO[bytes]:
        """Open one of its files; links and devices are none."""
        try:
            content = self._archive.extractfile(path)
        except KeyError as error:
            raise _not_whole(self._file, path) from error
        if content is None:
            raise _not_whole(self._file, path)
        return content

    def manifest(self) -> Manifest:
        """Read what it holds."""
        with self.open(MANIFEST) as file:
            return _manifest(file.read(), self._file)


@contextmanager
def _opened(source: Path) -> Iterator[_Folder | _Archive]:
    if source.is_dir():
        yield _Folder(source)
        return
    try:
        archive = tarfile.open(source)  # noqa: SIM115 - closed below; only opening it is to be told apart
    except FileNotFoundError as error:
        raise BackupError(f"there is no backup at {source}") from error
    except tarfile.TarError as error:
        raise BackupError(f"{source} is neither a folder nor an archive that can be read: {error}") from error
    with archive:
        try:
            yield _Archive(archive, source)
        except tarfile.TarError as error:
            raise BackupError(f"{source} cannot be read to its end: {error}; use another backup") from error


def _not_whole(source: Path, path: str) -> BackupError:
    return BackupError(f"{source} is no whole backup: it has no {path}; use another one")


def _manifest(content: bytes, source: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BackupError(f"{MANIFEST} of {source} cannot be read: {error.errors()[0]['msg']}") from error
    if DATABASE not in {file.path for file in manifest.files}:
        raise _not_whole(source, DATABASE)
    return manifest
