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
from reference_server.runtime.lanes import Ticket, run_together

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.http.exchange import Answer, Call
    from reference_server.metrics import ModelKey
    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.work import Work

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pending:
    """A call that is decoded and waits for its run.

    Args:
        key: What it is counted by.
        model: What runs it.
        work: What is to be run.
        encode: Makes the answer of the result and the ticket's times.
        began: When decoding began, on the services' timer.
        decoded: When it ended.
    """

    key: ModelKey
    model: LoadedModel
    work: Work
    encode: Callable[[Any, Times], Answer]
    began: float
    decoded: float


@dataclass(frozen=True, slots=True)
class Times:
    """How long a call waited and ran, in seconds."""

    queue: float
    compute: float


def run_here(call: Call, pending: Pending) -> Answer:
    """Run a decoded call in this thread and make its answer."""
    ticket = Ticket(pending.work, call.deadline, _nobody_waits)
    run_together([ticket], call.services.lanes.timer)
    return complete(call, pending, ticket)


def run_in_lane(call: Call, pending: Pending) -> Answer:
    """Run a decoded call in a lane, wait for it, and make its answer."""
    try:
        ticket = call.services.lanes.run(pending.model, pending.work, call.deadline)
    except ServiceError as error:
        return failed(call, pending, error)
    return complete(call, pending, ticket)


def complete(call: Call, pending: Pending, ticket: Ticket) -> Answer:
    """Make the answer of what a lane computed, and count it; every failure becomes an answer too."""
    timer = call.services.timer
    compute = ticket.ended - ticket.started
    waited = max(0.0, ticket.started - ticket.queued) if ticket.queued else 0.0
    begun = timer()
    try:
        answer = pending.encode(ticket.value(), Times(waited, compute))
    except ServiceError as error:
        return failed(call, pending, error)
    except Exception:  # noqa: BLE001 - logged whole, shown to nobody
        _log.exception("the request failed", extra={"fields": {"request_id": call.request.id}})
        return failed(call, pending, internal_error())
    call.services.metrics.model(pending.key).succeeded(
        queue=waited,
        decode=pending.decoded - pending.began,
        compute=compute,
        encode=timer() - begun,
        rows=pending.work.rows,
        shared_rows=ticket.shared_rows,
    )
    return answer


def failed(call: Call, pending: Pending, error: ServiceError) -> Answer:
    """Make the answer of a run that failed, and count it."""
    call.services.metrics.model(pending.key).failures.append(call.services.timer() - pending.began)
    return answer_for(error, call.request)


def too_late(seconds: float) -> DeadlineExceeded:
    """Return the failure of a prediction that did not end in its time."""
    return DeadlineExceeded(
        f"the prediction did not end within {seconds:g} s; allow more with X-Request-Timeout-Ms, or send less"
    )


def _nobody_waits(_ticket: Ticket) -> None:
    """Take the place of whom a lane tells: here the caller itself ran it."""
