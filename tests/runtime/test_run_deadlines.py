from __future__ import annotations

import threading
import time

import pytest

from reference_server.runtime.deadlines import Watchdog


class Run:
    """Notices when it is told to end."""

    def __init__(self):
        self.ended = threading.Event()

    @property
    def terminate(self):
        """Tell whether it was told to end."""
        return self.ended.is_set()

    @terminate.setter
    def terminate(self, value):
        assert value
        self.ended.set()


def _watchdog_threads():
    return [thread for thread in threading.enumerate() if thread.name == "run-deadlines"]


def test_a_run_is_ended_at_its_deadline():
    """The flag is set soon after the deadline and not before it."""
    run = Run()
    deadline = time.monotonic() + 0.02
    with Watchdog().watch(run, deadline):
        assert run.ended.wait(5)
    assert time.monotonic() >= deadline


def test_an_earlier_deadline_wakes_the_watchdog():
    """A run that is due before all others does not wait for them."""
    watchdog, late, early = Watchdog(), Run(), Run()
    with watchdog.watch(late, time.monotonic() + 60), watchdog.watch(early, time.monotonic() + 0.01):
        assert early.ended.wait(5)
        assert not late.terminate


def test_a_finished_run_is_left_alone():
    """After the block its deadline means nothing, even when it passes."""
    watchdog, finished, other = Watchdog(), Run(), Run()
    with watchdog.watch(finished, time.monotonic() + 0.005):
        pass
    with watchdog.watch(other, time.monotonic() + 0.02):
        assert other.ended.wait(5)
    assert not finished.terminate


def test_no_deadline_needs_no_thread():
    """A run without a deadline is not watched."""
    watchdog = Watchdog()
    with watchdog.watch(Run(), None):
        assert watchdog._thread is None


def test_many_runs_share_one_thread_and_leave_nothing():
    """A thousand runs start one thread, and none of them stays in memory."""
    watchdog = Watchdog()
    before = len(_watchdog_threads())
    for _ in range(1000):
        with watchdog.watch(Run(), time.monotonic() + 60):
            pass
    assert len(_watchdog_threads()) == before + 1
    assert not watchdog._running


def test_a_failing_run_is_forgotten():
    """An exception in the block ends the watch as well."""
    watchdog = Watchdog()
    with pytest.raises(ZeroDivisionError), watchdog.watch(Run(), time.monotonic() + 60):
        raise ZeroDivisionError
    assert not watchdog._running
