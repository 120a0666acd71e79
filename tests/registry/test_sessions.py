from datetime import timedelta

import pytest

from maas_client.types import PageQuery
from reference_server.errors import InvalidRequest, NotFound
from reference_server.registry import keys, sessions
from reference_server.security.credentials import issue


@pytest.fixture
def log_in(registry):
    """Return a function that opens a session and moves the clock on by a second."""

    def open_one(caller, *, seconds=3600):
        expires_at = registry.clock.now + timedelta(seconds=seconds)
        made = sessions.create(registry.db, caller.account_id, issue("session"), expires_at=expires_at)
        registry.clock.advance(1)
        return made

    return open_one


def listed(registry, caller, *, current=None):
    page = sessions.list_sessions(registry.db, caller.account_id, PageQuery(), current=current)
    return page.data


def test_sessions_are_listed_newest_first(registry, ada, bob, log_in):
    """An owner sees their own sessions only, with their times, the present one marked."""
    first, second = log_in(ada), log_in(ada)
    log_in(bob)
    found = listed(registry, ada, current=first.id)
    assert [session.id for session in found] == [second.id, first.id]
    assert [session.current for session in found] == [False, True]
    assert (found[1].created_at, found[1].expires_at) == (first.created_at, first.expires_at)


def test_an_expired_session_is_not_listed(registry, ada, log_in):
    """At its very end a session is gone from the listing."""
    session = log_in(ada, seconds=10)
    registry.clock.advance(8.999)
    assert [one.id for one in listed(registry, ada)] == [session.id]
    registry.clock.advance(0.001)
    assert listed(registry, ada) == []


def test_the_pages_hold_every_session_once(registry, ada, log_in, every_page):
    """Sessions of the same moment are told apart too, over as many pages as it takes."""
    made = [log_in(ada).id for _ in range(4)]
    registry.clock.advance(-1)
    made += [log_in(ada).id]
    pages = every_page(
        lambda query: sessions.list_sessions(registry.db, ada.account_id, query, current=None), limit=2
    )
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(session.id for page in pages for session in page) == sorted(made)


def test_a_cursor_of_another_listing_is_refused(registry, ada, log_in):
    """A cursor of the account's keys opens no page of its sessions."""
    for name in ("one", "two"):
        keys.create(registry.db, ada.account_id, issue("key"), name=name, scopes=["predict"], expires_at=None)
    cursor = keys.list_keys(registry.db, ada.account_id, PageQuery(limit=1)).next_cursor
    with pytest.raises(InvalidRequest) as caught:
        sessions.list_sessions(registry.db, ada.account_id, PageQuery(cursor=cursor), current=None)
    assert (caught.value.code, caught.value.param) == ("bad_cursor", "cursor")


def test_an_ended_session_is_gone(registry, ada, log_in):
    """Its owner ends one session and keeps the other; it cannot be ended twice."""
    first, second = log_in(ada), log_in(ada)
    sessions.end(registry.db, ada.account_id, first.id)
    assert [session.id for session in listed(registry, ada)] == [second.id]
    with pytest.raises(NotFound) as caught:
        sessions.end(registry.db, ada.account_id, first.id)
    assert caught.value.code == "session_not_found"


def test_nobody_ends_the_session_of_another(registry, ada, bob, log_in):
    """Another account's session answers like none, and goes on."""
    session = log_in(ada)
    with pytest.raises(NotFound):
        sessions.end(registry.db, bob.account_id, session.id)
    assert [one.id for one in listed(registry, ada)] == [session.id]
