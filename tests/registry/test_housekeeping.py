from datetime import timedelta

import pytest
from sqlalchemy import func, select

from reference_server.registry import callers, housekeeping, keys, sessions
from reference_server.registry.tables import KeySecretRow, SessionRow
from reference_server.security.credentials import issue


def count(registry, table):
    with registry.db.read() as session:
        return session.scalar(select(func.count()).select_from(table))


@pytest.mark.parametrize(("waited", "left"), [(99.999, 2), (100, 1), (3600, 0)])
def test_expired_sessions_are_deleted(registry, ada, waited, left):
    """A session goes when it has ended, and not before."""
    for seconds in (100, 3600):
        expires_at = registry.clock.now + timedelta(seconds=seconds)
        sessions.create(registry.db, ada.account_id, issue("session"), expires_at=expires_at)
    registry.clock.advance(waited)
    housekeeping.purge(registry.db)
    assert count(registry, SessionRow) == left


@pytest.mark.parametrize(("waited", "left"), [(19.999, 2), (20, 1), (10**8, 1)])
def test_secrets_past_their_overlap_are_deleted(registry, ada, waited, left):
    """A rotated secret goes when its overlap has ended; the one that opens the key stays."""
    old, new = issue("key"), issue("key")
    made = keys.create(registry.db, ada.account_id, old, name="k", scopes=["predict"], expires_at=None)
    keys.rotate(registry.db, ada.account_id, made.id, new, overlap_seconds=20)
    registry.clock.advance(waited)
    housekeeping.purge(registry.db)
    assert count(registry, KeySecretRow) == left
    assert (callers.find_caller(registry.db, old) is not None) == (left == 2)
    assert callers.find_caller(registry.db, new) is not None
