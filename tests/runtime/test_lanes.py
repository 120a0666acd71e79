"""The queues before the lanes: who shares a run, who is dropped, who waits."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass, field

import pytest

from reference_server.errors import DeadlineExceeded, Unavailable, Unprocessable
from reference_server.runtime.lanes import Lanes, Ticket


@dataclass
class Model:
    lanes: int = 1
    most_shared_rows: int = 8
    wait_seconds: float = 0.0


@dataclass
class Work:
    """Adds one to its numbers, when the gate is open; refuses what is negative."""

    numbers: list
    runs: list
    group: object = "same"
    gate: threading.Event = field(default_factory=threading.Event)

    @property
    def rows(self):
        return len(self.numbers)

    def run(self, *, deadline):
        return self.run_with([], deadline=deadline)[0]

    def run_with(self, others, *, deadline):
        works = [self, *others]
        assert self.gate.wait(5)
        self.runs.append([number for work in works for number in work.numbers])
        if any(number < 0 for number in self.runs[-1]):
            raise Unprocessable("negative")
        return [[number + 1 for number in work.numbers] for work in works]


@pytest.fixture
def lanes():
    made = Lanes(2)
    yield made
    made.close()


def queue(lanes, model, works, *, deadline=None):
    """Queue works behind a first one that holds the lane, then let it go; return their tickets."""
    runs = works[0].runs
    first = Work([0], runs, group=None)
    tickets, ended = [], threading.Semaphore(0)
    for work in (first, *works):
        tickets.append(Ticket(work, deadline, lambda _: ended.release()))
        lanes.submit(model, tickets[-1])
    for work in works:
        work.gate.set()
    time.sleep(0.02)
    first.gate.set()
    for _ in tickets:
        assert ended.acquire(timeout=5)
    return tickets[1:]


def test_works_of_one_group_share_a_run(lanes):
    """Each gets its own part of the result; the run's rows are counted once."""
    runs = []
    tickets = queue(lanes, Model(), [Work([1, 2], runs), Work([3], runs), Work([4], runs)])
    assert runs == [[0], [1, 2, 3, 4]]
    assert [ticket.result for ticket in tickets] == [[2, 3], [4], [5]]
    assert [ticket.shared_rows for ticket in tickets] == [4, 0, 0]


def test_other_groups_and_lone_works_run_by_themselves(lanes):
    """Different parameters or shapes are never mixed."""
    runs = []
    works = [Work([1], runs), Work([2], runs, "other"), Work([3], runs), Work([4], runs, None)]
    queue(lanes, Model(), works)
    assert runs == [[0], [1, 3], [2], [4]]


def test_rows_count_and_not_calls(lanes):
    """A shared run never has more rows than the model allows."""
    runs = []
    queue(lanes, Model(most_shared_rows=4), [Work([1, 2, 3], runs), Work([4, 5], runs), Work([6], runs)])
    assert runs == [[0], [1, 2, 3, 6], [4, 5]]


def test_one_bad_work_does_not_spoil_the_others(lanes):
    """After a refusal each runs by itself and keeps its own result or error."""
    tickets = queue(lanes, Model(), [Work([1], []), Work([-2], []), Work([3], [])])
    assert [ticket.result for ticket in tickets] == [[2], None, [4]]
    assert isinstance(tickets[1].error, Unprocessable)


def test_what_nobody_waits_for_is_not_computed(lanes):
    """Neither what was dropped nor what is late."""
    runs = []
    held = Work([0], runs, None)
    ended = threading.Event()
    model = Model()
    lanes.submit(model, Ticket(held, None, lambda _: None))
    dropped = Ticket(Work([1], runs), None, lambda _: ended.set())
    late = Ticket(Work([2], runs), time.monotonic() - 1, lambda _: ended.set())
    for ticket in (dropped, late):
        lanes.submit(model, ticket)
    dropped.drop()
    held.gate.set()
    last = Work([3], runs, None)
    last.gate.set()
    lanes.run(model, last, None)
    assert runs == [[0], [3]]
    assert not ended.is_set()


def test_a_caller_leaves_at_its_deadline(lanes):
    """The lane still counts as busy until its kernel returns."""
    model, slow = Model(), Work([1], [])
    with pytest.raises(DeadlineExceeded):
        lanes.run(model, slow, time.monotonic() + 0.02)
    waiting = Ticket(Work([2], []), None, lambda _: None)
    lanes.submit(model, waiting)
    assert (lanes.busy, lanes.waiting) == (1, 1)
    waiting.work.gate.set()
    slow.gate.set()


def test_a_run_waits_for_company_no_longer_than_it_should(lanes):
    """With a waiting time a lone call is delayed by it, and two calls within it share a run."""
    runs, model = [], Model(wait_seconds=0.05)
    works = [Work([1], runs), Work([2], runs)]
    ended = threading.Semaphore(0)
    for work in works:
        work.gate.set()
        lanes.submit(model, Ticket(work, None, lambda _: ended.release()))
    for _ in works:
        assert ended.acquire(timeout=5)
    assert runs == [[1, 2]]
    started = time.monotonic()
    lanes.run(model, works[0], None)
    assert time.monotonic() - started >= 0.04


def test_a_busy_model_leaves_a_lane_to_others(lanes):
    """One model takes no more lanes than are its own."""
    slow, quick = Work([1], []), Work([2], [])
    lanes.submit(Model(), Ticket(slow, None, lambda _: None))
    quick.gate.set()
    assert lanes.run(Model(), quick, time.monotonic() + 5).result == [3]
    slow.gate.set()


def test_an_idle_lane_keeps_no_model(lanes):
    """When a model's last run has ended, no lane holds on to it while it waits for another."""
    work, model = Work([1], []), Model()
    work.gate.set()
    lanes.run(model, work, None)
    kept = weakref.ref(model)
    del model
    until = time.monotonic() + 5
    while kept() is not None and time.monotonic() < until:
        time.sleep(0.001)
    assert kept() is None


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self):
        return self.now


class Slow(Work):
    """Takes a second of the clock for each row, once its gate is open."""

    clock = None

    def run_with(self, others, *, deadline):
        results = super().run_with(others, deadline=deadline)
        self.clock.now += sum(len(work.numbers) for work in (self, *others))
        return results


@pytest.fixture
def paced():
    """One lane, work that would wait more than 5 s refused, and a model whose rows take a second each."""
    clock = Clock()
    made = Lanes(1, most_seconds=5.0, timer=clock)
    model = Model(most_shared_rows=1)

    def work(rows=1, *, is_open=False):
        one = Slow(list(range(rows)), [], group=None)
        one.clock = clock
        if is_open:
            one.gate.set()
        return one

    made.run(model, work(is_open=True), None)
    held = work()
    made.submit(model, Ticket(held, None, lambda _: None))
    while made.waiting:
        time.sleep(0.001)
    yield made, model, work, clock
    held.gate.set()


def test_what_would_wait_too_long_is_refused_at_once(paced):
    """By the pace of the runs before: six rows of a second each are in front."""
    lanes, model, work, _ = paced
    for _ in range(3):
        lanes.submit(model, Ticket(work(2, is_open=True), None, lambda _: None))
    with pytest.raises(Unavailable, match=r"about 6\.0 s") as refused:
        lanes.submit(model, Ticket(work(is_open=True), None, lambda _: None))
    assert refused.value.code == "queue_full"
    assert refused.value.retry_after == pytest.approx(6.0)
    assert lanes.waiting == 3


def test_what_would_be_late_for_its_caller_is_refused_at_once(paced):
    """A caller with two seconds learns now what it would learn after them."""
    lanes, model, work, clock = paced
    lanes.submit(model, Ticket(work(3, is_open=True), None, lambda _: None))
    with pytest.raises(Unavailable):
        lanes.submit(model, Ticket(work(is_open=True), clock.now + 2, lambda _: None))
    lanes.submit(model, Ticket(work(is_open=True), clock.now + 4, lambda _: None))


def test_another_models_queue_refuses_nobody(paced):
    """Lanes take from the queues in turn: whoever has an empty one before it is next but one."""
    lanes, model, work, _ = paced
    for _ in range(3):
        lanes.submit(model, Ticket(work(2, is_open=True), None, lambda _: None))
    other = Model(most_shared_rows=1)
    lanes.submit(other, Ticket(work(is_open=True), None, lambda _: None))
    lanes.submit(other, Ticket(work(is_open=True), None, lambda _: None))


def test_what_has_left_the_queue_is_not_waited_for(paced):
    """Those who hung up make room."""
    lanes, model, work, _ = paced
    tickets = [Ticket(work(2, is_open=True), None, lambda _: None) for _ in range(3)]
    for ticket in tickets:
        lanes.submit(model, ticket)
        ticket.drop()
    other = Model(most_shared_rows=1)
    # A lane that looks for work forgets them.
    with lanes._changed:
        lanes._pick(0.0)
    lanes.submit(other, Ticket(work(is_open=True), None, lambda _: None))
    lanes.submit(model, Ticket(work(is_open=True), None, lambda _: None))


def test_runs_that_go_on_after_their_deadline_are_counted(paced):
    """From the deadline on; where every lane is taken by one, that is told."""
    lanes, model, work, clock = paced
    assert (lanes.overdue, lanes.are_all_overdue) == (0.0, False)
    late = Lanes(1, timer=clock)
    held = work()
    ticket = Ticket(held, clock.now + 1, lambda _: None)
    late.submit(model, ticket)
    while late.waiting:
        time.sleep(0.001)
    assert (late.overdue, late.are_all_overdue) == (0.0, False)
    clock.now += 4
    assert (late.overdue, late.are_all_overdue) == (3.0, True)
    held.gate.set()
    late.close()
    assert late.overdue == 0.0
