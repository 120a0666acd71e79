"""The artifact store: sealed artifacts, written and read in chunks; nothing else sees where they lie.

An artifact is there whole or not at all. In a local folder that takes a temporary file, fsync, a rename and
fsync of the folder, in this order; an object store makes an object visible only when it is complete.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from reference_server.registry.faults import storage_faults
from reference_server.registry.folders import make_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

_TEMPORARY = ".uploading-"


class Writer:
    """An artifact being written: a binary file to write to, and then `commit`.

    Its `size`, in bytes, is that of what was written so far.
    """

    def __init__(self, store: ArtifactStore, file: IO[bytes], temporary: str) -> None:
        self._store = store
        self._file = file
        self._temporary = temporary
        self.size = 0
        self.committed = False

    def write(self, chunk: bytes) -> int:
        """Append a chunk; returns its length."""
        self._file.write(chunk)
        self.size += len(chunk)
        return len(chunk)

    def flush(self) -> None:
        """Do nothing: only `commit` makes anything lasting."""

    def close(self) -> None:
        """Take no more bytes; what was not committed is lost."""
        self._file.close()

    def commit(self, name: str) -> None:
        """Make everything written lasting, under a name; an artifact of that name is replaced."""
        self._store._commit(self._file, self._temporary, name)  # noqa: SLF001 - the store's other half
        self.committed = True


class ArtifactStore:
    """Packages in a folder, or below an fsspec URL such as `s3://bucket/prefix`.

    Args:
        url: The folder or the URL.
    """

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)
        self._is_local = isinstance(self._files, LocalFileSystem)
        if self._is_local:
            make_folder(Path(self._root))

    @contextlib.contextmanager
    def open_writer(self) -> Iterator[Writer]:
        """Give a writer; what is not committed at the end is removed.

        Raises:
            StorageFull, Unavailable: There is no room, or the store cannot be written (`faults.py`).
        """
        temporary = self._path(_TEMPORARY + secrets.token_hex(16))
        with storage_faults(), contextlib.ExitStack() as undo:
            writer = Writer(self, undo.enter_context(self._create(temporary)), temporary)
            undo.callback(self._discard, writer, temporary)
            yield writer

    def open_reader(self, name: str) -> IO[bytes]:
        """Open an artifact for reading, seekable.

        Raises:
            FileNotFoundError: When it is not there.
        """
        return cast("IO[bytes]", self._files.open(self._path(name), "rb"))

    def exists(self, name: str) -> bool:
        """Tell whether an artifact is there."""
        return bool(self._files.exists(self._path(name)))

    def delete(self, name: str) -> None:
        """Remove an artifact; one that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def old(self, *, than_seconds: float) -> list[str]:
        """Return the names of everything written longer ago than this, unfinished uploads included."""
        self._files.invalidate_cache()
        before = time.time() - than_seconds
        found = self._files.ls(self._root, detail=True) if self._files.exists(self._root) else []
        return sorted(
            str(entry["name"]).rsplit("/", 1)[-1]
            for entry in found
            if entry["type"] == "file" and self._written_at(entry) < before
        )

    def sweep(self, known: Collection[str], *, older_than_seconds: float) -> list[str]:
        """Delete everything old that is not among the known names, and return what it was."""
        orphans = [name for name in self.old(than_seconds=older_than_seconds) if name not in known]
        for name in orphans:
            self.delete(name)
        return orphans

    def _path(self, name: str) -> str:
        if not name or "/" in name or "\\" in name or name in (".", ".."):
            raise ValueError(f"{name!r} is not a plain artifact name")
        return f"{self._root}/{name}"

    def _create(self, path: str) -> IO[bytes]:
        if self._is_local:
            # Made before it is opened, so that it is never readable to others.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return cast("IO[bytes]", self._files.open(path, "wb"))

    def _commit(self, file: IO[bytes], temporary: str, name: str) -> None:
        path = self._path(name)
        if not self._is_local:
            file.close()
            self._files.mv(temporary, path)
            return
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(temporary, path)  # noqa: PTH105 - fsspec speaks in strings
        sync_folder(Path(self._root))

    def _discard(self, writer: Writer, temporary: str) -> None:
        if not writer.committed:
            try:
                # On a full disk what is buffered still cannot be written.
                writer.close()
            finally:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(temporary)

    def _written_at(self, entry: dict[str, object]) -> float:
        if self._is_local:
            return cast("float", entry["mtime"])
        return cast("datetime", self._files.modified(entry["name"])).timestamp()
