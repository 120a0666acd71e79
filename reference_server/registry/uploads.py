"""Packages that come in chunks: each chunk an artifact of its own, how far they have come in the database.

A chunk is first made lasting, then one transaction counts it. A crash in between leaves an artifact that
nothing refers to, which `publishing.sweep` removes; what was counted is there.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import IO, TYPE_CHECKING

from sqlalchemy import delete as deletion
from sqlalchemy import select

from maas_client.types import Upload
from reference_server.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    TooLarge,
    Unavailable,
    Unprocessable,
)
from reference_server.registry import data_keys, in_clear, sealed_artifacts
from reference_server.registry.database import now as time_of
from reference_server.registry.faults import storage_faults
from reference_server.registry.ids import new_id
from reference_server.registry.tables import UploadChunkRow, UploadRow
from reference_server.security.encryption import SealBrokenError
from reference_server.security.streams import SealedTemporary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.security.encryption import DataKey

_READ_BYTES = 2**18
_log = logging.getLogger(__name__)
_KEPT = timedelta(hours=24)
MOST_UNFINISHED = 10


def begin(db: Database, account_id: str, *, size: int, sha256: str, chunk_bytes: int) -> tuple[Upload, bool]:
    """Return an account's unfinished upload of some content, made if there is none, and whether it is new.

    Args:
        db: The store.
        account_id: Whose upload it is.
        size: Bytes of the whole.
        sha256: Of the whole, in hexadecimal.
        chunk_bytes: What the caller is told to be the largest chunk.

    Raises:
        Conflict: With code `too_many_uploads`.
    """
    now = db.clock()
    with db.write() as session:
        forget_expired(session, account_id=account_id)
        rows = session.scalars(
            select(UploadRow).where(UploadRow.account_id == account_id).order_by(UploadRow.expires_at)
        ).all()
        for row in rows:
            if (row.size, row.sha256) == (size, sha256):
                return _to_upload(row, chunk_bytes), False
        if len(rows) >= MOST_UNFINISHED:
            raise Conflict(
                f"you have {len(rows)} unfinished uploads, the most that one account may; finish one, DELETE "
                f"one, such as /v1/uploads/{rows[0].id}, or wait until that is forgotten at "
                f"{rows[0].expires_at:%Y-%m-%d %H:%M} UTC",
                code="too_many_uploads",
            )
        upload_id = new_id("upl")
        row = UploadRow(
            id=upload_id,
            account_id=account_id,
            data_key=data_keys.make(session, account_id, "upload", thing=upload_id).id,
            sha256=sha256,
            size=size,
            received=0,
            created_at=now,
            expires_at=now + _KEPT,
        )
        session.add(row)
        return _to_upload(row, chunk_bytes), True


def get(db: Database, account_id: str, upload_id: str, *, chunk_bytes: int) -> Upload:
    """Return an upload of an account.

    Raises:
        NotFound: When the account has none of this id, or no longer.
    """
    with db.read() as session:
        return _to_upload(_row(db, session, account_id, upload_id), chunk_bytes)


def add_chunk(
    db: Database,
    store: ArtifactStore,
    account_id: str,
    upload_id: str,
    *,
    offset: int,
    chunk: bytes,
    chunk_bytes: int,
) -> Upload:
    """Add the next chunk of an upload; one that is there already changes nothing.

    Raises:
        NotFound: When the account has no such upload.
        Conflict: With code `wrong_offset`, when the chunk does not begin where the last one ended.
        InvalidRequest: When it is empty, or goes beyond the end.
        TooLarge: When it is larger than `chunk_bytes`.
    """
    with db.read() as session:
        row = _row(db, session, account_id, upload_id)
        if _is_there(session, row, offset):
            return _to_upload(row, chunk_bytes)
        key = _key(session, row)
    _check_chunk(row, offset, len(chunk), chunk_bytes)
    artifact = sealed_artifacts.keep(store, key, "chunk", chunk)
    with db.write() as session:
        row = _row(db, session, account_id, upload_id)
        there = _is_there(session, row, offset)
        if not there:
            row.received += len(chunk)
            row.expires_at = db.clock() + _KEPT
            session.add(UploadChunkRow(upload_id=row.id, offset=offset, artifact=artifact))
    if there:  # by somebody else meanwhile, and counted with their bytes
        store.delete(artifact)
    return _to_upload(row, chunk_bytes)


def delete(db: Database, store: ArtifactStore, account_id: str, upload_id: str) -> None:
    """Forget an upload and its chunks.

    Raises:
        NotFound: When the account has no such upload.
    """
    with db.write() as session:
        row = _row(db, session, account_id, upload_id)
        artifacts = [chunk.artifact for chunk in _chunks(session, row)]
        session.delete(row)
        data_keys.destroy(session, [row.data_key] if row.data_key else [])
    for artifact in artifacts:
        store.delete(artifact)


def forget_expired(session: Session, *, account_id: str | None = None) -> None:
    """Forget the uploads whose time is over, of one account or of all; their chunks are swept then."""
    expired = deletion(UploadRow).where(UploadRow.expires_at <= time_of(session))
    if account_id is not None:
        expired = expired.where(UploadRow.account_id == account_id)
    data_keys.destroy(session, list(filter(None, session.scalars(expired.returning(UploadRow.data_key)))))


@contextmanager
def whole(db: Database, store: ArtifactStore, account_id: str, upload_id: str) -> Iterator[IO[bytes]]:
    """Give the content of a finished upload as a file; the upload is forgotten when the block succeeds.

    It is forgotten as well when it can never succeed: its content is not what was declared, or is refused.

    Raises:
        NotFound: When the account has no such upload.
        Conflict: With code `upload_incomplete`.
        Unprocessable: With code `digest_mismatch`.
    """
    with storage_faults(), SealedTemporary() as spool:
        try:
            _assemble(db, store, account_id, upload_id, spool)
            yield spool.reader()
        except Unprocessable:
            _forget(db, store, account_id, upload_id)
            raise
    _forget(db, store, account_id, upload_id)


def _assemble(
    db: Database, store: ArtifactStore, account_id: str, upload_id: str, spool: SealedTemporary
) -> None:
    with db.read() as session:
        row = _row(db, session, account_id, upload_id)
        key = _key(session, row)
        chunks = _chunks(session, row)
    if row.received < row.size:
        raise Conflict(
            f"the upload is not finished: {row.received:,} of {row.size:,} bytes are there; send the rest",
            code="upload_incomplete",
            param="upload",
        )
    digest = hashlib.sha256()
    try:
        for chunk in chunks:
            with sealed_artifacts.open_reader(store, chunk.artifact, key) as source:
                while part := source.read(_READ_BYTES):
                    digest.update(part)
                    spool.write(part)
    except (FileNotFoundError, SealBrokenError) as error:
        # Forgotten meanwhile, or not what was stored any more: in either case it can never be whole.
        _log.warning("the upload %s cannot be put together: %s", upload_id, error)
        _forget(db, store, account_id, upload_id)
        raise _not_found(upload_id) from None
    if (sha256 := digest.hexdigest()) != row.sha256:
        raise Unprocessable(
            f"the upload's sha256 is {sha256}, and {row.sha256} was declared; it was forgotten, begin again",
            code="digest_mismatch",
            param="upload",
        )


def _row(db: Database, session: Session, account_id: str, upload_id: str) -> UploadRow:
    row = session.get(UploadRow, upload_id)
    if row is None or row.account_id != account_id or row.expires_at <= db.clock():
        raise _not_found(upload_id)
    return row


def _key(session: Session, row: UploadRow) -> DataKey:
    if row.data_key is None and not in_clear.is_permitted(session):
        # Nobody began it here.
        raise _not_found(row.id)
    if row.data_key is None:
        # What an older server has taken in clear: `sealing_up.py` comes to it within a second.
        raise Unavailable("the upload is being sealed; repeat this", code="busy", retry_after=1)
    return data_keys.get(session, row.data_key, thing=row.id)


def _not_found(upload_id: str) -> NotFound:
    return NotFound(
        f"you have no upload {upload_id[:100]!r}: it is finished, forgotten or another account's; "
        "POST /v1/uploads begins one",
        code="upload_not_found",
        param="upload",
    )


def _forget(db: Database, store: ArtifactStore, account_id: str, upload_id: str) -> None:
    # Two publishes of one upload may end together; the second finds nothing to forget.
    with suppress(NotFound):
        delete(db, store, account_id, upload_id)


def _chunks(session: Session, row: UploadRow) -> list[UploadChunkRow]:
    theirs = select(UploadChunkRow).where(UploadChunkRow.upload_id == row.id)
    return list(session.scalars(theirs.order_by(UploadChunkRow.offset)))


def _is_there(session: Session, row: UploadRow, offset: int) -> bool:
    """Tell whether there is a chunk at an offset already; the next one begins there if not."""
    if offset == row.received:
        return False
    if offset < row.received and session.get(UploadChunkRow, (row.id, offset)) is not None:
        return True
    raise Conflict(
        f"the next chunk begins at {row.received}, not at {offset}", code="wrong_offset", param="offset"
    )


def _check_chunk(row: UploadRow, offset: int, size: int, most: int) -> None:
    if size > most:
        raise TooLarge(f"a chunk holds at most {most:,} bytes; send less at a time")
    if not 0 < size <= row.size - offset:
        raise InvalidRequest(
            f"the chunk holds {size:,} bytes, and {row.size - offset:,} of {row.size:,} are still to come",
            code="wrong_chunk_size",
        )


def _to_upload(row: UploadRow, chunk_bytes: int) -> Upload:
    return Upload(
        id=row.id, size=row.size, received=row.received, chunk_bytes=chunk_bytes, expires_at=row.expires_at
    )
