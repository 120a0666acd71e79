"""What `maas-server serve --demo` puts into a store: two accounts with a key each, and the demo models."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from maas_client._package import open_package
from maas_client.types import PageQuery, PublishQuery
from reference_server.demo.packages import demo_packages
from reference_server.errors import NotFound
from reference_server.registry import accounts, aliases, audit, keys, publishing, versions
from reference_server.registry.artifacts import ArtifactStore
from reference_server.runtime.probe import probe
from reference_server.security import credentials
from reference_server.security.callers import ALL_SCOPES, Caller
from reference_server.security.passwords import Passwords
from reference_server.stores import open_database

if TYPE_CHECKING:
    from collections.abc import Callable

    from maas_client.types import Account
    from reference_server.demo.packages import DemoVersion
    from reference_server.registry.accounts import Role
    from reference_server.registry.database import Database
    from reference_server.settings import Settings

_KEY_NAME = "made by serve --demo"
_ALL = PageQuery(limit=1000)


def provision(settings: Settings, *, log: Callable[[str], None]) -> dict[str, str]:
    """Make accounts, keys and models, or find those of an earlier start; only the keys are always new.

    Returns:
        `api_key` of the demo account and `admin_key` of the operator.
    """
    database, store = open_database(settings), ArtifactStore(settings.artifacts)
    try:
        user = _account(database, settings, name="demo", role="user")
        operator = _account(database, settings, name="operator", role="operator")
        _publish_models(database, store, Caller.at_the_machine(user), settings.max_package_bytes, log)
        return {"api_key": _key(database, user), "admin_key": _key(database, operator)}
    finally:
        database.dispose()


def _account(database: Database, settings: Settings, *, name: str, role: Role) -> Account:
    email = f"{name}@maas.example"
    try:
        account = accounts.find(database, email)
    except NotFound:
        # Nobody needs this password; who does sets one with `maas-server accounts reset-password`.
        password_hash = Passwords().hash(secrets.token_urlsafe(32))
        return audit.by_operator(
            database,
            "account_made",
            lambda: accounts.create(
                database,
                email=email,
                password_hash=password_hash,
                name=name,
                role=role,
                policy_version=settings.policy_version,
            ),
        )
    if account.role != role:
        raise ValueError(
            f"the account {email} of this store has the role {account.role!r}, not {role!r}; start the demo "
            "with another --data-dir"
        )
    return account


def _key(database: Database, account: Account) -> str:
    for key in keys.list_keys(database, account.id, _ALL).data:
        if key.name == _KEY_NAME:
            keys.revoke(database, account.id, key.id)
    credential = credentials.issue("key")
    audit.by_operator(
        database,
        "key_made",
        lambda: keys.create(
            database, account.id, credential, name=_KEY_NAME, scopes=sorted(ALL_SCOPES), expires_at=None
        ),
        account=account.id,
    )
    return credential.secret


def _publish_models(
    database: Database, store: ArtifactStore, caller: Caller, max_bytes: int, log: Callable[[str], None]
) -> None:
    model = demo_packages(log=log)
    for version in model.versions:
        if not _is_published(database, caller, model.name, version):
            _publish(database, store, caller, model=model.name, version=version, max_bytes=max_bytes)


def _is_published(database: Database, caller: Caller, model: str, version: DemoVersion) -> bool:
    with open_package(version.package) as package:
        digest = package.digest
    try:
        published = versions.list_versions(database, caller, model, _ALL).data
    except NotFound:
        return False
    return any(digest == earlier.digest for earlier in published)


def _publish(
    database: Database,
    store: ArtifactStore,
    caller: Caller,
    *,
    model: str,
    version: DemoVersion,
    max_bytes: int,
) -> None:
    query = PublishQuery(notes=version.notes, visibility="public", set_default=False)
    with version.package.open("rb") as source:
        published, _ = publishing.publish(
            database, store, caller, model, source, query=query, inspect=probe, max_bytes=max_bytes
        )
    if version.default_note is not None:
        aliases.move(
            database,
            caller,
            model,
            "default",
            version=published.version,
            note=version.default_note,
            expected_revision=None,
        )
