"""What both transports do with an exchange: the user agent, redirects, failures, the log line."""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from maas_client import __version__
from maas_client._answers import error_from
from maas_client._deprecation import warn_of_deprecation
from maas_client._masking import scrub
from maas_client.errors import DeadlineError, MaasError, RedirectError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client._calls import Call
    from maas_client._operations._operation import Answer, Body, Sink

_log = logging.getLogger("maas_client")
_PYTHON = ".".join(str(part) for part in sys.version_info[:3])
USER_AGENT = f"maas-client/{__version__} python/{_PYTHON} {sys.platform}"
MAX_REDIRECTS = 5


@dataclass(slots=True)
class Outcome:
    """How an attempt ended, for the log."""

    status: int | str = "no answer"
    request_id: str | None = None

    def answered(self, answer: Answer) -> Answer:
        """Keep what the answer says, and return it."""
        self.status, self.request_id = answer.status, answer.headers.get("X-Request-Id")
        return answer


@contextmanager
def logged_attempt(call: Call[Any]) -> Iterator[Outcome]:
    """Count an attempt, and log how it ended."""
    call.attempt += 1
    started = time.perf_counter()
    outcome = Outcome()
    try:
        yield outcome
    except MaasError as error:
        outcome.status, outcome.request_id = error.status or type(error).__name__, error.request_id
        raise
    finally:
        spent = (time.perf_counter() - started) * 1000
        _log.debug(
            "%s: %s, attempt %d, %.1f ms, request %s",
            call.name,
            outcome.status,
            call.attempt,
            spent,
            outcome.request_id,
        )


def seconds_left(call: Call[Any]) -> float | None:
    """Return what is left of a call's budget, in seconds; None for no limit."""
    if call.timeout is None:
        return None
    return max(0.001, call.ends_at - time.monotonic())


def size_of(body: Body) -> int:
    """Return the length of a body in bytes; a file is left at its start."""
    if isinstance(body, bytes):
        return len(body)
    size = body.seek(0, os.SEEK_END)
    body.seek(0)
    return size


def sink_for(call: Call[Any], status: int) -> Sink | None:
    """Return where the body of an answer goes, or None when it is kept in memory, as that of a failure is."""
    return call.operation.sink if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES else None


@contextmanager
def forgiving(call: Call[Any], sink: Sink) -> Iterator[None]:
    """Fill a sink, and let an attempt that brought it further not count among the retries."""
    before = sink.received
    try:
        yield
    finally:
        if sink.received > before:
            call.forgiven = call.attempt - 1


def too_late(call: Call[Any]) -> DeadlineError:
    """Make the error of a call whose budget is spent."""
    return DeadlineError(f"{call.name} took longer than its {call.timeout:g} s, in attempt {call.attempt}")


def sent_around(call: Call[Any], answer: Answer) -> RedirectError:
    """Make the error of a call that only met redirects."""
    return RedirectError(f"{call.name} was sent around {MAX_REDIRECTS} times", status=answer.status)


def accepted(call: Call[Any], answer: Answer) -> Answer:
    """Return a successful answer; raise the error that any other stands for."""
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise error_from(answer.status, answer.headers, answer.body, secrets=call.secrets)
    warn_of_deprecation(call.operation.path, answer.headers)
    return answer


def is_redirect(status: int) -> bool:
    """Tell whether a status sends elsewhere."""
    return HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST


def next_place(call: Call[Any], url: str, answer: Answer) -> str:
    """Return where a redirect leads, if a credential may go there."""
    target = urljoin(url, answer.headers.get("Location", ""))
    here, there = urlsplit(url), urlsplit(target)
    if call.operation.method == "GET" and (here.scheme, here.netloc) == (there.scheme, there.netloc):
        return target
    raise RedirectError(
        scrub(f"the server at {here.scheme}://{here.netloc} redirects {call.name} to {target}", call.secrets),
        status=answer.status,
        request_id=answer.headers.get("X-Request-Id"),
    )


def chain_of(error: BaseException) -> list[BaseException]:
    """Return the error and what it stands for, down to what really happened."""
    for inner in (getattr(error, "reason", None), *reversed(error.args), error.__cause__):
        if isinstance(inner, BaseException):
            return [error, *chain_of(inner)]
    return [error]


def without_frames(error: BaseException) -> BaseException:
    """Take the frames off an exception and its causes: their locals hold headers and bodies in clear."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        if (current := pending.pop()) is not None and id(current) not in seen:
            seen.add(id(current))
            current.__traceback__ = None
            pending += [current.__cause__, current.__context__]
            pending += [inner for inner in current.args if isinstance(inner, BaseException)]
    return error
