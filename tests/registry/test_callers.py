from datetime import UTC, timedelta

import pytest

from reference_server.registry import accounts, callers, housekeeping, keys, sessions
from reference_server.registry.callers import Use
from reference_server.security.callers import ALL_SCOPES, Caller
from reference_server.security.credentials import Credential, issue
from reference_server.security.limits import Limits


@pytest.fixture
def key(registry, ada):
    """Return the credential and the row of a key of ada's that ends in 100 seconds."""
    credential = issue("key")
    made = keys.create(
        registry.db,
        ada.account_id,
        credential,
        name="laptop",
        scopes=["models:read", "predict"],
        expires_at=registry.clock.now + timedelta(seconds=100),
    )
    return credential, made


@pytest.fixture
def session(registry, ada):
    """Return the credential and the row of a session of ada's that ends in 100 seconds."""
    credential = issue("session")
    expires_at = registry.clock.now + timedelta(seconds=100)
    return credential, sessions.create(registry.db, ada.account_id, credential, expires_at=expires_at)


def test_a_key_stands_for_its_account_within_its_scopes(registry, ada, key):
    """Whoever shows a key is its account, limited to what the key may do."""
    credential, made = key
    assert callers.find_caller(registry.db, credential) == Caller(
        ada.account_id,
        "ada",
        "user",
        made.id,
        "key",
        frozenset({"models:read", "predict"}),
        limits=Limits(expires_at=made.expires_at),
    )


def test_a_session_stands_for_its_account_in_full(registry, ada, session):
    """Whoever is logged in may do everything that the account may."""
    credential, made = session
    assert callers.find_caller(registry.db, credential) == Caller(
        ada.account_id, "ada", "user", made.id, "session", ALL_SCOPES
    )


def test_a_role_counts_from_the_next_request(registry, ada, session):
    """The role is the account's present one, not the one at log-in."""
    accounts.set_role(registry.db, ada.account_id, "operator")
    assert callers.find_caller(registry.db, session[0]).role == "operator"


def shut_out(registry, ada, made):
    accounts.set_disabled(registry.db, ada.account_id, disabled=True)


def let_in_again(registry, ada, made):
    accounts.set_disabled(registry.db, ada.account_id, disabled=True)
    accounts.set_disabled(registry.db, ada.account_id, disabled=False)


def rotated(seconds):
    def act(registry, ada, made):
        keys.rotate(registry.db, ada.account_id, made.id, issue("key"), overlap_seconds=20)
        registry.clock.advance(seconds)

    return act


def waited(seconds):
    return lambda registry, ada, made: registry.clock.advance(seconds)


def purged_after(seconds):
    def act(registry, ada, made):
        registry.clock.advance(seconds)
        housekeeping.purge(registry.db)

    return act


@pytest.mark.parametrize(
    ("act", "holds"),
    [
        pytest.param(waited(0), True, id="new"),
        pytest.param(waited(99.999), True, id="just before its end"),
        pytest.param(waited(100), False, id="at its end"),
        pytest.param(waited(1e6), False, id="long expired"),
        pytest.param(shut_out, False, id="account disabled"),
        pytest.param(let_in_again, True, id="account enabled again"),
        pytest.param(lambda r, a, m: keys.revoke(r.db, a.account_id, m.id), False, id="revoked"),
        pytest.param(rotated(0), True, id="just rotated"),
        pytest.param(rotated(19.999), True, id="rotated, within the overlap"),
        pytest.param(rotated(20), False, id="rotated, at the overlap's end"),
        pytest.param(purged_after(99), True, id="swept before its end"),
        pytest.param(purged_after(100), False, id="swept after its end"),
    ],
)
def test_whether_a_key_holds(registry, ada, key, act, holds):
    """A key holds until it expires, is revoked or is rotated away, and while its account is let in."""
    credential, made = key
    act(registry, ada, made)
    assert (callers.find_caller(registry.db, credential) is not None) is holds


def test_a_key_that_expires_ends_its_old_secrets_too(registry, ada, key):
    """An overlap does not outlast the key."""
    credential, made = key
    keys.rotate(registry.db, ada.account_id, made.id, issue("key"), overlap_seconds=3600)
    registry.clock.advance(100)
    assert callers.find_caller(registry.db, credential) is None


@pytest.mark.parametrize(
    ("act", "holds"),
    [
        pytest.param(waited(0), True, id="new"),
        pytest.param(waited(99.999), True, id="just before its end"),
        pytest.param(waited(100), False, id="at its end"),
        pytest.param(shut_out, False, id="account disabled"),
        pytest.param(let_in_again, False, id="account enabled again"),
        pytest.param(lambda r, a, m: sessions.end(r.db, a.account_id, m.id), False, id="ended"),
        pytest.param(
            lambda r, a, m: accounts.set_password(r.db, a.account_id, "new", keep_session=m.id),
            True,
            id="changed the password",
        ),
        pytest.param(
            lambda r, a, m: accounts.set_password(r.db, a.account_id, "new", keep_session=None),
            False,
            id="password changed elsewhere",
        ),
        pytest.param(purged_after(99), True, id="swept before its end"),
    ],
)
def test_whether_a_session_holds(registry, ada, session, act, holds):
    """A session holds until it ends, and while its account is let in."""
    credential, made = session
    act(registry, ada, made)
    assert (callers.find_caller(registry.db, credential) is not None) is holds


@pytest.mark.parametrize("kind", ["key", "session"])
def test_an_unknown_credential_stands_for_nobody(registry, key, session, kind):
    """A well-formed secret that was never stored opens nothing."""
    assert callers.find_caller(registry.db, issue(kind)) is None


def test_a_secret_of_one_kind_opens_nothing_of_the_other(registry, key, session):
    """The same secret presented as the other kind is unknown."""
    assert callers.find_caller(registry.db, Credential("session", key[0].secret)) is None
    assert callers.find_caller(registry.db, Credential("key", session[0].secret)) is None


def test_expired_keys_stay_to_be_seen(registry, ada, key):
    """Housekeeping deletes what nobody needs, and leaves the owner a key that stopped."""
    registry.clock.advance(100)
    housekeeping.purge(registry.db)
    assert keys.get(registry.db, ada.account_id, key[1].id) == key[1]


def last_used(registry, ada, made):
    return keys.get(registry.db, ada.account_id, made.id).last_used_at


def test_the_last_use_only_moves_forward(registry, ada, key):
    """A later time stays when a worker reports an earlier one late."""
    _, made = key
    now = registry.clock.now
    for seconds, expected in ((5, 5), (3, 5), (9, 9)):
        callers.touch(registry.db, {made.id: Use(now + timedelta(seconds=seconds), f"203.0.113.{seconds}")})
        assert last_used(registry, ada, made) == now + timedelta(seconds=expected)
        used_from = keys.get(registry.db, ada.account_id, made.id).last_used_from
        assert used_from == f"203.0.113.{expected}"
    assert last_used(registry, ada, made).tzinfo is UTC


def test_uses_of_many_keys_are_written_together(registry, ada, key):
    """A key that is gone is passed over, and the others get their times."""
    _, made = key
    other = keys.create(
        registry.db, ada.account_id, issue("key"), name="two", scopes=["predict"], expires_at=None
    )
    now = registry.clock.now
    second = now + timedelta(seconds=1)
    uses = {made.id: now, "key_gone": now, other.id: second}
    callers.touch(registry.db, {key_id: Use(at, "2001:db8::1") for key_id, at in uses.items()})
    callers.touch(registry.db, {})
    assert last_used(registry, ada, made) == now
    assert last_used(registry, ada, other) == now + timedelta(seconds=1)
