"""Lanes: the threads that run models, and the queues before them, one for each model.

A lane that becomes free takes the oldest work of the model whose turn it is, and with it all that waits
beside it and may share its run (dynamic batching). So with no waiting time a lone call is not delayed, and
under load the batches grow by themselves while the lanes are busy.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reference_server.errors import DeadlineExceeded, ServiceError, Unavailable
from reference_server.runtime.paces import Paces
from reference_server.runtime.work import LongWork

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.work import Work

_log = logging.getLogger(__name__)
# Nobody should be told to stay away for longer by an estimate.
_MOST_RETRY_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class Ticket:
    """A work on its way through a lane. Times are `time.monotonic()` values.

    Args:
        work: What is to be computed.
        deadline: After it nobody wants the result.
        done: Called in the lane's thread when there is a result or an error; not for what was dropped.
        shared_rows: The rows of the run; 0 for all but the first work of a shared one, so that sums hold.
    """

    work: Work
    deadline: float | None
    done: Callable[[Ticket], None]
    group: Hashable = None
    queued: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    result: Any = None
    error: Exception | None = None
    shared_rows: int = 0
    dropped: bool = False

    def drop(self) -> None:
        """Say that nobody waits any more: what is still queued is not computed, what is long ends early."""
        self.dropped = True
        if isinstance(self.work, LongWork):
            self.work.abandon()


@dataclass(slots=True)
class _Queue:
    """The works of one model that wait, and the rows that they hold together."""

    model: LoadedModel
    waiting: deque[Ticket] = field(default_factory=deque)
    rows: int = 0
    running: int = 0

    def add(self, ticket: Ticket) -> None:
        self.waiting.append(ticket)
        self.rows += ticket.work.rows

    def take(self) -> list[Ticket]:
        """Remove and return the oldest work and those that share its run."""
        first = self.waiting.popleft()
        taken, rows, most = [first], first.work.rows, self.model.most_shared_rows
        if most <= rows or first.group is None:
            self.rows -= rows
            return taken
        left: deque[Ticket] = deque()
        while self.waiting:
            ticket = self.waiting.popleft()
            if rows + ticket.work.rows <= most and ticket.group == first.group:
                taken.append(ticket)
                rows += ticket.work.rows
            else:
                left.append(ticket)
        self.waiting = left
        self.rows -= rows
        return taken

    def forget_useless(self, now: float) -> None:
        """Remove what nobody waits for any more; whoever answers late callers has answered these."""
        if any(_is_useless(ticket, now) for ticket in self.waiting):
            self.waiting = deque(ticket for ticket in self.waiting if not _is_useless(ticket, now))
            self.rows = _rows(self.waiting)


class Lanes:
    """A bounded number of runs at a time, over all models and for each.

    Args:
        threads: Runs at a time.
        most_seconds: What is expected to wait longer for its run is refused at once.
        name: What its threads are called.
        timer: Seconds, monotonic.
    """

    def __init__(
        self,
        threads: int,
        *,
        name: str = "lane",
        most_seconds: float = math.inf,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timer = timer
        self._most_seconds = most_seconds
        self._paces = Paces()
        self._changed = threading.Condition()
        self._queues: OrderedDict[int, _Queue] = OrderedDict()
        self._closed = False
        # What each lane's thread runs now; one entry is written at a time, so this needs no lock.
        self._running: dict[int, list[Ticket]] = {}
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many works wait for a lane."""
        with self._changed:
            return sum(len(queue.waiting) for queue in self._queues.values())

    @property
    def busy(self) -> int:
        """How many lanes run a model."""
        with self._changed:
            return sum(queue.running for queue in self._queues.values())

    @property
    def overdue(self) -> float:
        """For how many seconds the slowest run goes on after nobody waits for it any more; 0 for none."""
        return max(self._overdue(), default=0.0)

    @property
    def are_all_overdue(self) -> bool:
        """Whether every lane is taken by a run that nobody waits for any more."""
        return len(self._overdue()) == len(self._threads)

    def _overdue(self) -> list[float]:
        now = self.timer()
        deadlines = [_latest(tickets) for tickets in list(self._running.values())]
        return [now - deadline for deadline in deadlines if deadline is not None and deadline < now]

    def submit(self, model: LoadedModel, ticket: Ticket) -> None:
        """Queue a work.

        Raises:
            Unavailable: The lanes are closed, or the work would wait for too long.
        """
        ticket.queued = self.timer()
        if model.most_shared_rows > 1:
            ticket.group = ticket.work.group
        with self._changed:
            if self._closed:
                raise Unavailable("the server is shutting down; repeat the call", retry_after=1)
            queue = self._queues.get(id(model))
            if queue is None:
                queue = self._queues[id(model)] = _Queue(model)
            elif queue.rows:
                self._check_wait(queue, ticket)
            queue.add(ticket)
            self._changed.notify()

    def _check_wait(self, queue: _Queue, ticket: Ticket) -> None:
        """Refuse what would wait too long: told at once, its caller can go elsewhere or come again."""
        wait = self._expected_wait(queue)
        left = math.inf if ticket.deadline is None else max(0.0, ticket.deadline - ticket.queued)
        if wait > min(self._most_seconds, left):
            raise Unavailable(
                f"the model is busy: the call would wait about {wait:.1f} s for its turn; try again then",
                code="queue_full",
                retry_after=min(wait, _MOST_RETRY_SECONDS),
            )

    def _expected_wait(self, queue: _Queue) -> float:
        """Return the seconds until a work that comes now is run, by the pace of the runs before it.

        Lanes take from the queues in turn, so another model's long queue delays this one no more than its own
        length does.
        """
        own = self._paces.seconds(queue.model, queue.rows)
        everything = sum(self._paces.seconds(each.model, each.rows) for each in self._queues.values())
        shared = min(everything, own * len(self._queues)) / len(self._threads)
        return max(shared, own / queue.model.lanes)

    def run(self, model: LoadedModel, work: Work, deadline: float | None) -> Ticket:
        """Queue a work and wait for its end.

        Raises:
            DeadlineExceeded: The deadline passed first.
        """
        ended = threading.Event()
        ticket = Ticket(work, deadline, lambda _: ended.set())
        self.submit(model, ticket)
        left = None if deadline is None else max(0.0, deadline - self.timer())
        if not ended.wait(left):
            ticket.drop()
            raise DeadlineExceeded("the time for this call ran out before the model had finished")
        return ticket

    def close(self) -> None:
        """Finish what is queued and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        lane = threading.get_ident()
        while (taken := self._next()) is not None:
            queue, tickets = taken
            self._running[lane] = tickets
            try:
                run_together(tickets, self.timer)
            finally:
                del self._running[lane]
                with self._changed:
                    self._paces.ran(queue.model, _rows(tickets), tickets[0].ended - tickets[0].started)
                    queue.running -= 1
                    self._changed.notify()
            _tell(tickets)
            # While it waits for the next run a lane must not keep the last one's model in memory.
            del taken, queue, tickets

    def _next(self) -> tuple[_Queue, list[Ticket]] | None:
        with self._changed:
            while True:
                found, wait = self._pick(self.timer())
                if found is not None:
                    return found
                if self._closed and not self._queues:
                    return None
                self._changed.wait(wait)

    def _pick(self, now: float) -> tuple[tuple[_Queue, list[Ticket]] | None, float | None]:
        """Return the next run, or how long to wait for company."""
        soonest: float | None = None
        for key, queue in list(self._queues.items()):
            queue.forget_useless(now)
            if not queue.waiting:
                if not queue.running:
                    del self._queues[key]
                continue
            if queue.running >= queue.model.lanes:
                continue
            if (left := self._patience(queue, now)) > 0:
                soonest = left if soonest is None else min(soonest, left)
                continue
            queue.running += 1
            # Next time it is another model's turn.
            self._queues.move_to_end(key)
            if queue.waiting and (tickets := queue.take()) and queue.waiting:
                self._changed.notify()
            return (queue, tickets), None
        return None, soonest

    def _patience(self, queue: _Queue, now: float) -> float:
        model = queue.model
        if not model.wait_seconds or self._closed or queue.rows >= model.most_shared_rows:
            return 0.0
        return queue.waiting[0].queued + model.wait_seconds - now


def run_together(tickets: list[Ticket], timer: Callable[[], float]) -> None:
    """Run the works of some tickets of one group in one run, and keep each one's result or error."""
    first, *others = tickets
    started = timer()
    for ticket in tickets:
        ticket.started = started
    first.shared_rows = _rows(tickets)
    try:
        if others:
            results = first.work.run_with([other.work for other in others], deadline=_latest(tickets))
            for ticket, result in zip(tickets, results, strict=True):
                ticket.result = result
        else:
            first.result = first.work.run(deadline=first.deadline)
    except ServiceError as error:
        _run_apart(tickets, error)
    except Exception as error:  # noqa: BLE001 - raised again where the answer is made
        for ticket in tickets:
            ticket.error = error
    ended = timer()
    for ticket in tickets:
        ticket.ended = ended


def _run_apart(tickets: list[Ticket], error: ServiceError) -> None:
    """Run each work by itself: one that the model cannot compute must not spoil the others."""
    if len(tickets) == 1 or isinstance(error, DeadlineExceeded):
        for ticket in tickets:
            ticket.error = error
        return
    for ticket in tickets:
        ticket.shared_rows = ticket.work.rows
        try:
            ticket.result = ticket.work.run(deadline=ticket.deadline)
        except Exception as own:  # noqa: BLE001 - raised again where the answer is made
            ticket.error = own


def _latest(tickets: Iterable[Ticket]) -> float | None:
    deadlines = [ticket.deadline for ticket in tickets]
    return None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None)


def _rows(tickets: Iterable[Ticket]) -> int:
    return sum(ticket.work.rows for ticket in tickets)


def _is_useless(ticket: Ticket, now: float) -> bool:
    return ticket.dropped or (ticket.deadline is not None and ticket.deadline <= now)


def _tell(tickets: Iterable[Ticket]) -> None:
    for ticket in tickets:
        if not ticket.dropped:
            try:
                ticket.done(ticket)
            except Exception:  # noqa: BLE001 - a lane must outlive whatever its callers do
                _log.exception("a finished run could not be reported")
