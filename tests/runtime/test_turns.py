"""Turns: one at a time, and whoever had theirs longest ago is next."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from reference_server.errors import Unavailable
from reference_server.runtime.turns import Turns


def test_one_account_with_much_to_do_does_not_hold_up_another() -> None:
    """Of five calls of one and two of another, those of the other come second and fourth."""
    turns, order, queued = Turns("busy", wait_seconds=30), [], threading.Semaphore(0)

    def call(who: str) -> None:
        queued.release()
        with turns.turn(who):
            order.append(who)

    threads = []
    with turns.turn("greedy"):
        for who in ("greedy",) * 4 + ("other",) * 2:
            threads.append(threading.Thread(target=call, args=(who,)))
            threads[-1].start()
            queued.acquire()
            _until_waiting(turns, len(threads))
    for thread in threads:
        thread.join(10)
    assert order == ["other", "greedy", "other", "greedy", "greedy", "greedy"]


def test_there_is_never_more_than_one() -> None:
    """And an error ends a turn like anything else."""
    turns, under_way, most = Turns("busy", wait_seconds=30), [], []

    def call(who: str) -> None:
        with suppress(ZeroDivisionError), turns.turn(who):
            under_way.append(who)
            most.append(len(under_way))
            under_way.pop()
            assert 1 / 0

    threads = [threading.Thread(target=call, args=(str(each % 3),)) for each in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == [1] * len(threads)


def test_who_waits_too_long_is_told_when_to_come_again() -> None:
    """And stands in nobody's way after that."""
    turns = Turns("somebody else is being served", wait_seconds=0.01)
    with turns.turn("a"), pytest.raises(Unavailable, match="repeat the request") as caught, turns.turn("b"):
        pass
    assert (caught.value.code, caught.value.retry_after) == ("busy", 5)
    with turns.turn("b"):
        pass


def _until_waiting(turns: Turns, count: int) -> None:
    while len(turns._waiting) < count:
        threading.Event().wait(0.001)
