"""HTTP/1.1 (RFC 9112) on one connection: reads heads and bodies within limits, writes answers in order.

llhttp, by httptools, does the parsing; uvicorn does the sockets, TLS and the end of a process. What lies
between is here, without a task, a queue or a copy for each request: a small call is answered in the loop's
turn in which it arrived, and a large body is received into the very bytes that the model reads.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections import deque
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools

from reference_server.errors import InvalidRequest, ServiceError, TooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from uvicorn import Config
    from uvicorn.server import ServerState

    from reference_server.http.front import Front

    Headers = Iterable[tuple[str, str]]

_READ_BYTES = 64 * 2**10
# Larger bodies of known length go into a buffer of their own; smaller ones cost less to join.
_DIRECT_BYTES = 64 * 2**10
_MOST_HEAD_BYTES = 64 * 2**10
# What an upload may have unread before its sender is made to wait.
_MOST_UNREAD_BYTES = 2**20
# Most clients read no answer before they have sent all: swallow this much so that they see the refusal.
_SWALLOWED_BYTES = 32 * 2**20
_SWALLOWED_SECONDS = 10.0
_HEAD_SECONDS = 10.0
# As nginx: long enough for a person between two clicks.
_IDLE_SECONDS = 75.0
_WRITE_SECONDS = 60.0
_BODILESS = (204, 304)

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
# What is read is parsed before the loop reads again, so all connections share one buffer; Windows' loop
# begins to read before there is anything, and needs one for each.
_SHARED = None if sys.platform == "win32" else memoryview(bytearray(_READ_BYTES))


class ClientGone(Exception):  # noqa: N818 - no error of ours: nobody is left to be answered
    """The client closed the connection before its request was answered."""


class Exchange:
    """One request and its answer.

    Args:
        connection: Where it came from.
        method: In upper case.
        target: The request's target as it was sent.
        headers: Values by name in lower case; those of one name are joined by commas.
        keep_alive: Whether another request may follow on the connection.
        speaks_1_1: Whether the client speaks HTTP/1.1, and so reads chunked answers.
    """

    __slots__ = (
        "_act",
        "_buffer",
        "_discarded",
        "_error",
        "_limit",
        "_parts",
        "_size",
        "_waiter",
        "answered",
        "connection",
        "context",
        "headers",
        "keep_alive",
        "length",
        "method",
        "on_gone",
        "path",
        "query",
        "speaks_1_1",
        "whole",
    )

    def __init__(
        self,
        connection: Connection,
        method: str,
        target: bytes,
        headers: dict[str, str],
        *,
        keep_alive: bool,
        speaks_1_1: bool = True,
    ) -> None:
        self.connection = connection
        self.method = method
        self.headers = headers
        self.keep_alive = keep_alive
        self.speaks_1_1 = speaks_1_1
        self.path, self.query = _split(target)
        self.length = _declared_length(headers)
        self.whole = False
        self.answered = False
        self.context: Any = None
        self.on_gone: Callable[[], None] | None = None
        self._parts: list[bytes] = []
        self._buffer: bytearray | None = None
        self._size = 0
        self._limit = 0
        self._discarded = 0
        self._error: Exception | None = None
        self._act: Callable[[Exchange], None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def when_whole(self, act: Callable[[Exchange], None]) -> None:
        """Call `act` once the body is there; for lengths that are declared and allowed."""
        if self.whole:
            act(self)
        elif isinstance(self._error, ServiceError):
            self.connection.front.refuse(self, self._error)
        else:
            self._act = act

    @property
    def body(self) -> bytes | bytearray:
        """What has arrived of the body."""
        if self._buffer is not None:
            return self._buffer
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    async def read(self, most: int) -> bytes | bytearray:
        """Return the body.

        Raises:
            TooLarge: It is longer than `most` bytes.
            InvalidRequest: It did not arrive in time.
            ClientGone: It will never be whole.
        """
        self._limit = most
        if (self.length or 0) > most or self._size > most:
            raise _too_large(most)
        while not self.whole:
            await self._more()
            if self._size > most:
                raise _too_large(most)
        return self.body

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; what is not taken is not read.

        Raises:
            InvalidRequest: The next part did not arrive in time.
            ClientGone: The rest will never come.
        """
        while True:
            is_last, parts = self.whole, self._parts
            self._parts, self._size = [], 0
            for part in parts:
                yield part
            if is_last:
                return
            if not self._parts and not self.whole:
                await self._more()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the answer, whole; only one to HEAD may bring a content-length of its own."""
        if self.answered:
            return
        lines = [f"{name}: {value}\r\n" for name, value in headers]
        if status in _BODILESS:
            body = b""
        elif self.method != "HEAD" or not any(line.startswith("content-length:") for line in lines):
            lines.append(f"content-length: {len(body)}\r\n")
        head = self._head(status, lines)
        self.connection.write(head if self.method == "HEAD" else head + body)
        self.answered = True
        self.connection.finish(self)

    async def stream(self, status: int, headers: Headers, chunks: AsyncIterator[bytes]) -> None:
        """Send an answer piece by piece, no faster than it is read.

        Raises:
            ClientGone: It is not wanted any more.
        """
        if self.answered:
            return
        connection = self.connection
        given = list(headers)
        is_counted = any(name.lower() == "content-length" for name, _ in given)
        is_chunked = not is_counted and self.speaks_1_1
        self.keep_alive = self.keep_alive and (is_counted or is_chunked)
        if is_chunked:
            given.append(("transfer-encoding", "chunked"))
        connection.write(self._head(status, [f"{name}: {value}\r\n" for name, value in given]))
        self.answered = True
        try:
            async for chunk in chunks:
                if chunk and self.method != "HEAD":
                    await connection.drain()
                    connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
        except BaseException:
            # Half an answer cannot be mended; cut, so that the client sees that it is not whole.
            connection.abort()
            raise
        if is_chunked and self.method != "HEAD":
            connection.write(b"0\r\n\r\n")
        connection.finish(self)

    @property
    def is_direct(self) -> bool:
        """Whether the rest of the body may go into a buffer of its own."""
        wanted = self._act is not None or (self._waiter is not None and self._limit > 0)
        return wanted and not self.whole and (self.length or 0) > _DIRECT_BYTES

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for the body."""
        return self._act is not None or self._waiter is not None

    @property
    def is_streamed(self) -> bool:
        """Whether the body is taken in parts."""
        return self._act is None and not self._limit

    @property
    def unread(self) -> int:
        """How many bytes of the body are here and not taken."""
        return self._size

    def buffer(self) -> tuple[bytearray, int]:
        """Return a buffer for the whole body, and how much of it is there."""
        body = bytearray(self.length or 0)
        body[: self._size] = b"".join(self._parts)
        self._parts, filled = [], self._size
        return body, filled

    def feed(self, chunk: bytes) -> None:
        """Take a part of the body."""
        if self.answered:
            self._discarded += len(chunk)
            if self._discarded > _SWALLOWED_BYTES:
                self.connection.close()
            return
        self._parts.append(chunk)
        self._size += len(chunk)
        self._wake()

    def end(self, body: bytearray | None = None) -> None:
        """Take note that the body is whole; `body` where it has a buffer of its own."""
        self.whole = True
        if self.answered:
            self.connection.finish(self)
            return
        if body is not None:
            self._buffer, self._size = body, len(body)
        self._wake()
        if self._act is not None:
            act, self._act = self._act, None
            act(self)

    def fail(self, error: Exception) -> None:
        """End the wait for the body, also one that has yet to begin."""
        self._error = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        elif (
            self._act is not None and not self.whole and not self.answered and isinstance(error, ServiceError)
        ):
            self.connection.front.refuse(self, error)

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        if self.connection.is_lost:
            raise ClientGone
        self._waiter = self.connection.loop.create_future()
        self.connection.expect_body(self)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            # Someone who wants the whole is not woken for each part, unless there is too much of it.
            if self._limit and not self.whole and self._size <= self._limit:
                return
            self._waiter.set_result(None)

    def _head(self, status: int, lines: list[str]) -> bytes:
        if self.connection.is_closing or not self.keep_alive:
            self.keep_alive = False
            lines.append("connection: close\r\n")
        text = "".join(lines)
        if text.count("\n") != len(lines):
            raise ValueError("a header's value holds a line break")
        return f"{_STATUS_LINES[status]}{_date(int(time.time()))}{text}\r\n".encode("latin-1")


class Connection(asyncio.BufferedProtocol):
    """One client's connection; made by uvicorn's server, which passes these arguments by name.

    Requests that a client sends before it has its answer (pipelining) wait; what follows them is not read.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 - of ASGI's lifespan, which is not spoken here
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.front: Front = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.address = ""
        self.local = ("", 0)
        self.scheme = "http"
        self.is_lost = False
        self.is_closing = False
        self._is_over = False
        # When patience ends (on the loop's clock), and with what.
        self.due = math.inf
        self._late: Callable[[], None] = self.close
        # Likewise for a client that does not read what it was sent.
        self._write_due = math.inf
        self._is_broken = False
        self._is_upgrade = False
        self._silent_bytes = 0
        self._ended = False
        self._connections = server_state.connections
        self._parser = httptools.HttpRequestParser(self)
        self._own = memoryview(bytearray(_READ_BYTES)) if _SHARED is None else _SHARED
        self._target = b""
        # None between a head and the end of its body.
        self._headers: dict[str, str] | None = {}
        self._head_bytes = 0
        self._current: Exchange | None = None
        self._newest: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._direct: bytearray | None = None
        self._rest: memoryview | None = None
        self._to_swallow = 0
        self._drained: asyncio.Future[None] | None = None
        self._is_paused = False

    # What the loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin."""
        self.transport = transport
        self._connections.add(self)  # type: ignore[arg-type] # its own kinds are all that uvicorn lists
        self.front.watch(self)
        self.address = _host(transport.get_extra_info("peername"))
        self.local = (transport.get_extra_info("sockname") or self.local)[:2]
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = "https"
        self._wait(_HEAD_SECONDS, self.close)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        """Tell whoever works for this client that it has gone."""
        self.is_lost = True
        self._connections.discard(self)
        self.front.forget(self)
        for exchange in (self._current, *self._waiting):
            if exchange is not None:
                exchange.fail(ClientGone())
                if exchange.on_gone is not None:
                    exchange.on_gone()
        self.resume_writing()
        # What refers back to this would keep it until the collector runs, which is seldom.
        self._parser = self._current = self._newest = None  # type: ignore[assignment] # nothing is read any more
        self._waiting.clear()
        self.due, self._late = math.inf, _nothing
        self._direct = self._rest = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's signature
        """Return where the next bytes go."""
        return self._own if self._rest is None else self._rest

    def buffer_updated(self, nbytes: int) -> None:
        """Read what has arrived."""
        if self._rest is not None:
            self._fill(nbytes)
            return
        if self._to_swallow:
            self._swallow(nbytes)
            return
        self._ended = False
        self._silent_bytes += nbytes
        try:
            self._parser.feed_data(self._own[:nbytes])
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(bytes(self._own[upgrade.args[0] : nbytes]))
        except httptools.HttpParserError as error:
            self._malformed(error)
        else:
            if self._headers is None:
                # Trailers and chunk extensions, of which nothing is used.
                if self._silent_bytes > _MOST_HEAD_BYTES + _READ_BYTES:
                    self._refuse_and_close(_headers_too_large())
                elif self._newest is not None:
                    self._go_on(self._newest)
            elif self._target and not self._ended:
                self._count_head(nbytes)

    def eof_received(self) -> None:
        """Close: who cannot send any more has left."""

    def pause_writing(self) -> None:
        """Let `drain` wait: the client reads more slowly than it is written to."""
        self._drained = self.loop.create_future()
        self._write_due = self.loop.time() + _WRITE_SECONDS

    def resume_writing(self) -> None:
        """Let `drain` go on."""
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained, self._write_due = None, math.inf
            if self._current is None and not self.is_lost:
                self._rest_or_go_on()

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a chunked body mean nothing here."""
        headers = self._headers
        if headers is None:
            return
        key, text = _lowered(name), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """Begin an exchange, or let it wait for those before it."""
        if self._is_over:
            return
        parser = self._parser
        speaks_1_1 = parser.get_http_version() == "1.1"
        self._is_upgrade = parser.should_upgrade()
        exchange = Exchange(
            self,
            parser.get_method().decode("ascii"),
            self._target,
            self._headers or {},
            keep_alive=speaks_1_1 and parser.should_keep_alive() and not self._is_upgrade,
            speaks_1_1=speaks_1_1,
        )
        self._newest, self._target, self._headers, self._head_bytes = exchange, b"", None, 0
        if self._current is None and self._drained is None and not self._waiting:
            self._begin(exchange)
        else:
            self._waiting.append(exchange)
            self.pause()

    def on_body(self, chunk: bytes) -> None:
        """Take a part of a body."""
        self._silent_bytes = 0
        if self._newest is not None:
            self._newest.feed(chunk)

    def on_message_complete(self) -> None:
        """End a body."""
        if self._is_upgrade:
            # The parser stops at an upgrade's head; the body, if there is one, is still to come.
            return
        self._headers, self._ended, self._silent_bytes = {}, True, 0
        if self._newest is not None:
            self.due = math.inf
            self._newest.end()

    # What an exchange calls.

    def expect_body(self, exchange: Exchange) -> None:
        """Read on, within the time for bodies."""
        if "expect" in exchange.headers and exchange.headers.pop("expect").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._wait(self.front.body_seconds, lambda: exchange.fail(_too_slow(self.front.body_seconds)))
        if exchange.is_direct:
            self._open_direct(exchange)
        self.resume()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if not self.is_lost:
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has read most of what it was sent.

        Raises:
            ClientGone: It never will.
        """
        if self._drained is not None:
            await self._drained
        if self.is_lost:
            raise ClientGone

    def finish(self, exchange: Exchange) -> None:
        """Go on to the next request once this one is whole and answered."""
        if self.is_lost or self._current is not exchange:
            return
        if not exchange.whole and self._is_broken:
            self.close()
            return
        if not exchange.whole:
            if self._rest is not None:
                # The parser knows nothing of these bytes, nor where the next request begins.
                self._to_swallow, exchange.keep_alive = len(self._rest), False
                self._direct = self._rest = None
            self._wait(_SWALLOWED_SECONDS, self.close)
            self.resume()
            return
        self._current = None
        if self._newest is exchange:
            # An idle connection keeps neither the last body nor what worked at it.
            self._newest = None
        if not exchange.keep_alive or self.is_closing:
            self.close()
        elif self._drained is not None:
            # Who does not read his answers gets no more of them.
            self.pause()
        else:
            self._rest_or_go_on()

    def pause(self) -> None:
        """Read no more for now."""
        if not self._is_paused and not self.is_lost:
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and not self.is_lost:
            self._is_paused = False
            self.transport.resume_reading()

    def close(self) -> None:
        """Close when all is sent."""
        self._is_over, self._newest = True, None
        self.due, self._write_due = math.inf, self.loop.time() + _WRITE_SECONDS
        self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.due = self._write_due = math.inf
        self.transport.abort()

    def shutdown(self) -> None:
        """Take no more requests; called by uvicorn when the server stops."""
        self.is_closing = True
        if self._current is None:
            self.close()

    def look(self, now: float) -> None:
        """Act if patience has ended."""
        if now >= self._write_due:
            self.abort()
        elif now >= self.due:
            self.due = math.inf
            self._late()

    def _wait(self, seconds: float, late: Callable[[], None]) -> None:
        self.due, self._late = self.loop.time() + seconds, late

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        self.due = math.inf
        self.front.begin(exchange)

    def _rest_or_go_on(self) -> None:
        if self._waiting:
            # Not at once: a thousand pipelined requests must not become a thousand nested calls.
            self.loop.call_soon(self._begin_next)
        elif self._is_broken:
            self.close()
        else:
            self.resume()
            self._wait(_HEAD_SECONDS if self._target else _IDLE_SECONDS, self.close)

    def _begin_next(self) -> None:
        if not self.is_lost and self._current is None and self._drained is None and self._waiting:
            exchange = self._waiting.popleft()
            if not self._waiting and not self._is_broken:
                self.resume()
            self._begin(exchange)
            if not exchange.whole:
                self._go_on(exchange)

    def _go_on(self, exchange: Exchange) -> None:
        """Decide how the rest of a body is read."""
        if exchange.answered or exchange is not self._current:
            return
        if not exchange.is_wanted or (exchange.unread > _MOST_UNREAD_BYTES and exchange.is_streamed):
            self.pause()
        elif self.due == math.inf:
            self.expect_body(exchange)

    def _open_direct(self, exchange: Exchange) -> None:
        self._direct, filled = exchange.buffer()
        self._rest = memoryview(self._direct)[filled:]

    def _fill(self, nbytes: int) -> None:
        rest, exchange = self._rest, self._current
        assert rest is not None  # noqa: S101 - for type checkers; the caller has looked
        self._rest = rest[nbytes:]
        if len(self._rest) or exchange is None:
            return
        body, self._direct, self._rest = self._direct, None, None
        self.due = math.inf
        # The parser still waits for these bytes; another knows nothing of them.
        self._parser, self._headers = httptools.HttpRequestParser(self), {}
        exchange.end(body)

    def _swallow(self, nbytes: int) -> None:
        self._to_swallow -= nbytes
        if self._to_swallow <= 0:
            self.close()

    def _count_head(self, nbytes: int) -> None:
        self._head_bytes += nbytes
        if self._head_bytes == nbytes and self._current is None:
            self._wait(_HEAD_SECONDS, self.close)
        if self._head_bytes > _MOST_HEAD_BYTES:
            self._refuse_and_close(_headers_too_large())

    def _stay(self, rest: bytes) -> None:
        """Go on in HTTP/1.1, as RFC 9110, section 7.8 lets a server: `rest` is what followed the head."""
        exchange, self._is_upgrade = self._newest, False
        self._parser, self._headers = httptools.HttpRequestParser(self), {}
        if exchange is None or exchange is not self._current:
            self.close()
        elif exchange.length == 0:
            exchange.end()
        elif exchange.length is None or exchange.length > _DIRECT_BYTES:
            self._refuse_and_close(
                InvalidRequest("this server switches to no other protocol; send no Upgrade with such a body")
            )
        else:
            exchange.feed(rest[: exchange.length])
            if exchange.unread == exchange.length:
                exchange.end()
            else:
                self._open_direct(exchange)
                self._go_on(exchange)

    def _malformed(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, InvalidRequest):
            self.front.report(cause or error)
        problem = (
            cause if isinstance(cause, InvalidRequest) else InvalidRequest("this is no HTTP/1.1 request")
        )
        self._refuse_and_close(problem)

    def _refuse_and_close(self, error: ServiceError) -> None:
        if self._is_over:
            return
        self.pause()
        self._is_broken = True
        if self._current is None and not self._waiting:
            exchange = Exchange(self, "GET", b"/", {}, keep_alive=False)
            exchange.whole = True
            self._current = exchange
            self.front.refuse(exchange, error)
            return
        # What was asked before is answered first, by whoever works at it.
        last = self._waiting[-1] if self._waiting else self._current
        if last is not None:
            last.keep_alive = False
            if not last.whole:
                last.fail(error)


def _nothing() -> None:
    """Do nothing: patience with a connection that is lost ends in this."""


@lru_cache(maxsize=1024)
def _lowered(name: bytes) -> str:
    return name.decode("latin-1").lower()


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return f"date: {formatdate(second, usegmt=True)}\r\n"


def _split(target: bytes) -> tuple[str, str]:
    """Return a target's path, its percents decoded, and its query as it is."""
    if not target.startswith(b"/"):
        target = _origin_form(target)
    path, _, query = target.decode("latin-1").partition("?")
    return unquote(path, errors="surrogateescape") if "%" in path else path, query


def _origin_form(target: bytes) -> bytes:
    # RFC 9112, section 3.2.2: a server must take the absolute form too.
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise InvalidRequest("the request's target is no path") from None
    return (url.path or b"/") + (b"?" + url.query if url.query else b"")


def _declared_length(headers: dict[str, str]) -> int | None:
    """Return a body's length in bytes; None where it comes in chunks. llhttp has checked the number."""
    length = headers.get("content-length")
    if length is not None:
        return int(length)
    return None if "transfer-encoding" in headers else 0


def _host(peer: object) -> str:
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


def _headers_too_large() -> InvalidRequest:
    return InvalidRequest(
        f"the request's headers are longer than {_MOST_HEAD_BYTES:,} bytes", code="headers_too_large"
    )


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than the {limit:,} bytes taken here; send less at a time")


def _too_slow(seconds: float) -> InvalidRequest:
    return InvalidRequest(
        f"the body did not arrive within {seconds:g} s; send it faster or in parts", code="body_too_slow"
    )
