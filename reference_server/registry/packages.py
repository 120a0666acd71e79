"""Stored packages, read back in chunks: who may download which, and what its bytes are."""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self

from sqlalchemy import update

from reference_server.errors import Forbidden, Unavailable
from reference_server.registry import data_keys, in_clear, names, sealed_artifacts, versions, withheld
from reference_server.registry.data_keys import KeyDestroyedError
from reference_server.registry.tables import VersionRow
from reference_server.security.encryption import SealBrokenError
from reference_server.security.master_keys import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

_CHUNK = 2**18
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """A package as it lies in the store.

    Args:
        artifact: Its name there.
        data_key: The id of the key that seals it; None where an older server stored it in clear.
        sha256: Of its plain bytes, in hexadecimal.
        size: Of those, in bytes.
    """

    artifact: str
    data_key: str | None
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Download:
    """A package that a caller may have; `name` is its model's own, without the account."""

    name: str
    model_id: str
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
        caller: Who asks; the model's owners and its publishers get it, and everybody who may use it where an
            owner marked it downloadable; of a version that is withheld those who may have its bases too.
        model: The model's name.
        selector: A number, an alias or `latest`.

    Raises:
        NotFound: When the model or the version is not there.
        Forbidden: With code `not_downloadable`.
    """
    with db.read() as session:
        found = names.visible(session, caller, model)
        number = versions.select_number(session, found.row.id, selector)
        if not withheld.may_download(found):
            raise Forbidden(
                f"{model!r} may be used but not downloaded; its owner and its publishers can download its "
                "packages, and an owner can mark it downloadable for everybody who may use it",
                code="not_downloadable",
                param="model",
            )
        row = session.get_one(VersionRow, (found.row.id, number))
        withheld.require_bases(session, caller, model, row)
    if row.artifact_sha256 is None:
        return Download(found.row.name, row.model_id, number, _measure(db, store, row))
    stored = Stored(row.artifact, row.data_key, row.artifact_sha256, row.size)
    return Download(found.row.name, row.model_id, number, stored)


def may_download(db: Database, caller: Caller, model: str, number: int) -> bool:
    """Tell whether a caller gets a version's package.

    Raises:
        NotFound: When the model or the version is not there.
    """
    with db.read() as session:
        found = names.visible(session, caller, model)
        row = session.get(VersionRow, (found.row.id, number))
        if row is None:
            raise versions.version_not_found(str(number))
        if not withheld.may_download(found):
            return False
        try:
            withheld.require_bases(session, caller, model, row)
        except Forbidden:
            return False
        return True


def open_chunks(db: Database, store: ArtifactStore, download: Download, start: int, stop: int) -> Chunks:
    """Open the bytes from `start` up to before `stop`; the caller closes them.

    Raises:
        Unavailable: With code `package_damaged`.
    """
    stored, exact = download.stored, f"{download.model_id} version {download.version}"
    with telling_damage(exact):
        file = open_package_file(
            db, store, stored.artifact, stored.data_key, model_id=download.model_id, number=download.version
        )
        return Chunks(file, start, stop)


def version_thing(model_id: str, number: int) -> str:
    """Return what the key of a version's package is bound to."""
    return f"{model_id} version {number}"


def open_package_file(
    db: Database, store: ArtifactStore, artifact: str, data_key: str | None, *, model_id: str, number: int
) -> IO[bytes]:
    """Open the plain bytes of a version's package, seekable.

    Raises:
        FileNotFoundError: When it is not there.
        KeyDestroyedError: When it was erased meanwhile.
        SealBrokenError: When it is not what was stored; while reading as well.
    """
    thing = version_thing(model_id, number)
    with db.read() as session:
        if data_key is None:
            in_clear.require_permitted(session, f"the package of {thing}")
        key = None if data_key is None else data_keys.get(session, data_key, thing=thing)
    return sealed_artifacts.open_reader(store, artifact, key)


@contextmanager
def telling_damage(version: str) -> Iterator[None]:
    """Answer for a stored package that does not open, and log whose it is.

    Args:
        version: By which the operator finds it: the model's id or exact name, and the version's number.

    Raises:
        Unavailable: With code `package_damaged`, whose message tells nothing of the store.
    """
    try:
        yield
    except (FileNotFoundError, KeyDestroyedError, SealBrokenError, MasterKeyError) as error:
        raise damaged(version, str(error)) from error


def damaged(version: str, reason: str) -> Unavailable:
    """Tell the operator, in the log, what is wrong with a stored package; return the answer for callers."""
    _log.error(
        "the stored package of %s is damaged: %s; look with `maas-server doctor`, and put the file back from "
        "a backup, or publish the version again",
        version,
        reason,
    )
    return Unavailable(
        "the stored package of this version is damaged; the fault is the server's, its operator finds it in "
        "the log; use another version meanwhile",
        code="package_damaged",
        should_retry=False,
    )


def _measure(db: Database, store: ArtifactStore, row: VersionRow) -> Stored:
    # Published before the sum was kept: it is read through once, and then known.
    with open_package_file(
        db, store, row.artifact, row.data_key, model_id=row.model_id, number=row.number
    ) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any file will do
        size = file.tell()
    with db.write() as session:
        session.execute(
            update(VersionRow)
            .where(VersionRow.artifact == row.artifact)
            .values(artifact_sha256=sha256, size=size)
        )
    return Stored(row.artifact, row.data_key, sha256, size)
