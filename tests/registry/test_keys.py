from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from maas_client.types import PageQuery
from reference_server.errors import NotFound, Unprocessable
from reference_server.registry import callers, keys
from reference_server.registry.tables import KeySecretRow
from reference_server.security.credentials import issue


def create(registry, caller, credential=None, *, name="laptop", scopes=("predict",), expires_at=None):
    return keys.create(
        registry.db,
        caller.account_id,
        credential or issue("key"),
        name=name,
        scopes=list(scopes),
        expires_at=expires_at,
    )


def listed(registry, caller):
    return keys.list_keys(registry.db, caller.account_id, PageQuery()).data


def test_a_key_is_read_as_it_was_made(registry, ada):
    """Every field comes back, of the secret only its public ends."""
    credential = issue("key")
    expires_at = registry.clock.now + timedelta(days=1)
    made = create(registry, ada, credential, scopes=("models:read", "predict"), expires_at=expires_at)
    assert made.model_dump() == {
        "id": made.id,
        "name": "laptop",
        "prefix": credential.secret[:17],
        "last4": credential.secret[-4:],
        "scopes": ["models:read", "predict"],
        "created_at": registry.clock.now,
        "expires_at": expires_at,
        "models": None,
        "networks": None,
        "requests_per_minute": None,
        "rows_per_day": None,
        "last_used_at": None,
        "last_used_from": None,
    }
    assert keys.get(registry.db, ada.account_id, made.id) == made
    assert listed(registry, ada) == [made]


def test_an_expiry_keeps_its_moment_whatever_its_offset(registry, ada):
    """A time given with an offset is the same time in UTC."""
    expires_at = datetime.fromisoformat("2030-06-01T12:00:00+05:30")
    made = create(registry, ada, expires_at=expires_at)
    read = keys.get(registry.db, ada.account_id, made.id).expires_at
    assert read == expires_at
    assert read.isoformat() == "2030-06-01T06:30:00+00:00"


def test_the_database_never_sees_a_secret(registry, ada):
    """Neither the database's files nor its journal hold the secret of a key, new or rotated."""
    secrets = [issue("key"), issue("key")]
    made = create(registry, ada, secrets[0])
    keys.rotate(registry.db, ada.account_id, made.id, secrets[1], overlap_seconds=60)
    files = [file.read_bytes() for file in registry.folder.parent.glob("maas.db*")]
    for credential in secrets:
        # The checksum, as far as it is not shown, tells whether any of the random part got in.
        hidden = credential.secret[len(credential.prefix) : -4].encode()
        assert not any(hidden in content for content in files)
        assert any(credential.hash.encode() in content for content in files)


def test_keys_are_listed_newest_first(registry, ada, bob):
    """An owner sees their own keys only, expired ones included."""
    names = ["a", "b", "c"]
    for name in names:
        create(registry, ada, name=name, expires_at=registry.clock.now + timedelta(seconds=1))
        registry.clock.advance(10)
    create(registry, bob, name="bob's")
    assert [key.name for key in listed(registry, ada)] == names[::-1]


def test_the_pages_hold_every_key_once(registry, ada, every_page):
    """Keys of one moment are told apart, and a key made meanwhile shifts no page."""
    made = {create(registry, ada).id for _ in range(7)}

    def read(query):
        page = keys.list_keys(registry.db, ada.account_id, query)
        registry.clock.advance(1)
        create(registry, ada, name="meanwhile")
        return page

    pages = every_page(read, limit=3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert {key.id for page in pages for key in page} == made


@pytest.mark.parametrize(
    ("expires_at", "code"),
    [
        ("2030-01-31T12:00:00", "expiry_without_offset"),
        ("2030-01-01T12:00:00Z", "expiry_in_the_past"),
        ("2030-01-01T11:59:59.999Z", "expiry_in_the_past"),
        ("2030-01-01T13:59:59+02:00", "expiry_in_the_past"),
    ],
)
def test_a_key_that_could_never_be_used_is_refused(registry, ada, expires_at, code):
    """An expiry is a moment in the future; nothing is kept of a key without one."""
    with pytest.raises(Unprocessable) as caught:
        create(registry, ada, expires_at=datetime.fromisoformat(expires_at))
    assert (caught.value.code, caught.value.param) == (code, "expires_at")
    assert listed(registry, ada) == []


def test_rotation_shows_the_new_ends(registry, ada):
    """A rotated key keeps its id, name and scopes, and shows the new secret's ends."""
    made, credential = create(registry, ada), issue("key")
    rotated = keys.rotate(registry.db, ada.account_id, made.id, credential, overlap_seconds=0)
    expected = {"prefix": credential.prefix, "last4": credential.last4}
    assert rotated == made.model_copy(update=expected)
    assert keys.get(registry.db, ada.account_id, made.id) == rotated


def test_a_short_overlap_is_not_lengthened_by_the_next(registry, ada):
    """Rotating again ends an older secret no later than was said before."""
    first, second, third = (issue("key") for _ in range(3))
    made = create(registry, ada, first)
    keys.rotate(registry.db, ada.account_id, made.id, second, overlap_seconds=10)
    keys.rotate(registry.db, ada.account_id, made.id, third, overlap_seconds=60)
    registry.clock.advance(10)
    assert callers.find_caller(registry.db, first) is None
    assert callers.find_caller(registry.db, second) is not None
    registry.clock.advance(50)
    assert callers.find_caller(registry.db, second) is None
    assert callers.find_caller(registry.db, third) is not None


def test_a_hasty_rotation_ends_every_older_secret(registry, ada):
    """Rotating without overlap cuts short an overlap that still runs."""
    first, second, third = (issue("key") for _ in range(3))
    made = create(registry, ada, first)
    keys.rotate(registry.db, ada.account_id, made.id, second, overlap_seconds=3600)
    keys.rotate(registry.db, ada.account_id, made.id, third, overlap_seconds=0)
    assert [callers.find_caller(registry.db, one) is not None for one in (first, second, third)] == [
        False,
        False,
        True,
    ]


def test_a_revoked_key_leaves_nothing(registry, ada):
    """Every secret goes with its key, those in overlap too."""
    made = create(registry, ada)
    keys.rotate(registry.db, ada.account_id, made.id, issue("key"), overlap_seconds=60)
    keys.revoke(registry.db, ada.account_id, made.id)
    assert listed(registry, ada) == []
    with registry.db.read() as session:
        assert list(session.scalars(select(KeySecretRow.hash))) == []


@pytest.mark.parametrize(
    "call",
    [
        keys.get,
        keys.revoke,
        lambda db, account, key: keys.rotate(db, account, key, issue("key"), overlap_seconds=0),
    ],
)
def test_another_accounts_key_is_not_found(registry, ada, bob, call):
    """What is another's answers like what is not there, and stays as it was."""
    made = create(registry, ada)
    for account_id, key_id in ((bob.account_id, made.id), (ada.account_id, "key_none")):
        with pytest.raises(NotFound) as caught:
            call(registry.db, account_id, key_id)
        assert caught.value.code == "key_not_found"
    assert listed(registry, ada) == [made]
