"""Counting like acts of a minute, within bounds."""

from __future__ import annotations

import threading

from reference_server.security.audit_tally import _MOST, Counted, Tally, network_of

DENIED = Counted("key_made", "denied", 403, account="acc_1", address="192.0.2.1")
MINUTE = 60_000.0


def test_the_first_of_a_minute_comes_at_once_and_the_rest_with_its_end() -> None:
    """So what happens is known within a second, and a flood is two numbers."""
    tally = Tally()
    tally.add(DENIED, at=MINUTE + 1)
    assert tally.take(at=MINUTE + 2) == {(60_000, DENIED): 1}
    for second in range(3, 59):
        tally.add(DENIED, at=MINUTE + second)
        assert tally.take(at=MINUTE + second) == {}
    assert tally.take(at=MINUTE + 60) == {(60_000, DENIED): 56}
    assert tally.take(at=MINUTE + 61) == {}


def test_a_worker_that_stops_leaves_nothing_behind() -> None:
    """Everything is taken."""
    tally = Tally()
    for _ in range(2):
        tally.add(DENIED, at=MINUTE)
        taken = tally.take(at=MINUTE, everything=True)
        assert taken == {(60_000, DENIED): 1}


def test_what_could_not_be_written_comes_again() -> None:
    """With what came since."""
    tally = Tally()
    tally.add(DENIED, at=MINUTE)
    tally.give_back(tally.take(at=MINUTE))
    tally.add(DENIED, at=MINUTE + 1)
    assert tally.take(at=MINUTE + 1) == {(60_000, DENIED): 2}


def test_beyond_the_bound_only_numbers_are_kept() -> None:
    """However many strangers come in a minute, they fill no memory and no log."""
    tally = Tally()
    for number in range(5 * _MOST):
        tally.add(Counted("request", "denied", 401, address=f"host {number}"), at=MINUTE)
    taken = tally.take(at=MINUTE)
    assert len(taken) == _MOST + 1
    assert taken[60_000, Counted("request", "denied", 401)] == 4 * _MOST
    assert sum(taken.values()) == 5 * _MOST
    tally.add(DENIED, at=MINUTE + 60)
    assert tally.take(at=MINUTE + 60) == {(60_060, DENIED): 1}


def test_a_clock_that_goes_back_loses_nothing() -> None:
    """What comes then counts for the minute that there was."""
    tally = Tally()
    tally.add(DENIED, at=MINUTE)
    tally.add(DENIED, at=MINUTE - 600)
    assert tally.take(at=MINUTE - 600) == {(60_000, DENIED): 2}


def test_many_threads_count_right() -> None:
    """Nothing is lost between adding and taking."""
    tally, taken = Tally(), []

    def add() -> None:
        for _ in range(500):
            tally.add(DENIED, at=MINUTE)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken.append(tally.take(at=MINUTE, everything=True))
    taken.append(tally.take(at=MINUTE, everything=True))
    assert sum(count for each in taken for count in each.values()) == 2000


def test_addresses_of_one_customer_are_one() -> None:
    """An IPv6 network of 64 bits is what one customer gets."""
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:9::9") == "2001:db8:1:2::/64"
    assert network_of("unix") == "unix"
