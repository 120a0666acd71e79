"""HTTP/1.1 (RFC 9112) on one connection: reads heads and bodies within limits, writes answers in order.

llhttp, by httptools, does the parsing; uvicorn does the sockets, TLS and the end of a process. What lies
between is here, without a task, a queue or a copy for each request: a small call is answered in the loop's
turn in which it arrived, and a large body is received into the very bytes that the model reads.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import httptools

from reference_server.errors import InvalidRequest, ServiceError, Unavailable
from reference_server.http.wire import DIRECT_BYTES, SWALLOWED_BYTES, ClientGone, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn import Config
    from uvicorn.server import ServerState

    from reference_server.http.front import Front

_READ_BYTES = 64 * 2**10
_MOST_HEAD_BYTES = 64 * 2**10
# Headers of one name are joined, which costs the square of their number.
_MOST_JOINED_CHARACTERS = 8 * 2**10
# What an upload may have unread before its sender is made to wait.
_MOST_UNREAD_BYTES = 2**20
_SWALLOWED_SECONDS = 10.0
# How long whoever sent something malformed is listened to, so that he can read why it was refused.
_LINGER_SECONDS = 2.0
# Beyond the connections that there may be, so many are told why at a time; others are cut off.
_MOST_REFUSED = 32
_HEAD_SECONDS = 10.0
# As nginx: long enough for a person between two clicks.
_IDLE_SECONDS = 75.0
_WRITE_SECONDS = 60.0
# TLS waits for the other side to close too (RFC 8446, section 6.1), and clients that keep a connection for
# later do not look at it meanwhile.
_FAREWELL_SECONDS = 1.0

# What is read is parsed before the loop reads again, so all connections share one buffer; Windows' loop
# begins to read before there is anything, and needs one for each.
_SHARED = None if sys.platform == "win32" else memoryview(bytearray(_READ_BYTES))


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
        # A line that every answer on this connection has.
        self.own_header = ""
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
            self.scheme, self.own_header = "https", self.front.secure_header
        self._wait(_HEAD_SECONDS, self.close)
        if self.front.crowding > _MOST_REFUSED:
            self.abort()
        elif self.front.crowding > 0:
            self._refuse_and_close(_too_many_connections())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        """Tell whoever works for this client that it has gone."""
        self.is_lost = True
        self._connections.discard(self)
        self.front.forget(self)
        for exchange in (self._current, *self._waiting):
            if exchange is not None:
                self.front.release(exchange)
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
        if key in headers:
            text = f"{headers[key]}, {text}"
            if len(text) > _MOST_JOINED_CHARACTERS:
                raise _headers_too_large()
        headers[key] = text

    def on_headers_complete(self) -> None:
        """Begin an exchange, or let it wait for those before it."""
        if self._is_over:
            return
        parser, headers = self._parser, self._headers or {}
        speaks_1_1 = _speaks_1_1(parser.get_http_version())
        if speaks_1_1 and ("," in headers.get("host", ",")):
            # RFC 9112, section 3.2: a request with none, or with several, is refused.
            raise InvalidRequest("a request has exactly one Host header")
        if headers.get("transfer-encoding", "chunked").lower() != "chunked" or (
            "transfer-encoding" in headers and not speaks_1_1
        ):
            # RFC 9112, sections 6.1 and 7: others would have to be undone, and what a proxy makes of several,
            # or of any in HTTP/1.0, need not be what we make of them.
            raise InvalidRequest("the only Transfer-Encoding taken is chunked, in HTTP/1.1")
        self._is_upgrade = parser.should_upgrade()
        exchange = Exchange(
            self,
            parser.get_method().decode("ascii"),
            self._target,
            headers,
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
        expected = exchange.headers.pop("expect", "").lower() if exchange.speaks_1_1 else ""
        if "100-continue" in expected:
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
        if exchange.reserved:
            self.front.release(exchange)
        if self.is_lost or self._current is not exchange:
            return
        if not exchange.whole and self._is_broken:
            self._linger()
            return
        if not exchange.whole:
            if self._rest is not None:
                # The parser knows nothing of these bytes, nor where the next request begins.
                self._to_swallow = len(self._rest)
                self._direct = self._rest = None
            self._wait(_SWALLOWED_SECONDS, self.close)
            self.resume()
            return
        self._current = None
        if self._newest is exchange:
            # An idle connection keeps neither the last body nor what worked at it.
            self._newest = None
        if self._is_broken and not self._waiting:
            self._linger()
        elif not exchange.keep_alive or self.is_closing:
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

    @property
    def must_close(self) -> bool:
        """Whether an answer given now is the last on this connection."""
        return self.is_closing or self._rest is not None or self.front.is_parting

    def close(self) -> None:
        """Close when all is sent."""
        self._is_over, self._newest = True, None
        is_sent = self.scheme == "https" and not self.transport.get_write_buffer_size()
        patience = _FAREWELL_SECONDS if is_sent else _WRITE_SECONDS
        self.due, self._write_due = math.inf, self.loop.time() + patience
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
        try:
            self.front.begin(exchange)
        except Exception as error:  # noqa: BLE001 - logged whole, shown to nobody
            self.front.fail(exchange, error)

    def _rest_or_go_on(self) -> None:
        if self._waiting:
            # Not at once: a thousand pipelined requests must not become a thousand nested calls.
            self.loop.call_soon(self._begin_next)
        elif self._is_broken:
            self._linger()
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

    def _linger(self) -> None:
        """Close, but hear the rest first: a reset would take the answer from who is still sending."""
        self._is_over, self._newest = True, None
        self._direct = self._rest = None
        self._to_swallow = SWALLOWED_BYTES
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._wait(_LINGER_SECONDS, self.close)
        self.resume()

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
        elif exchange.length is None or exchange.length > DIRECT_BYTES:
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


def _speaks_1_1(version: str) -> bool:
    if version not in ("1.0", "1.1"):
        raise InvalidRequest(f"this server speaks HTTP/1.1, not HTTP/{version}")
    return version == "1.1"


def _host(peer: object) -> str:
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


def _headers_too_large() -> InvalidRequest:
    return InvalidRequest(
        f"the request's headers are longer than {_MOST_HEAD_BYTES:,} bytes", code="headers_too_large"
    )


def _too_many_connections() -> Unavailable:
    return Unavailable(
        "the server has as many connections as it takes; try again in a moment",
        code="too_many_connections",
        retry_after=1.0,
    )


def _too_slow(seconds: float) -> InvalidRequest:
    return InvalidRequest(
        f"the body did not arrive within {seconds:g} s; send it faster or in parts", code="body_too_slow"
    )
