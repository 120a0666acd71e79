"""Deleting versions and models: first the rows, in one transaction, then the packages that nothing names.

A crash in between leaves a package that `publishing.sweep` removes. Numbers are never used again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from reference_server.errors import Unavailable
from reference_server.registry import events, names, versions
from reference_server.registry.pointers import check_unused
from reference_server.registry.tables import AliasRow, ModelRow, UploadChunkRow, VersionRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Content:
    """What a deleted version held.

    Args:
        digest: Of its package's content.
        artifact: The name of its package in the artifact store.
    """

    digest: str
    artifact: str


def delete_version(
    db: Database, store: ArtifactStore, caller: Caller, model: str, version: str
) -> list[Content]:
    """Delete a version, and its package unless another version has the same.

    Args:
        db: The store.
        store: Where the packages are.
        caller: Who asks; an owner of the model.
        model: The model's name.
        version: The version's number.

    Returns:
        What it held.

    Raises:
        NotFound: When the model or the version is not there.
        Forbidden: With code `not_owner` or `missing_role`.
        Conflict: With code `version_in_use`, naming what sends calls to it.
        Unprocessable: When the version is named by an alias.
    """
    with db.write() as session:
        found, now = names.allowed(session, caller, model, names.OWNER), db.clock()
        row = versions.find_exactly(session, found.row.id, version)
        check_unused(session, row.model_id, row.number, to="delete")
        held = [Content(row.digest, row.artifact)]
        events.record(
            session,
            row.model_id,
            "version_deleted",
            by=caller,
            at=now,
            version=row.number,
            digest=row.digest,
        )
        session.delete(row)
        found.row.updated_at = now
    _discard(db, store, held)
    return held


def delete_model(db: Database, store: ArtifactStore, caller: Caller, model: str) -> list[Content]:
    """Delete a model with its versions, aliases and history; its name is free again.

    Returns:
        What its versions held.

    Raises:
        NotFound: When there is none, or none that they may see.
        Forbidden: With code `not_owner` or `missing_role`.
    """
    with db.write() as session:
        model_id = names.allowed(session, caller, model, names.OWNER).row.id
        stored = select(VersionRow.digest, VersionRow.artifact).where(VersionRow.model_id == model_id)
        held = [Content(row.digest, row.artifact) for row in session.execute(stored)]
        # Aliases refer to versions: they go first. Everything else that is a model's goes with its row.
        session.execute(delete(AliasRow).where(AliasRow.model_id == model_id))
        session.execute(delete(ModelRow).where(ModelRow.id == model_id))
    _discard(db, store, held)
    return held


def _discard(db: Database, store: ArtifactStore, held: list[Content]) -> None:
    """Remove the packages that no version and no upload names any more."""
    try:
        # As the writer, so that no publish of the same content comes between the look and the deletion.
        with db.write() as session:
            for artifact in {content.artifact for content in held}:
                if not _is_named(session, artifact):
                    store.delete(artifact)
    except (OSError, Unavailable):
        # The rows are gone and the caller is to know; the sweep takes what is left of the packages.
        _log.warning("a deleted package is left to the sweep", exc_info=True)


def _is_named(session: Session, artifact: str) -> bool:
    by_version = select(VersionRow.number).where(VersionRow.artifact == artifact).limit(1)
    by_upload = select(UploadChunkRow.offset).where(UploadChunkRow.artifact == artifact).limit(1)
    return session.scalar(by_version) is not None or session.scalar(by_upload) is not None
