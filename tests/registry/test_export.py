from datetime import timedelta

import pytest

from maas_client.types import ModelQuery, PageQuery
from reference_server.errors import NotFound
from reference_server.registry import accounts, aliases, idempotency, keys, models, sessions, versions
from reference_server.registry.export import export
from reference_server.registry.idempotency import StoredReply
from reference_server.security.credentials import issue


@pytest.fixture
def lived_in(registry, ada, bob, package):
    """Return a registry in which ada has something of everything, and bob too."""
    registry.credentials = []

    def credential(kind):
        registry.credentials.append(issue(kind))
        return registry.credentials[-1]

    for caller in (ada, bob):
        account, name, later = caller.account_id, caller.account_name, registry.clock.now + timedelta(hours=1)
        sessions.create(registry.db, account, credential("session"), expires_at=later)
        for label, end in (("lasting", None), ("short", later)):
            made = keys.create(
                registry.db,
                account,
                credential("key"),
                name=f"{label} of {name}",
                scopes=["predict"],
                expires_at=end,
            )
        keys.rotate(registry.db, account, made.id, credential("key"), overlap_seconds=60)
        registry.publish(caller, f"words-{name}", package("1"), visibility="public", notes=f"By {name}.")
        registry.publish(caller, f"words-{name}", package("2"), set_default=True)
        registry.publish(caller, f"other-{name}", package("1"))
        models.create(registry.db, caller, name=f"empty-{name}", visibility="private")
        aliases.move(registry.db, caller, f"words-{name}", "best", version=1, note="", expected_revision=None)
        idempotency.begin(
            registry.db, owner=account, key_hash="kh" * 32, fingerprint="fp-" + name, lease_seconds=1
        )
        idempotency.complete(
            registry.db, owner=account, key_hash="kh" * 32, reply=StoredReply(201, b"a-reply", sealed=True)
        )
    registry.ada = ada
    return registry


def test_an_export_holds_everything_of_its_account(lived_in):
    """What the single calls tell, the export tells, all of it."""
    db, ada = lived_in.db, lived_in.ada
    found = export(db, ada.account_id)
    assert found.account == accounts.get(db, ada.account_id)
    assert found.sessions == sessions.list_sessions(db, ada.account_id, PageQuery(), current=None).data
    by_id = sorted(keys.list_keys(db, ada.account_id, PageQuery()).data, key=lambda key: key.id)
    assert sorted(found.keys, key=lambda key: key.id) == by_id
    assert found.models == models.list_models(db, ada, ModelQuery(owner="me")).data
    assert [model.name for model in found.models] == ["empty-ada", "other-ada", "words-ada"]
    assert found.versions == [
        version
        for model in found.models
        for version in versions.list_versions(db, ada, model.name, PageQuery()).data
    ]
    assert [(version.model, version.version) for version in found.versions] == [
        ("other-ada", 1),
        ("words-ada", 2),
        ("words-ada", 1),
    ]
    assert {
        model: sorted((change.alias, change.revision) for change in changes)
        for model, changes in found.alias_changes.items()
    } == {
        "empty-ada": [],
        "other-ada": [("default", 1)],
        "words-ada": [("best", 1), ("default", 1), ("default", 2)],
    }
    for change in found.alias_changes["words-ada"]:
        told = aliases.history(db, ada, "words-ada", change.alias, PageQuery()).data
        assert change in told


def test_an_export_keeps_what_has_ended(lived_in):
    """An expired key is still something that the service holds."""
    lived_in.clock.advance(7200)
    names = {key.name for key in export(lived_in.db, lived_in.ada.account_id).keys}
    assert names == {"lasting of ada", "short of ada"}


def test_an_export_holds_no_secret(lived_in):
    """Neither a secret nor a hash nor a stored reply is in it, even for a writer that reveals secrets."""
    text = export(lived_in.db, lived_in.ada.account_id).model_dump_json(context={"reveal": True})
    login = accounts.find_login(lived_in.db, "ada@example.com")
    assert login.password_hash not in text
    for credential in lived_in.credentials:
        assert credential.secret not in text
        assert credential.hash not in text
        assert credential.secret[len(credential.prefix) : -4] not in text
    for word in ("password", "argon2", "hash", "secret", "khkh", "fp-ada", "a-reply", "artifact"):
        assert word not in text


def test_an_export_holds_nothing_of_others(lived_in):
    """Another account's name, models and keys are not in it, though some are public."""
    assert "bob" in export(lived_in.db, accounts.find(lived_in.db, "bob").id).model_dump_json()
    assert "bob" not in export(lived_in.db, lived_in.ada.account_id).model_dump_json()


def test_an_export_of_a_new_account_is_empty(registry, ada):
    """Who has done nothing yet has nothing but the account."""
    assert export(registry.db, ada.account_id).model_dump(exclude={"account"}) == {
        "sessions": [],
        "keys": [],
        "models": [],
        "versions": [],
        "alias_changes": {},
        "events": {},
        "jobs": [],
        "traffic_changes": {},
        "usage": [],
        "shares": {},
        "shared_with_me": [],
        "captures": {},
    }


def test_nobody_has_no_export(registry):
    """An account that is not there is not found."""
    with pytest.raises(NotFound):
        export(registry.db, "acc_none")
