"""Deleting versions and models: first the rows and their keys, in one transaction, then the packages.

A crash in between leaves an erasure that is pending, which housekeeping finishes (`erasures.py`). Numbers are
never used again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from reference_server.registry import captured, data_keys, erasures, events, names, versions
from reference_server.registry.packages import version_thing
from reference_server.registry.pointers import check_unused
from reference_server.registry.tables import AliasRow, ModelRow, VersionRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from maas_client.types import Erasure
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller


@dataclass(frozen=True, slots=True)
class Content:
    """What a deleted version held.

    Args:
        digest: Of its package's content.
        artifact: The name of its package in the artifact store.
        data_key: The id of the key that sealed it.
    """

    digest: str
    artifact: str
    data_key: str | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """What is gone.

    Args:
        contents: What the deleted versions held.
        erasure: What its owner is told of it.
    """

    contents: Sequence[Content]
    erasure: Erasure


def delete_version(db: Database, store: ArtifactStore, caller: Caller, model: str, version: str) -> Deleted:
    """Delete a version, and its package unless another version has the same.

    Args:
        db: The store.
        store: Where the packages are.
        caller: Who asks; an owner of the model.
        model: The model's name.
        version: The version's number.

    Returns:
        What it held, and the erasure, which may be pending.

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
        held = [Content(row.digest, row.artifact, row.data_key)]
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
        _destroy_keys(session, held)
        found.row.updated_at = now
        erasure = erasures.begin(
            session,
            "version",
            version_thing(row.model_id, row.number),
            name=f"{names.exact_name(session, found.row)} version {row.number}",
            counts={"versions": 1},
            artifacts=[row.artifact],
        )
    return Deleted(held, erasures.finish(db, store, erasure))


def delete_model(db: Database, store: ArtifactStore, caller: Caller, model: str) -> Deleted:
    """Delete a model with its versions, aliases and history; its name is free again.

    Returns:
        What its versions held, and the erasure, which may be pending.

    Raises:
        NotFound: When there is none, or none that they may see.
        Forbidden: With code `not_owner` or `missing_role`.
    """
    with db.write() as session:
        found = names.allowed(session, caller, model, names.OWNER).row
        model_id, exact = found.id, names.exact_name(session, found)
        stored = select(VersionRow.digest, VersionRow.artifact, VersionRow.data_key)
        held = [
            Content(row.digest, row.artifact, row.data_key)
            for row in session.execute(stored.where(VersionRow.model_id == model_id))
        ]
        calls, calls_key = captured.count(session, model_id), captured.key_of(session, model_id)
        # Aliases refer to versions: they go first. Everything else that is a model's goes with its row.
        session.execute(delete(AliasRow).where(AliasRow.model_id == model_id))
        session.execute(delete(ModelRow).where(ModelRow.id == model_id))
        _destroy_keys(session, held)
        if calls_key is not None:
            data_keys.destroy(session, [calls_key])
        erasure = erasures.begin(
            session,
            "model",
            model_id,
            name=exact,
            counts={"models": 1, "versions": len(held), "captured_calls": calls},
            artifacts=[content.artifact for content in held],
        )
    return Deleted(held, erasures.finish(db, store, erasure))


def _destroy_keys(session: Session, held: list[Content]) -> None:
    data_keys.destroy(session, [content.data_key for content in held if content.data_key is not None])
