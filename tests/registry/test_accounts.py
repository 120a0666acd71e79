import dataclasses
import re

import pytest

from maas_client.types import PageQuery
from reference_server.errors import Conflict, NotFound
from reference_server.registry import accounts, sessions
from reference_server.registry.account_names import make_account_name
from reference_server.security.credentials import issue


def create(registry, email="ada@example.com", *, name="ada", role="user"):
    return accounts.create(
        registry.db, email=email, password_hash="a hash", name=name, role=role, policy_version="2030-01"
    )


def test_an_account_is_read_as_it_was_made(registry):
    """Every field comes back, by id and by either of its two names."""
    made = create(registry, role="operator")
    assert made.model_dump() == {
        "id": made.id,
        "name": "ada",
        "email": "ada@example.com",
        "role": "operator",
        "policy_version": "2030-01",
        "created_at": registry.clock.now,
    }
    assert accounts.get(registry.db, made.id) == made
    assert accounts.find(registry.db, "ada") == made
    assert accounts.find(registry.db, " Ada@Example.COM") == made


def test_the_e_mail_is_kept_in_lower_case(registry):
    """An address is stored, and logs in, without regard to case."""
    assert create(registry, " Ada@Example.COM ").email == "ada@example.com"
    assert accounts.find_login(registry.db, "ADA@example.com").account.name == "ada"


@pytest.mark.parametrize("again", ["ada@example.com", "ADA@EXAMPLE.COM", " ada@Example.com "])
def test_one_e_mail_has_one_account(registry, again):
    """A second account of an address is a conflict however the address is written."""
    create(registry)
    with pytest.raises(Conflict) as caught:
        create(registry, again, name="other")
    assert (caught.value.code, caught.value.param) == ("email_taken", "email")
    assert [account.name for account in accounts.list_accounts(registry.db)] == ["ada"]


def test_one_name_has_one_account(registry):
    """A taken name is a conflict, and its e-mail stays free."""
    create(registry)
    with pytest.raises(Conflict) as caught:
        create(registry, "bob@example.com")
    assert (caught.value.code, caught.value.param) == ("name_taken", "name")
    assert accounts.find_login(registry.db, "bob@example.com") is None


def test_registering_at_once_makes_one_account(registry, at_once):
    """Of many registrations of one address together exactly one succeeds."""

    def register(name):
        try:
            return create(registry, name=name).name
        except Conflict as error:
            return error.code

    results = at_once(*(lambda name=f"ada-{n}": register(name) for n in range(6)))
    assert results.count("email_taken") == 5
    assert len(accounts.list_accounts(registry.db)) == 1


def test_a_missing_name_is_made_up(registry):
    """The name made up can stand in `account~model` and tells nothing of the e-mail."""
    made = create(registry, "secretive@example.com", name=None)
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{4}", made.name)
    assert "secretive" not in made.name


def test_a_made_up_name_that_is_taken_is_made_anew(registry, monkeypatch):
    """Chance may repeat itself, accounts may not."""
    create(registry)
    drawn = iter(["ada", "ada", "amber-otter-0417"])
    monkeypatch.setattr(accounts, "make_account_name", lambda: next(drawn))
    assert create(registry, "bob@example.com", name=None).name == "amber-otter-0417"


def test_names_made_up_differ():
    """A hundred draws out of ten million hardly repeat."""
    assert len({make_account_name() for _ in range(100)}) > 90


def test_a_log_in_is_checked_against_hash_and_state(registry):
    """What a log-in needs is the account, its hash and whether it is shut out; the hash is not shown."""
    made = create(registry)
    login = accounts.find_login(registry.db, "ada@example.com")
    assert dataclasses.astuple(login) == (made, "a hash", False)
    assert "a hash" not in repr(login)
    assert accounts.find_login(registry.db, "nobody@example.com") is None


def test_accounts_are_listed_by_name(registry):
    """Operators see every account, in order."""
    for name in ("carol", "ada", "bob"):
        create(registry, f"{name}@example.com", name=name)
    assert [account.name for account in accounts.list_accounts(registry.db)] == ["ada", "bob", "carol"]


def open_session(registry, account):
    expires_at = registry.clock.now.replace(year=2031)
    return sessions.create(registry.db, account.id, issue("session"), expires_at=expires_at).id


def live(registry, account):
    page = sessions.list_sessions(registry.db, account.id, PageQuery(), current=None)
    return {session.id for session in page.data}


def test_a_new_password_ends_the_other_sessions(registry):
    """The hash is replaced, and only the session that asked for it and other accounts' go on."""
    ada, bob = create(registry), create(registry, "bob@example.com", name="bob")
    mine, _, bobs = open_session(registry, ada), open_session(registry, ada), open_session(registry, bob)
    accounts.set_password(registry.db, ada.id, "another hash", keep_session=mine)
    assert accounts.find_login(registry.db, ada.email).password_hash == "another hash"
    assert accounts.find_login(registry.db, bob.email).password_hash == "a hash"
    assert live(registry, ada) == {mine}
    assert live(registry, bob) == {bobs}


def test_a_new_password_may_end_every_session(registry):
    """An operator who sets a password keeps none."""
    ada = create(registry)
    open_session(registry, ada)
    accounts.set_password(registry.db, ada.id, "another hash", keep_session=None)
    assert live(registry, ada) == set()


def test_disabling_ends_every_session(registry):
    """Who is shut out and let in again has to log in anew."""
    ada = create(registry)
    open_session(registry, ada)
    accounts.set_disabled(registry.db, ada.id, disabled=True)
    assert accounts.find_login(registry.db, ada.email).disabled
    accounts.set_disabled(registry.db, ada.id, disabled=False)
    assert not accounts.find_login(registry.db, ada.email).disabled
    assert live(registry, ada) == set()


def test_a_role_can_change(registry):
    """An operator makes another."""
    ada = create(registry)
    accounts.set_role(registry.db, ada.id, "operator")
    assert accounts.get(registry.db, ada.id).role == "operator"


@pytest.mark.parametrize(
    "call",
    [
        lambda db: accounts.get(db, "acc_none"),
        lambda db: accounts.find(db, "nobody"),
        lambda db: accounts.set_password(db, "acc_none", "hash", keep_session=None),
        lambda db: accounts.set_role(db, "acc_none", "operator"),
        lambda db: accounts.set_disabled(db, "acc_none", disabled=True),
    ],
)
def test_an_unknown_account_is_not_found(registry, call):
    """Nothing passes over an account that is not there."""
    create(registry)
    with pytest.raises(NotFound) as caught:
        call(registry.db)
    assert caught.value.code == "account_not_found"
