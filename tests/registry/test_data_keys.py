"""Keys of accounts and of what is theirs: what opens them, and what destroys them."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from reference_server.registry import data_keys
from reference_server.registry.data_keys import KeyDestroyedError
from reference_server.registry.database import Database
from reference_server.registry.tables import AccountKeyRow, DataKeyRow
from reference_server.security.encryption import DataKey
from reference_server.security.master_keys import MasterKeyError, MasterKeys


@pytest.fixture(name="people")
def two_accounts(registry):
    """The ids of two accounts."""
    return [registry.account(name).account_id for name in ("ada", "bob")]


def test_an_account_has_one_key_and_each_thing_its_own(registry, people) -> None:
    """They are found again by their ids."""
    ada, bob = people
    with registry.db.write() as session:
        first, second = (data_keys.make(session, ada, "version", thing=thing) for thing in "12")
        own = data_keys.of_account(session, ada)
        assert data_keys.of_account(session, ada) == own != data_keys.of_account(session, bob)
    with registry.db.read() as session:
        assert [
            data_keys.get(session, made.id, thing=thing)
            for made, thing in zip((first, second), "12", strict=True)
        ] == [first.key, second.key]
        assert data_keys.known_of_account(session, ada) == own
        assert len(session.scalars(select(AccountKeyRow)).all()) == len(people)


def test_no_key_stands_in_the_store_in_clear(registry, people) -> None:
    """Not a byte string of it, in no row."""
    with registry.db.write() as session:
        _, key = data_keys.make(session, people[0], "version", thing="1")
        above = data_keys.of_account(session, people[0])
    with registry.db.read() as session:
        kept = b"".join(
            [*session.scalars(select(AccountKeyRow.wrapped)), *session.scalars(select(DataKeyRow.wrapped))]
        )
    assert key.secret not in kept
    assert above.secret not in kept


def test_a_destroyed_key_is_gone(registry, people) -> None:
    """And says so, whoever asks; so are all when the account's is."""
    with registry.db.write() as session:
        (gone, _), (left, _) = (data_keys.make(session, people[0], "job", thing="1") for _ in range(2))
        data_keys.destroy(session, [gone])
    with registry.db.read() as session:
        data_keys.get(session, left, thing="1")
        with pytest.raises(KeyDestroyedError, match=gone):
            data_keys.get(session, gone, thing="1")
    with registry.db.write() as session:
        session.delete(session.get_one(AccountKeyRow, people[0]))
    with registry.db.read() as session, pytest.raises(KeyDestroyedError, match=people[0]):
        data_keys.get(session, left, thing="1")


def test_a_key_that_was_put_in_the_place_of_another_does_not_open(registry, people) -> None:
    """Neither another thing's nor another account's."""
    ada, bob = people
    with registry.db.write() as session:
        one, other = (data_keys.make(session, owner, "version", thing="1")[0] for owner in (ada, bob))
        wrapped = session.get_one(DataKeyRow, one).wrapped
        session.execute(update(DataKeyRow).where(DataKeyRow.id == other).values(wrapped=wrapped))
        mine = session.get_one(AccountKeyRow, ada).wrapped
        session.execute(update(AccountKeyRow).where(AccountKeyRow.account_id == bob).values(wrapped=mine))
    with registry.db.read() as session:
        with pytest.raises(MasterKeyError, match="changed in the store"):
            data_keys.known_of_account(session, bob)
        session.get_one(AccountKeyRow, bob)
    with registry.db.write() as session:
        session.execute(update(DataKeyRow).where(DataKeyRow.id == one).values(purpose="job"))
    with registry.db.read() as session, pytest.raises(MasterKeyError, match="changed in the store"):
        data_keys.get(session, one, thing="1")


def test_a_key_opens_for_its_own_thing_alone(registry, people) -> None:
    """Two versions whose rows were exchanged, or one that was rolled back, are told by that."""
    with registry.db.write() as session:
        key_id, _ = data_keys.make(session, people[0], "version", thing="mdl_1 version 2")
    with registry.db.read() as session, pytest.raises(MasterKeyError, match="mdl_1 version 1"):
        data_keys.get(session, key_id, thing="mdl_1 version 1")


def test_a_rotation_seals_the_accounts_keys_anew_and_changes_nothing_else(
    registry, people, master_keys
) -> None:
    """Then the old master key is not needed any more."""
    with registry.db.write() as session:
        key_id, key = data_keys.make(session, people[0], "version", thing="1")
        before = session.get_one(DataKeyRow, key_id).wrapped
    new = DataKey.random()
    both = Database(registry.url, master_keys=MasterKeys({"mk_new": new, **master_keys.keys}))
    alone = Database(registry.url, master_keys=MasterKeys({"mk_new": new}))
    with alone.read() as session, pytest.raises(MasterKeyError, match="not among those given"):
        data_keys.get(session, key_id, thing="1")
    for count in (1, 0):
        with both.write() as session:
            assert data_keys.rewrap(session, MasterKeys({"mk_new": new, **master_keys.keys})) == count
    assert data_keys.masters_in_use(alone) == {"mk_new"}
    with alone.read() as session:
        assert data_keys.get(session, key_id, thing="1") == key
        assert session.get_one(DataKeyRow, key_id).wrapped == before
    both.dispose()
    alone.dispose()


def test_without_a_master_key_nothing_opens(registry, people) -> None:
    """A process that was given none says so and makes none up."""
    opened = Database(registry.url)
    with opened.write() as session, pytest.raises(MasterKeyError, match="without a master key"):
        data_keys.of_account(session, people[0])
    opened.dispose()
