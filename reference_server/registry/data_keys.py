"""The keys between the master key and what is sealed: one for each account, and one for each thing of it.

master key → account key → data key; and master key → a key of the store's own, for what is no account's.
Each stands in the store sealed by the one above it and bound to whose it is, a data key also to the thing
that it is for: so that a key that was put in the place of another does not open. Destroying a key is deleting
its row: what it sealed is then lost to everybody, wherever copies of it lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import delete, func, select

from reference_server.registry.database import master_keys, now
from reference_server.registry.ids import new_id
from reference_server.registry.tables import AccountKeyRow, DataKeyRow, StoreKeyRow
from reference_server.security.encryption import DataKey, SealBrokenError
from reference_server.security.master_keys import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.master_keys import MasterKeys

KeyRowT = TypeVar("KeyRowT", AccountKeyRow, StoreKeyRow)
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
    place = _account_place(account_id)
    master, wrapped = master_keys(session).wrap(key, bound_to=place, by=_present(session))
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


class Fresh(NamedTuple):
    """A key that may seal already, and that nothing opens again until `keep` has stored it."""

    id: str
    key: DataKey


def fresh() -> Fresh:
    """Return a new key. A large thing is sealed before the transaction that makes it known stores its key."""
    return Fresh(new_id("dky"), DataKey.random())


def keep(session: Session, account_id: str, purpose: Purpose, made: Fresh, *, thing: str) -> None:
    """Store a new key of an account for one thing.

    Args:
        session: A writer's.
        account_id: Whose key it is.
        purpose: What it seals.
        made: The key; its id stands in the thing's row.
        thing: Which thing it is, by ids that never change; `get` must say the same.
    """
    above = of_account(session, account_id)
    place = _place(account_id, purpose, made.id, thing)
    wrapped = above.seal(made.key.secret, bound_to=place)
    session.add(
        DataKeyRow(
            id=made.id, account_id=account_id, purpose=purpose, wrapped=wrapped, created_at=now(session)
        )
    )
    session.flush()


def make(session: Session, account_id: str, purpose: Purpose, *, thing: str) -> Fresh:
    """Make a key of an account for one thing and store it; arguments as those of `keep`."""
    made = fresh()
    keep(session, account_id, purpose, made, thing=thing)
    return made


def get(session: Session, key_id: str, *, thing: str) -> DataKey:
    """Return a key by its id and the thing that it is for.

    Raises:
        KeyDestroyedError: When it is there no more, or its account's is not.
        MasterKeyError: When it is another thing's, or was changed.
    """
    row = session.get(DataKeyRow, key_id)
    if row is None:
        raise KeyDestroyedError(f"the key {key_id} is gone, and what it sealed with it")
    above = known_of_account(session, row.account_id)
    place = _place(row.account_id, row.purpose, row.id, thing)
    try:
        return DataKey(above.open(row.wrapped, bound_to=place))
    except SealBrokenError as error:
        raise MasterKeyError(f"the key {key_id} was changed in the store, or is not for {thing!r}") from error


def destroy(session: Session, key_ids: Collection[str]) -> None:
    """Delete keys; what they sealed opens nevermore."""
    session.execute(delete(DataKeyRow).where(DataKeyRow.id.in_(key_ids)))


def of_store(session: Session, name: str) -> DataKey:
    """Return a key of the store's own, making it if there is none yet; in a writer's session."""
    known = known_of_store(session, name)
    if known is not None:
        return known
    key = DataKey.random()
    master, wrapped = master_keys(session).wrap(key, bound_to=_store_place(name), by=_present(session))
    session.add(StoreKeyRow(name=name, master=master, wrapped=wrapped))
    session.flush()
    return key


def known_of_store(session: Session, name: str) -> DataKey | None:
    """Return a key of the store's own, or None when it was never needed."""
    row = session.get(StoreKeyRow, name)
    return None if row is None else _store_key(session, row)


def destroy_of_store(session: Session, name: str) -> None:
    """Delete a key of the store's own."""
    session.execute(delete(StoreKeyRow).where(StoreKeyRow.name == name))


def masters_in_use(db: Database) -> set[str]:
    """Return the ids of the master keys that seal any account's key, or one of the store's own."""
    with db.read() as session:
        return set(masters(session))


def masters(session: Session) -> dict[str, int]:
    """Return how many keys each master key seals, by its id."""
    counts: dict[str, int] = {}
    for table in (AccountKeyRow, StoreKeyRow):
        for master, count in session.execute(select(table.master, func.count()).group_by(table.master)):
            counts[master] = counts.get(master, 0) + count
    return counts


def check_all(session: Session) -> list[str]:
    """Open every account's key; return the ids of the accounts whose does not."""
    broken = []
    for row in session.scalars(select(AccountKeyRow).order_by(AccountKeyRow.account_id)):
        try:
            _account_key(session, row)
        except MasterKeyError:
            broken.append(row.account_id)
    return broken


def rewrap(session: Session, keys: MasterKeys) -> int:
    """Seal every key that another master key has sealed with the first of some; returns how many.

    What is sealed by the keys themselves stays as it is, so this takes as long for terabytes as for nothing.
    In a writer's session: from its commit on every process of this store seals with that master key.
    """
    to = keys.present
    places: list[tuple[AccountKeyRow | StoreKeyRow, str]] = [
        *((row, _account_place(row.account_id)) for row in _sealed_by_others(session, AccountKeyRow, to)),
        *((row, _store_place(row.name)) for row in _sealed_by_others(session, StoreKeyRow, to)),
    ]
    for row, place in places:
        key = keys.unwrap(row.master, row.wrapped, bound_to=place)
        row.master, row.wrapped = keys.wrap(key, bound_to=place, by=to)
    return len(places)


def _sealed_by_others(session: Session, table: type[KeyRowT], to: str) -> Sequence[KeyRowT]:
    return session.scalars(select(table).where(table.master != to)).all()


def _present(session: Session) -> str | None:
    """Return the master key that seals what is new: the store tells, for a process may have older ones.

    None for a store that has sealed nothing of its own yet: then it is the first of those given.
    """
    return session.scalar(select(StoreKeyRow.master).limit(1))


def _account_key(session: Session, row: AccountKeyRow) -> DataKey:
    return master_keys(session).unwrap(row.master, row.wrapped, bound_to=_account_place(row.account_id))


def _store_key(session: Session, row: StoreKeyRow) -> DataKey:
    return master_keys(session).unwrap(row.master, row.wrapped, bound_to=_store_place(row.name))


def _store_place(name: str) -> str:
    return f"the store's key for {name}"


def _account_place(account_id: str) -> str:
    return f"account key of {account_id}"


def _place(account_id: str, purpose: str, key_id: str, thing: str) -> str:
    return f"{purpose} key {key_id} of {account_id} for {thing}"
