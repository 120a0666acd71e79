import pytest

from maas_client._package import open_package
from maas_client.types import PageQuery
from reference_server.demo.packages import MODEL
from reference_server.demo.provisioning import provision
from reference_server.registry import accounts, aliases, callers, keys, versions
from reference_server.registry.database import Database, upgrade
from reference_server.security import credentials
from reference_server.security.callers import ALL_SCOPES, Caller
from reference_server.settings import Settings

ALL = PageQuery(limit=1000)


def account(database, name, *, role="user", email=None):
    return accounts.create(
        database,
        email=email or f"{name}@example.com",
        password_hash="$argon2id$none",
        name=name,
        role=role,
        policy_version="1",
    )


def caller(account):
    return Caller(account.id, account.name, account.role, "", "session", ALL_SCOPES)


def whose(database, secret):
    """Return the name and role that a secret speaks for, or None when it does not hold."""
    found = callers.find_caller(database, credentials.parse(secret))
    return found and (found.account_name, found.role)


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data", provider="cpu")


@pytest.fixture
def database(settings):
    upgrade(settings.database)
    database = Database(settings.database)
    yield database
    database.dispose()


@pytest.mark.usefixtures("cached_negations")
def test_a_first_start_and_a_second(settings, database, said):
    """Accounts, versions and `default` are made once; the keys are new each time, and older ones end."""
    first = provision(settings, log=said.append)
    assert whose(database, first["api_key"]) == ("demo", "user")
    assert whose(database, first["admin_key"]) == ("operator", "operator")
    made = accounts.list_accounts(database)
    assert [one.email for one in made] == ["demo@maas.example", "operator@maas.example"]
    demo = caller(made[0])
    published = versions.list_versions(database, demo, MODEL, ALL).data
    assert [version.version for version in published] == [2, 1]
    assert "held-out sentences are right" in published[0].notes
    default = aliases.get(database, demo, MODEL, "default")
    assert (default.version, default.revision) == (2, 2)
    assert default.note.endswith("% before.")

    second = provision(settings, log=pytest.fail)
    assert set(second) == {"api_key", "admin_key"}
    assert set(second.values()).isdisjoint(first.values())
    assert [whose(database, secret) for secret in first.values()] == [None, None]
    assert whose(database, second["api_key"]) == ("demo", "user")
    assert whose(database, second["admin_key"]) == ("operator", "operator")
    assert accounts.list_accounts(database) == made
    assert versions.list_versions(database, demo, MODEL, ALL).data == published
    assert aliases.get(database, demo, MODEL, "default") == default
    for one in made:
        assert len(keys.list_keys(database, one.id, ALL).data) == 1


@pytest.mark.usefixtures("cached_negations")
def test_what_people_did_meanwhile_stays(settings, database, said):
    """A second start leaves other keys and a moved `default` alone, and others see the public model."""
    provision(settings, log=said.append)
    demo = accounts.find(database, "demo")
    credential = credentials.issue("key")
    keys.create(database, demo.id, credential, name="of my own", scopes=["predict"], expires_at=None)
    aliases.move(
        database, caller(demo), MODEL, "default", version=1, note="I like it better", expected_revision=None
    )
    provision(settings, log=said.append)
    assert whose(database, credential.secret) == ("demo", "user")
    default = aliases.get(database, caller(demo), MODEL, "default")
    assert (default.version, default.note) == (1, "I like it better")
    stranger = caller(account(database, "ada"))
    assert len(versions.list_versions(database, stranger, MODEL, ALL).data) == 2


def test_without_a_network_both_versions_of_our_own_sentences_are_published(
    settings, database, said, cache, built
):
    """The store holds those packages and their notes; `default` is the second only if it is better."""
    provision(settings, log=said.append)
    assert "a few sentences of our own instead" in "\n".join(said)
    demo = caller(accounts.find(database, "demo"))
    digests = []
    for path in sorted(cache.glob("demo/*/*.zip")):
        with open_package(path) as package:
            digests.append(package.digest)
    published = versions.list_versions(database, demo, MODEL, ALL).data
    assert [version.digest for version in reversed(published)] == digests
    assert [version.notes for version in reversed(published)] == [one.notes for one in built]
    better = built[1].measured["accuracy"] > built[0].measured["accuracy"]
    assert aliases.get(database, demo, MODEL, "default").version == (2 if better else 1)


@pytest.mark.parametrize(("name", "role"), [("demo", "operator"), ("operator", "user")])
def test_an_account_of_another_role_is_refused(settings, database, cache, name, role):
    """A store where somebody else has the address is not touched: no key, no model; the message says why."""
    email = f"{name}@maas.example"
    taken = account(database, "somebody", role=role, email=email)
    expected = f"{email} of this store has the role '{role}'.*another --data-dir"
    with pytest.raises(ValueError, match=expected):
        provision(settings, log=pytest.fail)
    assert accounts.get(database, taken.id) == taken
    for one in accounts.list_accounts(database):
        assert keys.list_keys(database, one.id, ALL).data == []
    assert list(settings.data_dir.glob("artifacts/*")) == []
    assert not cache.exists()
