"""Stored packages, read back in chunks: who may download which, and what its bytes are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self

from sqlalchemy import update

from reference_server.errors import Forbidden
from reference_server.registry import names, versions
from reference_server.registry.tables import VersionRow

if TYPE_CHECKING:
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

_CHUNK = 2**18


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact as it lies in the store.

    Args:
        artifact: Its name there.
        sha256: Of its bytes, in hexadecimal.
        size: In bytes.
    """

    artifact: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Download:
    """A package that a caller may have; `name` is its model's own, without the account."""

    name: str
    version: int
    stored: Stored


class Chunks:
    """A part of an artifact, opened at once and read piece by piece.

    Args:
        file: The artifact, seekable; closed by `close`.
        start: The first byte.
        stop: The one after the last.
    """

    def __init__(self, file: IO[bytes], start: int, stop: int) -> None:
        file.seek(start)
        self._file = file
        self._left = stop - start

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        chunk = self._file.read(min(_CHUNK, self._left))
        if not chunk:
            raise StopIteration
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Let go of the artifact."""
        self._file.close()


def find(db: Database, store: ArtifactStore, caller: Caller, model: str, selector: str) -> Download:
    """Return what a caller downloads when they ask for a version's package.

    Args:
        db: The registry.
        store: Where the packages are.
        caller: Who asks; the model's owner and its publishers get it.
        model: The model's name.
        selector: A number, an alias or `latest`.

    Raises:
        NotFound: When the model or the version is not there.
        Forbidden: With code `not_downloadable`.
    """
    with db.read() as session:
        found = names.visible(session, caller, model)
        number = versions.select_number(session, found.row.id, selector)
        if not found.allows(names.PUBLISHER):
            raise Forbidden(
                f"{model!r} may be used but not downloaded; its owner and its publishers can download its "
                "packages",
                code="not_downloadable",
                param="model",
            )
        row = session.get_one(VersionRow, (found.row.id, number))
    if row.artifact_sha256 is None:
        return Download(found.row.name, number, _measure(db, store, row))
    return Download(found.row.name, number, Stored(row.artifact, row.artifact_sha256, row.size))


def open_chunks(store: ArtifactStore, stored: Stored, start: int, stop: int) -> Chunks:
    """Open the bytes from `start` up to before `stop`; the caller closes them."""
    return Chunks(store.open_reader(stored.artifact), start, stop)


def _measure(db: Database, store: ArtifactStore, row: VersionRow) -> Stored:
    # Published before the sum was kept: it is read through once, and then known.
    with store.open_reader(row.artifact) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any file will do
        size = file.tell()
    with db.write() as session:
        session.execute(
            update(VersionRow)
            .where(VersionRow.artifact == row.artifact)
            .values(artifact_sha256=sha256, size=size)
        )
    return Stored(row.artifact, sha256, size)
