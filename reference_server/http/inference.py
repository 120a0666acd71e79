"""Inference in two halves, so that a lane can run what many calls decoded: begin, and complete.

`begin` reads a call up to what a lane can compute. `complete` makes the answer of what came out. In between
lies a queue (`runtime/lanes.py`), or nothing for models that run faster than a thread is woken.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reference_server.errors import DeadlineExceeded, ServiceError
from reference_server.http.errors import answer_for, internal_error
from reference_server.runtime.lanes import Ticket
from reference_server.tracing import Stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.app import Services
    from reference_server.http.exchange import Answer, Call
    from reference_server.metrics import ModelKey
    from reference_server.runtime.lanes import Lanes
    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.work import ComparableWork, Work

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Pending:
    """A call that is decoded and waits for its run.

    Args:
        key: What it is counted by.
        model: What runs it.
        work: What is to be run.
        encode: Makes the answer of the result and the ticket's times.
        began: When decoding began, on the services' timer.
        decoded: When it ended.
        again: Decodes the call for another version of the model, for shadows; None where it has none.
        is_evaluation: Whether it is one: that counts as usage, and its times are no prediction's.
        is_explanation: Whether it is one, which is counted likewise and by itself too. It waits for others of
            its kind, while its runs take their turns with predictions.
    """

    key: ModelKey
    model: LoadedModel
    work: Work
    encode: Callable[[Any, Times], Answer]
    began: float
    decoded: float
    again: Callable[[LoadedModel], ComparableWork] | None = None
    is_evaluation: bool = False
    is_explanation: bool = False

    def lanes(self, services: Services) -> Lanes:
        """Return the lanes that it waits for."""
        return services.explainers if self.is_explanation else services.lanes


@dataclass(slots=True)
class Times:
    """How long a call waited and ran, in seconds."""

    queue: float
    compute: float


def run(call: Call, pending: Pending) -> Ticket:
    """Run a decoded call in this thread: for models too quick to be stopped."""
    timer = call.services.lanes.timer
    work = pending.work
    ticket = Ticket(work, None, _told)
    ticket.queued = ticket.started = timer()
    try:
        ticket.result = work.run(deadline=None)
    except Exception as error:  # noqa: BLE001 - raised again where the answer is made
        ticket.error = error
    ticket.ended = timer()
    ticket.shared_rows = work.rows
    return ticket


def run_in_lane(call: Call, pending: Pending) -> Answer:
    """Run a decoded call in a lane, wait for it, and make its answer."""
    try:
        ticket = pending.lanes(call.services).run(pending.model, pending.work, call.deadline)
    except ServiceError as error:
        return failed(call, pending, error)
    return complete(call, pending, ticket)


def complete(call: Call, pending: Pending, ticket: Ticket) -> Answer:
    """Make the answer of what a lane computed, and count it; every failure becomes an answer too."""
    if ticket.error is not None:
        return failed(call, pending, ticket.error)
    times = Times(ticket.started - ticket.queued, ticket.ended - ticket.started)
    return _answered(call, pending, ticket.result, times, ticket.shared_rows)


def failed(call: Call, pending: Pending, error: Exception) -> Answer:
    """Make the answer of a run that failed, and count it."""
    statistics = call.services.metrics.model(pending.key)
    if pending.is_evaluation or pending.is_explanation:
        statistics.evaluations_failed_for.append(call.by.account_id)
    else:
        statistics.failures.append(call.services.timer() - pending.began)
        statistics.failed_for.append(call.by.account_id)
    if call.route is not None:
        call.services.traffic.failed(call, call.route, pending, error)
    if call.services.tracing is not None:
        call.stages = Stages(pending)
    if isinstance(error, ServiceError):
        return answer_for(error, call.request)
    _log.error("the request failed", exc_info=error, extra={"fields": {"request_id": call.request.id}})
    return answer_for(internal_error(), call.request)


def _answered(call: Call, pending: Pending, result: Any, times: Times, shared_rows: int) -> Answer:  # noqa: ANN401 - what the work returned
    timer = call.services.timer
    begun = timer()
    try:
        answer = pending.encode(result, times)
    except Exception as error:  # noqa: BLE001 - as above
        return failed(call, pending, error)
    ended = timer()
    if call.services.tracing is not None:
        call.stages = Stages(pending, times, begun, ended)
    rows = pending.work.rows
    statistics = call.services.metrics.model(pending.key)
    if pending.is_evaluation or pending.is_explanation:
        statistics.evaluated.append((call.by.account_id, rows))
        if pending.is_explanation:
            statistics.explained.append((times.compute, rows))
        return answer
    statistics.answered.append((call.by.account_id, rows))
    statistics.succeeded(
        queue=times.queue,
        decode=pending.decoded - pending.began,
        compute=times.compute,
        encode=ended - begun,
        rows=rows,
        shared_rows=shared_rows,
    )
    if call.route is not None:
        call.services.traffic.succeeded(call, call.route, pending, result, times.compute)
    return answer


def _told(_ticket: Ticket) -> None:
    """Do nothing: whoever ran it has it."""


def too_late(seconds: float) -> DeadlineExceeded:
    """Return the failure of a prediction that did not end in its time."""
    return DeadlineExceeded(
        f"the prediction did not end within {seconds:g} s; allow more with X-Request-Timeout-Ms, or send less"
    )
