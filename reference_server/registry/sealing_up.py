"""Sealing what an older server has stored in clear, piece by piece beside everything else.

Each piece is sealed into a new artifact first; then one transaction gives its row the new name and the key.
Whoever dies in between leaves an artifact that the sweep removes, and the next round begins that piece anew.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from reference_server.registry import data_keys, in_clear, job_contents, sealed_artifacts
from reference_server.registry.packages import version_thing
from reference_server.registry.tables import (
    IdempotencyRow,
    JobRow,
    ModelRow,
    UploadChunkRow,
    UploadRow,
    VersionRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.security.encryption import DataKey

_READ_BYTES = 2**18
# The columns of a job that name artifacts.
_ARTIFACTS = ("input", "checkpoint")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InClear:
    """How many things are still stored in clear."""

    versions: int
    uploads: int
    jobs: int
    replies: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.versions + self.uploads + self.jobs + self.replies


def count(session: Session) -> InClear:
    """Count what is still stored in clear."""
    versions, uploads, jobs = (
        session.scalar(select(func.count()).select_from(table).where(table.data_key.is_(None))) or 0
        for table in (VersionRow, UploadRow, JobRow)
    )
    # Only who has a reply's Idempotency-Key could seal it; it is forgotten within a day.
    replies = (
        select(func.count())
        .select_from(IdempotencyRow)
        .where(IdempotencyRow.status.is_not(None), IdempotencyRow.sealed.is_(False))
    )
    return InClear(versions, uploads, jobs, session.scalar(replies) or 0)


def seal_up(db: Database, store: ArtifactStore) -> int:
    """Seal everything that is stored in clear; returns how many things that were.

    What cannot be read is told in the log and left as it is, so that it keeps nothing else from being sealed.
    Once nothing is left, clear things are refused from then on; one that is found after that is left to the
    operator, because sealing it would make somebody's exchange good.
    """
    with db.read() as session:
        is_permitted, found = in_clear.is_permitted(session), count(session)
    if found.total and not is_permitted:
        _log.error(
            "%d things stand in clear in a store in which everything was sealed, and are refused: somebody "
            "changed the database; look with `maas-server doctor`",
            found.total,
        )
    if not is_permitted:
        return 0
    sealed = _seal_all(db, store) if found.total else 0
    with db.write() as session:
        if not count(session).total:
            in_clear.end(session)
    return sealed


def _seal_all(db: Database, store: ArtifactStore) -> int:
    with db.read() as session:
        versions = session.execute(
            select(VersionRow.model_id, VersionRow.number).where(VersionRow.data_key.is_(None))
        ).all()
        uploads = session.scalars(select(UploadRow.id).where(UploadRow.data_key.is_(None))).all()
        jobs = session.scalars(select(JobRow.id).where(JobRow.data_key.is_(None))).all()
    sealed = sum(_seal_version(db, store, model_id, number) for model_id, number in versions)
    sealed += sum(_seal_upload(db, store, upload_id) for upload_id in uploads)
    sealed += sum(_seal_job(db, store, job_id) for job_id in jobs)
    if sealed:
        _log.info("%d things that an older server had stored in clear are sealed now", sealed)
    return sealed


def _seal_version(db: Database, store: ArtifactStore, model_id: str, number: int) -> bool:
    with db.read() as session:
        row = session.get(VersionRow, (model_id, number))
        if row is None or row.data_key is not None:
            return False
        before = row.artifact
    key = data_keys.fresh()
    after = _resealed(store, key.key, "package", before)
    if after is None:
        return False
    with db.write() as session:
        row = session.get(VersionRow, (model_id, number))
        is_same = row is not None and (row.artifact, row.data_key) == (before, None)
        if row is not None and is_same:
            owner = session.get_one(ModelRow, model_id).account_id
            data_keys.keep(session, owner, "version", key, thing=version_thing(model_id, number))
            row.artifact, row.data_key = after, key.id
            session.flush()
            # As the writer: older servers gave equal packages one artifact.
            if (
                session.scalar(select(VersionRow.number).where(VersionRow.artifact == before).limit(1))
                is None
            ):
                store.delete(before)
    if not is_same:
        store.delete(after)
    return is_same


def _seal_upload(db: Database, store: ArtifactStore, upload_id: str) -> bool:
    with db.read() as session:
        chunks = _chunks(session, upload_id)
    key = data_keys.fresh()
    sealed = {before: _resealed(store, key.key, "chunk", before) for before in chunks}
    with db.write() as session:
        row = session.get(UploadRow, upload_id)
        # A chunk that is lost is found out when the upload is put together, as ever.
        is_same = row is not None and row.data_key is None and _chunks(session, upload_id) == chunks
        if row is not None and is_same:
            data_keys.keep(session, row.account_id, "upload", key, thing=upload_id)
            row.data_key = key.id
            for chunk in session.scalars(select(UploadChunkRow).where(UploadChunkRow.upload_id == upload_id)):
                chunk.artifact = sealed[chunk.artifact] or chunk.artifact
    _delete_all(store, chunks if is_same else sealed.values())
    return is_same


def _seal_job(db: Database, store: ArtifactStore, job_id: str) -> bool:
    with db.read() as session:
        row = session.get(JobRow, job_id)
        before = {} if row is None else {name: getattr(row, name) for name in _ARTIFACTS}
    key = data_keys.fresh()
    after = {
        name: artifact and _resealed(store, key.key, f"job-{name}", artifact)
        for name, artifact in before.items()
    }
    with db.write() as session:
        row = session.get(JobRow, job_id)
        # One that runs is its process's; it comes here when that has left it.
        is_same = (
            row is not None
            and row.data_key is None
            and row.state != "running"
            and before == {name: getattr(row, name) for name in _ARTIFACTS}
        )
        if row is not None and is_same:
            job_contents.seal_up(session, row, key)
            for name, artifact in after.items():
                setattr(row, name, artifact)
    _delete_all(store, (before if is_same else after).values())
    return is_same


def _chunks(session: Session, upload_id: str) -> list[str]:
    chunks = select(UploadChunkRow.artifact).where(UploadChunkRow.upload_id == upload_id)
    return list(session.scalars(chunks.order_by(UploadChunkRow.offset)))


def _resealed(store: ArtifactStore, key: DataKey, what: str, before: str) -> str | None:
    """Seal what lies in clear into a new artifact; None where it cannot be read."""
    try:
        with store.open_reader(before) as source, sealed_artifacts.new(store, key, what) as writer:
            while chunk := source.read(_READ_BYTES):
                writer.write(chunk)
    except FileNotFoundError:
        _log.error("the artifact %s is not there and cannot be sealed", before)
        return None
    return writer.name


def _delete_all(store: ArtifactStore, names: Iterable[str | None]) -> None:
    for name in filter(None, names):
        store.delete(name)
