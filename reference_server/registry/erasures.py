"""Erasures: written down with what they erase, finished once nothing of it lies in the database's files.

The transaction that deletes rows and destroys keys also writes the erasure, with the artifacts that must go.
What follows can be done again by whoever comes next: the artifacts are deleted, the log is written back and
emptied, and the receipt is signed. A row of an erasure tells what was erased by opaque ids alone.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from sqlalchemy import delete, select

from maas_client._receipts import ERASURE, name_sha256
from maas_client.types import Erasure, ErasureStatement, Receipt
from reference_server.errors import NotFound, Unavailable
from reference_server.registry import receipts
from reference_server.registry.database import now
from reference_server.registry.ids import new_id
from reference_server.registry.tables import ErasureRow, UploadChunkRow, VersionRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database

What: TypeAlias = Literal["account", "model", "version", "captured"]

# Long enough to ask for the receipt of one that was pending, or to ask again.
_KEPT = timedelta(days=90)
_NOT_COVERED = (
    "backups of the database that were made before, which still have the keys; the operator deletes them",
    "logs that the operator keeps, and what their collectors have stored",
    "copies that callers have made, such as downloaded packages",
    "counts in the memory of running workers, which end with them",
)
_KEYS_AND_ROWS = (
    "its data keys were destroyed: what they sealed opens nevermore, wherever copies of it lie",
    "its rows were deleted",
)
_HOW = (
    *_KEYS_AND_ROWS,
    "its artifacts were removed from the store",
    "loaded models were dropped from memory, by other workers within a second",
    "calls of others' models that their owners had captured were deleted there",
)
_HOW_CAPTURED = (
    *_KEYS_AND_ROWS,
    "calls that workers had not stored yet were dropped from memory within a second",
)
_log = logging.getLogger(__name__)


def not_covered(db: Database) -> list[str]:
    """Return what no erasure of this store reaches, for people."""
    return [*_NOT_COVERED, *db.not_overwritten]


def begin(
    session: Session,
    what: What,
    object_id: str,
    *,
    name: str,
    counts: Mapping[str, int],
    artifacts: Iterable[str] = (),
) -> str:
    """Write an erasure down, in the transaction that erases; returns its id.

    Args:
        session: The writer's.
        what: What kind of thing goes.
        object_id: Its opaque id.
        name: By what its owner knew it; only a hash of it is kept.
        counts: How many things of each kind go.
        artifacts: Those to remove from the store; ones that something else names stay.
    """
    erasure_id = new_id("era")
    session.add(
        ErasureRow(
            id=erasure_id,
            what=what,
            object=object_id,
            name_sha256=name_sha256(erasure_id, name),
            counts=dict(counts),
            artifacts=sorted(set(artifacts)),
            requested_at=now(session),
        )
    )
    return erasure_id


def finish(db: Database, store: ArtifactStore, erasure_id: str) -> Erasure:
    """Remove what is left of what an erasure erased, and sign the receipt.

    Returns:
        The erasure: `done`, or `pending` when a reader holds the log or the store is away; then
        `finish_pending` comes back to it.
    """
    try:
        if _discard(db, store, erasure_id) and db.overwrite():
            _sign(db, erasure_id)
    except (OSError, Unavailable):
        _log.warning("the erasure %s is left to the next round", erasure_id, exc_info=True)
    return get(db, erasure_id)


def finish_pending(db: Database, store: ArtifactStore) -> int:
    """Finish the erasures that were left, and forget the old ones; returns how many are done now."""
    with db.read() as session:
        pending = session.scalars(select(ErasureRow.id).where(ErasureRow.finished_at.is_(None))).all()
        old = session.scalar(select(ErasureRow.id).where(_is_old(db)).limit(1))
    if old is not None:
        with db.write() as session:
            session.execute(delete(ErasureRow).where(_is_old(db)))
    return sum(finish(db, store, erasure_id).state == "done" for erasure_id in pending)


def get(db: Database, erasure_id: str) -> Erasure:
    """Return an erasure.

    Raises:
        NotFound: When there is none of this id, or no longer.
    """
    with db.read() as session:
        row = session.get(ErasureRow, erasure_id)
    if row is None:
        raise NotFound(
            f"there is no erasure {erasure_id[:100]!r}; they are kept for {_KEPT.days} days",
            code="erasure_not_found",
            param="erasure",
        )
    return Erasure(
        id=row.id,
        what=row.what,
        state="pending" if row.finished_at is None else "done",
        counts=row.counts,
        requested_at=row.requested_at,
        finished_at=row.finished_at,
        receipt=None if row.receipt is None else Receipt.model_validate_json(row.receipt),
    )


def _is_old(db: Database) -> ColumnElement[bool]:
    return ErasureRow.finished_at <= db.clock() - _KEPT


def _discard(db: Database, store: ArtifactStore, erasure_id: str) -> bool:
    """Remove the artifacts that nothing names any more; tell whether the erasure is there and not done."""
    # As the writer, so that no publish comes between the look and the deletion.
    with db.write() as session:
        row = session.get(ErasureRow, erasure_id)
        if row is None or row.finished_at is not None:
            return False
        for artifact in row.artifacts:
            # Older servers gave equal packages one artifact.
            if not _is_named(session, artifact):
                store.delete(artifact)
    return True


def _is_named(session: Session, artifact: str) -> bool:
    by_version = select(VersionRow.number).where(VersionRow.artifact == artifact).limit(1)
    by_upload = select(UploadChunkRow.offset).where(UploadChunkRow.artifact == artifact).limit(1)
    return session.scalar(by_version) is not None or session.scalar(by_upload) is not None


def _sign(db: Database, erasure_id: str) -> None:
    signer = receipts.signer(db)
    with db.write() as session:
        row = session.get_one(ErasureRow, erasure_id)
        if row.finished_at is not None:  # by another worker meanwhile
            return
        row.finished_at = now(session)
        statement = ErasureStatement(
            erasure=row.id,
            what=row.what,
            object=row.object,
            name_sha256=row.name_sha256,
            counts=row.counts,
            requested_at=row.requested_at,
            erased_at=row.finished_at,
            how=[*(_HOW_CAPTURED if row.what == "captured" else _HOW), db.how_overwritten],
            not_covered=not_covered(db),
            public_key=signer.public_key,
        )
        payload = statement.model_dump_json().encode()
        row.receipt = signer.sign(payload, payload_type=ERASURE).model_dump_json()
        row.artifacts = []
