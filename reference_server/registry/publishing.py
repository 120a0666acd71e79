"""Publishing: a package becomes a version, whole or not at all.

First the artifact is made lasting, then one transaction writes the rows that make it known. A crash in
between leaves an artifact that nothing refers to, which `sweep` removes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

from sqlalchemy import func, select

from maas_client._package import open_package, write_zip
from maas_client.errors import PackageError
from reference_server.errors import Conflict, Unavailable, Unprocessable
from reference_server.registry import (
    aliases,
    data_keys,
    events,
    facts,
    models,
    names,
    sealed_artifacts,
    versions,
    withheld,
)
from reference_server.registry.compatibility import check_target
from reference_server.registry.in_force import refuse_while_split
from reference_server.registry.inventory import named_artifacts
from reference_server.registry.packages import Stored, version_thing
from reference_server.registry.search import searchable
from reference_server.registry.tables import AccountRow, VersionRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from maas_client._package import Package
    from maas_client.types import PublishQuery, TaskSignature, TensorSignature, Version, Visibility
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.data_keys import Fresh
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

# Longer than the slowest publish, whose artifact has no row yet.
_ORPHAN_SECONDS = 3600.0


class Inspection(Protocol):
    """What trying a package out has found."""

    @property
    def signature(self) -> TaskSignature:
        """What the task takes and returns."""

    @property
    def tensors(self) -> TensorSignature:
        """What the graph takes and returns."""

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's result is the same in any company."""


def publish(
    db: Database,
    store: ArtifactStore,
    caller: Caller,
    model: str,
    source: IO[bytes],
    *,
    query: PublishQuery,
    inspect: Callable[[Package], Inspection],
    max_bytes: int,
    moves_default: bool = True,
    base: tuple[str, int] | None = None,
) -> tuple[Version, bool]:
    """Publish a package as the next version of a model, which is made if there is none of that name.

    Args:
        db: The store.
        store: Where the package goes.
        caller: Who publishes; a publisher of the model.
        model: The model's name; `account~name` with the caller's own account is always theirs, and with
            another account the only name of what that shares.
        source: A seekable file that holds the package's zip.
        query: Notes, lineage, visibility of a new model, and whether the version becomes `default`.
        inspect: Tries the package out; raises when it cannot serve.
        max_bytes: The most that the files of the package may hold together.
        moves_default: Whether `set_default` is done here; if not, it is only refused here where it cannot be.
        base: The version whose weights the package holds, as its model's id and its number; where the caller
            may not download that, the new version is withheld.

    Returns:
        The version, and whether it is new: content that the model has already is published twice only with
        `query.again`.

    Raises:
        Unprocessable: When the package cannot serve, or no model can have that name.
        Forbidden: With code `not_owner` or `missing_role`.
        Conflict: With code `public_name_taken` or `exact_name_needed`; with `set_default` with code
            `breaking_signature` or `traffic_split_in_force`.
    """
    publication = _Publication(db, store, caller, model, query, moves_default, base)
    # What the name or the rights forbid is refused before the costly part.
    publication.check()
    try:
        with open_package(source, max_bytes=max_bytes) as package:
            if (known := publication.known(package.digest)) is not None:
                return known, False
            publication.check_default()
            inspection, key = inspect(package), data_keys.fresh()
            stored = _store(store, package, key)
            is_new = False
            try:
                version, is_new = publication.record(_row(package, inspection, stored), key)
            finally:
                if not is_new:
                    store.delete(stored.artifact)
            return version, is_new
    except PackageError as error:
        raise Unprocessable(str(error), code=error.code or "invalid_package", param=error.param) from error


def sweep(db: Database, store: ArtifactStore) -> list[str]:
    """Delete artifacts, and unfinished ones, that no version, upload or job refers to; return their names."""
    if not store.old(than_seconds=_ORPHAN_SECONDS):
        return []
    # As the writer, so that no publish of the same content comes between the look and the deletion.
    with db.write() as session:
        return store.sweep(named_artifacts(session), older_than_seconds=_ORPHAN_SECONDS)


def check(db: Database, store: ArtifactStore, caller: Caller, model: str, query: PublishQuery) -> str:
    """Refuse early what `publish` would refuse for its name, its rights or its `default`.

    Returns:
        The exact name of the model that would get the version.

    Raises:
        NotFound, Unprocessable, Forbidden, Conflict: As `publish`.
    """
    publication = _Publication(db, store, caller, model, query, moves_default=True)
    publication.check()
    publication.check_default()
    return publication.exact_name()


@dataclass(frozen=True, slots=True)
class _Publication:
    """One publish: who, where and how; its methods are the steps that the store sees."""

    db: Database
    store: ArtifactStore
    caller: Caller
    model: str
    query: PublishQuery
    moves_default: bool
    base: tuple[str, int] | None = None

    def check(self) -> None:
        with self.db.read() as session:
            self._check_parent(session, self._find(session))

    def check_default(self) -> None:
        """Refuse a new version that is to become `default` while a split goes before that."""
        with self.db.read() as session:
            found = self._find(session)
            if self.query.set_default and found is not None:
                refuse_while_split(session, found.row.id)

    def exact_name(self) -> str:
        """Return the name by which everybody reaches the model, whether it is there or is to be made."""
        with self.db.read() as session:
            found = self._find(session)
            if found is None:
                return f"{self.caller.account_name}~{names.parse(self.model).name}"
            return f"{session.get_one(AccountRow, found.row.account_id).name}~{found.row.name}"

    def known(self, digest: str) -> Version | None:
        """Return the version that has this content already, as `default` if that was asked for."""
        if self.query.again:
            return None
        with self.db.read() as session:
            found = self._find(session)
            number = None if found is None else _number_of(session, found.row.id, digest)
            if found is None or number is None:
                return None
            if not self.query.set_default:
                return versions.read(session, found, number)
        with self.db.write() as session:
            found = self._find(session)
            number = None if found is None else _number_of(session, found.row.id, digest)
            if found is None or number is None:  # deleted meanwhile
                return None
            self._make_default(session, found, number)
            return versions.read(session, found, number)

    def record(self, row: VersionRow, key: Fresh) -> tuple[Version, bool]:
        """Write the rows that make a lasting artifact known, and its key, in one transaction."""
        with self.db.write() as session:
            found = self._find(session) or self._make_model(session)
            number = None if self.query.again else _number_of(session, found.row.id, row.digest)
            if number is not None:  # published by somebody else meanwhile
                if self.query.set_default:
                    self._make_default(session, found, number)
                return versions.read(session, found, number), False
            if not self.store.exists(row.artifact):
                raise Unavailable("the package was swept away; repeat the upload", code="busy", retry_after=1)
            self._add(session, found, row, key)
            return versions.read(session, found, row.number), True

    def _find(self, session: Session) -> names.Found | None:
        """Return the model to publish to, or None when it is to be made."""
        reference = names.parse(self.model)
        found = names.find(session, self.caller, self.model)
        if found is not None:
            if not found.allows(names.PUBLISHER):
                raise names.role_needed(self.model, found.role, names.PUBLISHER)
            if reference.account is None and found.row.account_id != self.caller.account_id:
                raise _exact_name_needed(self.model)
            return found
        if reference.account not in (None, self.caller.account_name):
            raise names.model_not_found(self.model)
        names.require_new_name(self.caller, reference.name)
        models.check_free(session, self.caller, reference.name, self._visibility)
        return None

    def _check_parent(self, session: Session, found: names.Found | None) -> None:
        parent = self.query.parent
        if parent is None:
            return
        if found is None or session.get(VersionRow, (found.row.id, parent)) is None:
            raise Unprocessable(
                f"the model has no version {parent} that this one could be made from",
                code="unknown_parent",
                param="parent",
            )

    @property
    def _visibility(self) -> Visibility:
        return self.query.visibility or "private"

    def _make_model(self, session: Session) -> names.Found:
        name = names.parse(self.model).name
        models.add(session, self.caller, name, self._visibility, now=self.db.clock())
        session.flush()
        return names.allowed(session, self.caller, f"{self.caller.account_name}~{name}", names.OWNER)

    def _add(self, session: Session, found: names.Found, row: VersionRow, key: Fresh) -> None:
        query, now = self.query, self.db.clock()
        self._check_parent(session, found)
        found.row.versions_made += 1
        found.row.updated_at = now
        row.model_id, row.number = found.row.id, found.row.versions_made
        row.notes, row.author_id, row.created_at = query.notes, self.caller.account_id, now
        row.origin, row.parent, row.lineage = query.origin, query.parent, query.lineage
        if self.base is not None:
            # In this transaction: what the base's owner has forbidden before it holds for this version.
            row.withheld_by = withheld.bases_of(session, self.caller, *self.base)
        session.add(row)
        # The owner's key, whoever publishes: the version goes when its owner does.
        thing = version_thing(row.model_id, row.number)
        data_keys.keep(session, found.row.account_id, "version", key, thing=thing)
        facts.refresh(session, found.row.id)
        events.record(
            session,
            found.row.id,
            "published",
            by=self.caller,
            at=now,
            version=row.number,
            digest=row.digest,
            origin=query.origin,
            parent=query.parent,
            notes=query.notes,
        )
        if query.set_default or row.number == 1:
            self._make_default(session, found, row.number)

    def _make_default(self, session: Session, found: names.Found, number: int) -> None:
        now = versions.find_number(session, found.row.id, versions.DEFAULT)
        if now == number:
            return
        check_target(session, found.row.id, versions.DEFAULT, number, force=self.query.force)
        if now is not None and not self.moves_default:
            refuse_while_split(session, found.row.id)
            return
        aliases.record_move(
            session,
            found.row.id,
            versions.DEFAULT,
            version=number,
            note=self.query.notes,
            by=self.caller,
            at=self.db.clock(),
        )
        session.flush()


def _exact_name_needed(name: str) -> Conflict:
    # Else whoever shares a model of a name that somebody is about to use would be handed their package.
    return Conflict(
        f"{name!r} is a model that another account shares with you; to publish to it write account~{name}, "
        f"for one of your own your-account~{name}",
        code="exact_name_needed",
        param="model",
    )


def _number_of(session: Session, model_id: str, digest: str) -> int | None:
    """Return the newest version that has some content."""
    number: int | None = session.scalar(
        select(func.max(VersionRow.number)).where(
            VersionRow.model_id == model_id, VersionRow.digest == digest
        )
    )
    return number


def _store(store: ArtifactStore, package: Package, key: Fresh) -> Stored:
    with sealed_artifacts.new(store, key.key, "package") as writer:
        write_zip(package, writer)
    return Stored(writer.name, key.id, writer.sha256.hexdigest(), writer.size)


def _row(package: Package, inspection: Inspection, stored: Stored) -> VersionRow:
    manifest = package.manifest.model_copy(update={"labels": list(package.labels)})
    return VersionRow(
        digest=package.digest,
        artifact=stored.artifact,
        data_key=stored.data_key,
        artifact_sha256=stored.sha256,
        size=stored.size,
        task=manifest.task,
        search=searchable(manifest.description, manifest.tags),
        manifest=manifest.model_dump(mode="json"),
        signature=inspection.signature.model_dump(mode="json"),
        tensors=inspection.tensors.model_dump(mode="json"),
        batch_invariant=inspection.batch_invariant,
    )
