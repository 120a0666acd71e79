"""One request and its answer on the wire: the body as it arrives, the answer as it is sent."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools

from reference_server.errors import InvalidRequest, ServiceError, TooLarge

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterable

    from reference_server.http.connection import Connection

    Headers = Iterable[tuple[str, str]]

# Larger bodies of known length go into a buffer of their own; smaller ones cost less to join.
DIRECT_BYTES = 64 * 2**10
# Most clients read no answer before they have sent all: swallow this much so that they see the refusal.
SWALLOWED_BYTES = 32 * 2**20
_BODILESS = (204, 304)
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


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
        "reserved",
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
        # Bytes that the front keeps free for the body.
        self.reserved = 0
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
        return wanted and not self.whole and (self.length or 0) > DIRECT_BYTES

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
            if self._discarded > SWALLOWED_BYTES:
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
        if self.connection.must_close or not self.keep_alive:
            self.keep_alive = False
            lines.append("connection: close\r\n")
        text = "".join(lines)
        if text.count("\n") != len(lines):
            raise ValueError("a header's value holds a line break")
        own = self.connection.own_header
        return f"{_STATUS_LINES[status]}{_date(int(time.time()))}{own}{text}\r\n".encode("latin-1")


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


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than the {limit:,} bytes taken here; send less at a time")
