"""The synchronous face's only sockets: `requests` adapters, one pool, a total deadline for each call."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException, RemoteDisconnected
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from maas_client._deadline import DeadlineAdapter, spend_until, tls_context
from maas_client._exchange import (
    MAX_REDIRECTS,
    USER_AGENT,
    accepted,
    chain_of,
    forgiving,
    is_redirect,
    logged_attempt,
    next_place,
    seconds_left,
    sent_around,
    sink_for,
    size_of,
    too_late,
    without_frames,
)
from maas_client._masking import scrub
from maas_client._operations._operation import Answer
from maas_client._telemetry import traced
from maas_client.errors import (
    DroppedError,
    InvalidReplyError,
    MaasError,
    NotSentError,
    RedirectError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from maas_client._calls import Call
    from maas_client._operations._operation import Result, Sink

# What is read at a time for a sink, in bytes.
_PIECE = 2**16
# Seconds by which a socket's timer may go off early.
_TIMER_SLACK = 0.005
_FOREIGN = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError)
_NEVER_SENT = (
    requests.ConnectTimeout,
    requests.exceptions.SSLError,
    requests.exceptions.ProxyError,
    urllib3.exceptions.NewConnectionError,
)


@dataclass(slots=True)
class Transport:
    """A pool of connections to one service, shared by threads and not across a fork.

    Args:
        base_url: Where the service is, without a slash at the end.
        verify: True for the default authorities, the path of others, False for no check.
        proxies: Proxy URLs by scheme, as `requests` takes them.
    """

    base_url: str
    verify: bool | str = True
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    _adapters: dict[int, DeadlineAdapter] = field(default_factory=dict, repr=False, init=False)

    def call(self, call: Call[Result]) -> Result:
        """Make a call and return its result.

        Raises:
            MaasError: Whatever went wrong; nothing of the libraries below comes through.
        """
        with traced(call, self.base_url):
            try:
                answer = self._attempt(call)
            except MaasError as error:
                answer = self._repeat(call, error)
            return call.operation.read(answer)

    def stream(self, call: Call[None], *, silence: float) -> Generator[bytes]:
        """Make a call once, and yield the body of its answer as it comes.

        Args:
            call: It is not repeated: whoever reads knows from where to go on.
            silence: Seconds without a byte after which the connection counts as broken.

        Raises:
            MaasError: Whatever went wrong; nothing of the libraries below comes through.
        """
        url = f"{self.base_url}{call.operation.path}"
        with logged_attempt(call) as outcome:
            response = self._open(call, url, silence)
            with closing(response.raw):
                failed = response.status_code >= HTTPStatus.MULTIPLE_CHOICES
                body = b"".join(_pieces(call, url, response)) if failed else b""
                outcome.answered(accepted(call, Answer(response.status_code, response.headers, body)))
                if failed:
                    raise RedirectError(f"{call.name} was sent elsewhere", status=response.status_code)
                pieces = _pieces(call, url, response)
                while (piece := _heard(pieces, call, silence)) is not None:
                    yield piece

    def close(self) -> None:
        """Close the idle connections; a later call opens new ones."""
        if adapter := self._adapters.pop(os.getpid(), None):
            adapter.close()

    def _repeat(self, call: Call[Any], failure: MaasError) -> Answer:
        # tenacity costs some 200 µs a call, so its loop starts with a failure in hand.
        from tenacity import Retrying

        from maas_client._retry import POLICY, tell

        failures = [failure]

        def attempt(call: Call[Any]) -> Answer:
            if failures:
                raise failures.pop()
            return self._attempt(call)

        try:
            return Retrying(sleep=time.sleep, **POLICY)(attempt, call)
        except MaasError as error:
            tell(call, error, None)
            raise

    def _attempt(self, call: Call[Any]) -> Answer:
        with logged_attempt(call) as outcome:
            return outcome.answered(self._exchange(call))

    def _exchange(self, call: Call[Any]) -> Answer:
        url = f"{self.base_url}{call.operation.path}"
        for _ in range(MAX_REDIRECTS + 1):
            answer = call.answer = self._send(call, url)
            if not is_redirect(answer.status):
                return accepted(call, answer)
            url = next_place(call, url, answer)
        raise sent_around(call, answer)

    def _send(self, call: Call[Any], url: str) -> Answer:
        request = _prepared(call, url)
        with spend_until(call.ends_at) as budget:
            try:
                response = self._pool().send(
                    request, stream=True, timeout=seconds_left(call), proxies=dict(self.proxies)
                )
                sink = sink_for(call, response.status_code)
                body = response.raw.read(decode_content=True) if sink is None else b""
            except _FOREIGN as error:
                raise _ours(call, url, error, never_sent=budget.connect_failed) from without_frames(error)
            except BaseException as error:
                without_frames(error)
                raise
            answer = Answer(response.status_code, response.headers, body)
            if sink is not None:
                with closing(response.raw), closing(_pieces(call, url, response)) as pieces:
                    _fill(sink, call, answer, pieces)
        return answer

    def _open(self, call: Call[Any], url: str, silence: float) -> requests.Response:
        ends_at = min(call.ends_at, time.monotonic() + silence)
        with spend_until(ends_at) as budget:
            try:
                return self._pool().send(
                    _prepared(call, url),
                    stream=True,
                    timeout=max(0.001, ends_at - time.monotonic()),
                    proxies=dict(self.proxies),
                )
            except _FOREIGN as error:
                raise _ours(call, url, error, never_sent=budget.connect_failed) from without_frames(error)

    def _pool(self) -> DeadlineAdapter:
        # A child of a fork has its parent's sockets; what it sent there would mix with the parent's calls.
        process = os.getpid()
        if (adapter := self._adapters.get(process)) is None:
            # Of threads that come here at once, all get what the first stored; a lock could outlive a fork.
            adapter = self._adapters.setdefault(process, self._new_adapter())
            for other in self._adapters.keys() - {process}:
                self._adapters.pop(other, None)
        return adapter

    def _new_adapter(self) -> DeadlineAdapter:
        secure = self.base_url.startswith("https:") or any(
            proxy.startswith("https:") for proxy in self.proxies.values()
        )
        return DeadlineAdapter(tls_context(self.verify) if secure else None)


def _fill(sink: Sink, call: Call[Any], answer: Answer, pieces: Iterator[bytes]) -> None:
    with forgiving(call, sink):
        sink.begin(answer)
        for piece in pieces:
            sink.write(piece)
            sink.advance(len(piece))


def _pieces(call: Call[Any], url: str, response: requests.Response) -> Generator[bytes, None, None]:
    pieces = response.raw.stream(_PIECE, decode_content=False)
    while True:
        try:
            piece = next(pieces, None)
        except _FOREIGN as error:
            raise _ours(call, url, error, never_sent=False) from without_frames(error)
        if piece is None:
            return
        yield piece


def _heard(pieces: Iterator[bytes], call: Call[Any], silence: float) -> bytes | None:
    with spend_until(min(call.ends_at, time.monotonic() + silence)):
        return next(pieces, None)


def aside(act: Callable[[], Result]) -> Result:
    """Do work that takes long; the asynchronous face has it done in a thread."""
    return act()


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def _prepared(call: Call[Any], url: str) -> requests.PreparedRequest:
    """Return the request as the adapter takes it: no session, so no netrc, no cookies and no redirects."""
    body = call.operation.body
    headers = {"User-Agent": USER_AGENT, **call.headers()}
    if body is not None:
        headers["Content-Length"] = str(size_of(body))
    request = requests.PreparedRequest()
    request.method = call.operation.method
    request.url = url
    request.headers = CaseInsensitiveDict(headers)
    request.body = body  # type: ignore[assignment]  # any seekable file is streamed
    request.hooks = {}
    return request


def _ours(call: Call[Any], url: str, error: Exception, *, never_sent: bool) -> MaasError:
    chain = chain_of(error)
    reason = chain[-1]
    if time.monotonic() >= call.ends_at - _TIMER_SLACK:
        return too_late(call)
    said = scrub(f"{type(reason).__name__}: {reason}", call.secrets)
    if never_sent or any(isinstance(link, _NEVER_SENT) for link in chain):
        host = "://".join(urlsplit(url)[:2])
        return NotSentError(f"{call.name} could not be sent to {host}: {said}")
    if isinstance(reason, BadStatusLine) and not isinstance(reason, RemoteDisconnected):
        return InvalidReplyError(f"{call.name} was not answered in HTTP: {said}")
    if isinstance(error, urllib3.exceptions.DecodeError):
        return InvalidReplyError(f"the answer to {call.name} cannot be unpacked: {said}")
    return DroppedError(f"the connection broke during {call.name}: {said}")
