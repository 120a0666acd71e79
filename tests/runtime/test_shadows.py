"""The queue of copies: short, patient, and forgetful."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass, field

import pytest

from reference_server.errors import Unprocessable
from reference_server.runtime.shadows import Copy, Shadows
from reference_server.runtime.traffic_sums import PairSums, TrafficSums, VersionSums

KEY = ("mdl_1", 1, 1, 2)


@dataclass
class Model:
    """Answers its number; may be made to wait, or to fail."""

    value: float = 1.0
    error: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    runs: list = field(default_factory=list)

    def __post_init__(self):
        self.gate.set()


class Input:
    """What a caller sent."""


@dataclass
class Work:
    model: Model
    given: Input

    def run(self, *, deadline):
        assert self.model.gate.wait(10)
        self.model.runs.append(deadline - time.monotonic())
        if self.model.error is not None:
            raise self.model.error
        return self.model.value

    def predictions(self, result):
        return [{"value": result}]


@pytest.fixture
def sums():
    return TrafficSums()


@pytest.fixture
def shadows(sums):
    made = Shadows(sums, may_run=lambda: True)
    yield made
    made.close()


def copy_for(shadow, model=None, *, result=1.0, size=10, given=None):
    given = given or Input()
    return Copy(KEY, lambda: shadow, model or Model(), lambda other: Work(other, given), result, size)


def wait_for(sums, true, seconds=10):
    """Wait until the sums of the pair are so, and return them."""
    total, until = PairSums(), time.monotonic() + seconds
    while True:
        for pair in sums.take()[1].values():
            total.add(pair)
        if true(total):
            return total
        assert time.monotonic() < until, total
        time.sleep(0.005)


def test_a_copy_is_run_on_both_and_compared(shadows, sums):
    """The caller's own result is what is compared; the second run on its model gives a fair time."""
    served, shadow = Model(), Model(1.005)
    for _ in range(4):
        shadows.offer(copy_for(shadow, served))
    total = wait_for(sums, lambda found: found.calls == 4)
    assert (len(served.runs), len(shadow.runs)) == (4, 4)
    assert (total.measure, total.rows, total.agreed, total.timed) == ("value", 4, 4, 4)
    assert total.difference_sum == pytest.approx(0.02)
    assert total.difference_max == pytest.approx(0.005)
    assert (total.errors_a, total.errors_b, total.dropped) == (0, 0, 0)


@pytest.mark.parametrize("error", [Unprocessable("no"), RuntimeError("a defect")])
def test_a_failing_shadow_is_counted(shadows, sums, error, caplog):
    """Its error is its own; a defect is logged as well."""
    shadows.offer(copy_for(Model(error=error)))
    total = wait_for(sums, lambda found: found.calls == 1)
    assert (total.errors_b, total.rows, total.timed) == (1, 0, 0)
    assert ("a shadow failed" in caplog.text) == isinstance(error, RuntimeError)


def test_a_call_that_failed_may_be_answered_by_the_shadow(shadows, sums):
    """Both error rates are of the same calls."""
    served = Model()
    shadows.offer(copy_for(Model(), served, result=None))
    total = wait_for(sums, lambda found: found.calls == 1)
    assert (total.errors_a, total.errors_b, total.rows) == (1, 0, 0)
    assert served.runs == []


def test_a_full_queue_drops_and_never_waits(shadows, sums):
    """At most 32 copies wait, whatever comes."""
    shadow = Model()
    shadow.gate.clear()
    began = time.perf_counter()
    for _ in range(1000):
        shadows.offer(copy_for(shadow))
    took = time.perf_counter() - began
    total = wait_for(sums, lambda found: found.dropped >= 1000 - 33)
    assert total.calls == 0
    assert took < 1
    shadow.gate.set()


def test_large_copies_are_few(shadows, sums):
    """Their bytes count: what callers sent must not fill the memory; none of more than a megabyte waits."""
    shadow = Model()
    shadow.gate.clear()
    for size in (2**20 + 1, *[2**20] * 32):
        shadows.offer(copy_for(shadow, size=size))
    total = wait_for(sums, lambda found: found.dropped >= 1 + 32 - 17)
    assert total.dropped <= 1 + 32 - 16
    shadow.gate.set()


def test_busy_lanes_come_first(sums):
    """Copies are dropped, not put off, while callers need the lanes."""
    shadows, shadow = Shadows(sums, may_run=lambda: False), Model()
    shadows.offer(copy_for(shadow))
    wait_for(sums, lambda found: found.dropped == 1)
    assert shadow.runs == []
    shadows.close()


def test_a_shadow_that_is_not_in_memory_gets_nothing(shadows, sums):
    """The copy is dropped and counted."""
    shadows.offer(Copy(KEY, lambda: None, Model(), lambda other: Work(other, Input()), 1.0, 10))
    wait_for(sums, lambda found: found.dropped == 1)


def test_nothing_of_a_copy_is_kept(shadows, sums):
    """When it has been compared, what the caller sent is let go of, while the thread rests too."""
    given = Input()
    kept = weakref.ref(given)
    shadows.offer(copy_for(Model(), given=given))
    del given
    wait_for(sums, lambda found: found.calls == 1)
    until = time.monotonic() + 5
    while kept() is not None and time.monotonic() < until:
        time.sleep(0.001)
    assert kept() is None


def test_every_run_has_an_end(shadows, sums):
    """A shadow that hangs in its kernel is stopped after ten seconds."""
    shadow = Model()
    shadows.offer(copy_for(shadow))
    wait_for(sums, lambda found: found.calls == 1)
    assert 9 < shadow.runs[0] <= 10


def test_closing_drops_what_waits(sums):
    """And what comes later."""
    shadows, shadow = Shadows(sums, may_run=lambda: True), Model()
    shadow.gate.clear()
    for _ in range(5):
        shadows.offer(copy_for(shadow))
    threading.Timer(0.05, shadow.gate.set).start()
    shadows.close()
    shadows.offer(copy_for(shadow))
    assert len(shadow.runs) <= 1
    assert wait_for(sums, lambda found: found.dropped >= 1).dropped >= 1


def test_without_copies_there_is_no_thread(sums):
    """A server without shadows pays nothing."""
    before = threading.active_count()
    shadows = Shadows(sums, may_run=lambda: True)
    assert threading.active_count() == before
    shadows.close()


def test_what_is_taken_can_be_put_back(sums):
    """Sums add up, whatever came in between."""
    for seconds in (0.1, None, 0.4):
        sums.saw(("mdl_1", 1, 2), seconds)
    taken = sums.take()
    assert sums.take() == ({}, {})
    sums.saw(("mdl_1", 1, 2), 0.2)
    sums.put_back(*taken)
    (found,) = sums.take()[0].values()
    assert (found.calls, found.errors, found.timed) == (4, 1, 3)
    assert isinstance(found, VersionSums)
