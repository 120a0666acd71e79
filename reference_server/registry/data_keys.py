"""The keys between the master key and what is sealed: one for each account, and one for each thing of it.

master key → account key → data key; and master key → a key of the store's own, for what is no account's.
Each stands in the store sealed by the one above it and bound to whose it is, so that a key that was put in
the place of another does not open. Destroying a key is deleting its row: what it sealed is then lost to
everybody, wherever copies of it lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from sqlalchemy import delete, select, union

from reference_server.registry.database import master_keys, now
from reference_server.registry.ids import new_id
from reference_server.registry.tables import AccountKeyRow, DataKeyRow, StoreKeyRow
from reference_server.security.encryption import DataKey, SealBrokenError
from reference_server.security.master_keys import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database

# What a data key seals: the package of a version, a package on its way, what a job was given and made, and
# the inputs and outputs of a model that its owner has captured.
Purpose: TypeAlias = Literal["version", "upload", "job", "capture"]


class KeyDestroyedError(Exception):
    """What is to be opened was erased: its key is gone."""


def of_account(session: Session, account_id: str) -> DataKey:
    """Return an account's key, making it if there is none yet; in a writer's session.

    It seals keys and nothing else; what of an account is sealed by itself takes `derive(…)` of it.
    """
    row = session.get(AccountKeyRow, account_id)
    if row is not None:
        return _account_key(session, row)
    key = DataKey.random()
    master, wrapped = master_keys(session).wrap(key, bound_to=_account_place(account_id))
    session.add(AccountKeyRow(account_id=account_id, master=master, wrapped=wrapped))
    session.flush()
    return key


def known_of_account(session: Session, account_id: str) -> DataKey:
    """Return an account's key.

    Raises:
        KeyDestroyedError: When it has none, or none any more.
    """
    row = session.get(AccountKeyRow, account_id)
    if row is None:
        raise KeyDestroyedError(f"the key of account {account_id} is gone")
    return _account_key(session, row)


def make(session: Session, account_id: str, purpose: Purpose) -> tuple[str, DataKey]:
    """Make a key of an account for one thing; returns the id that the thing's row keeps, and the key."""
    key_id, key = new_id("dky"), DataKey.random()
    above = of_account(session, account_id)
    wrapped = above.seal(key.secret, bound_to=_place(account_id, purpose, key_id))
    session.add(
        DataKeyRow(
            id=key_id, account_id=account_id, purpose=purpose, wrapped=wrapped, created_at=now(session)
        )
    )
    session.flush()
    return key_id, key


def get(session: Session, key_id: str) -> DataKey:
    """Return a key by its id.

    Raises:
        KeyDestroyedError: When it is there no more, or its account's is not.
    """
    row = session.get(DataKeyRow, key_id)
    if row is None:
        raise KeyDestroyedError(f"the key {key_id} is gone, and what it sealed with it")
    above = known_of_account(session, row.account_id)
    place = _place(row.account_id, row.purpose, row.id)
    try:
        return DataKey(above.open(row.wrapped, bound_to=place))
    except SealBrokenError as error:
        raise MasterKeyError(f"the key {key_id} was changed in the store: {error}") from error


def destroy(session: Session, key_ids: Collection[str]) -> None:
    """Delete keys; what they sealed opens nevermore."""
    session.execute(delete(DataKeyRow).where(DataKeyRow.id.in_(key_ids)))


def of_store(session: Session, name: str) -> DataKey:
    """Return a key of the store's own, making it if there is none yet; in a writer's session."""
    known = known_of_store(session, name)
    if known is not None:
        return known
    key = DataKey.random()
    master, wrapped = master_keys(session).wrap(key, bound_to=_store_place(name))
    session.add(StoreKeyRow(name=name, master=master, wrapped=wrapped))
    session.flush()
    return key


def known_of_store(session: Session, name: str) -> DataKey | None:
    """Return a key of the store's own, or None when it was never needed."""
    row = session.get(StoreKeyRow, name)
    return None if row is None else _store_key(session, row)


def masters_in_use(db: Database) -> set[str]:
    """Return the ids of the master keys that seal any account's key, or one of the store's own."""
    with db.read() as session:
        return set(session.scalars(union(select(AccountKeyRow.master), select(StoreKeyRow.master))))


def rewrap(db: Database) -> int:
    """Seal every account's key and the store's own with the present master key; returns how many it had not.

    What is sealed by the keys themselves stays as it is, so this takes as long for terabytes as for nothing.
    """
    with db.write() as session:
        keys = master_keys(session)
        rows = session.scalars(select(AccountKeyRow).where(AccountKeyRow.master != keys.present)).all()
        for row in rows:
            key = _account_key(session, row)
            row.master, row.wrapped = keys.wrap(key, bound_to=_account_place(row.account_id))
        own = session.scalars(select(StoreKeyRow).where(StoreKeyRow.master != keys.present)).all()
        for each in own:
            each.master, each.wrapped = keys.wrap(_store_key(session, each), bound_to=_store_place(each.name))
        return len(rows) + len(own)


def _account_key(session: Session, row: AccountKeyRow) -> DataKey:
    return master_keys(session).unwrap(row.master, row.wrapped, bound_to=_account_place(row.account_id))


def _store_key(session: Session, row: StoreKeyRow) -> DataKey:
    return master_keys(session).unwrap(row.master, row.wrapped, bound_to=_store_place(row.name))


def _store_place(name: str) -> str:
    return f"the store's key for {name}"


def _account_place(account_id: str) -> str:
    return f"account key of {account_id}"


def _place(account_id: str, purpose: str, key_id: str) -> str:
    return f"{purpose} key {key_id} of {account_id}"
