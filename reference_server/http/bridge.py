"""WSGI (PEP 3333) behind the front: whatever is no inference goes to Flask in a small pool of threads."""

from __future__ import annotations

import asyncio
import io
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
    from concurrent.futures import Executor
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from reference_server.http.wire import Exchange

    Headers = list[tuple[str, str]]

_BODILESS = (204, 304)
# An answer that declares no more than this is sent in one piece; a longer one, and one that declares nothing,
# as it comes.
_WHOLE_BYTES = 2**20


class Bridge:
    """Runs a WSGI application for exchanges.

    Args:
        application: The application.
        threads: Where it runs.
    """

    def __init__(self, application: WSGIApplication, threads: Executor) -> None:
        self._application = application
        self._threads = threads

    async def __call__(self, exchange: Exchange, body: bytes | bytearray, **extras: object) -> None:
        """Answer one request whose body has arrived; `extras` go into the environment as `maas.NAME`."""
        loop = asyncio.get_running_loop()
        environ = _environ(exchange, body)
        environ.update((f"maas.{name}", value) for name, value in extras.items())
        status, headers, content = await loop.run_in_executor(self._threads, self._call, environ)
        if isinstance(content, bytes):
            if exchange.method != "HEAD":
                headers = [each for each in headers if each[0] != "content-length"]
            exchange.answer(status, headers, content)
            return
        async with aclosing(self._pieces(content)) as pieces:
            await exchange.stream(status, headers, pieces)

    async def _pieces(self, chunks: Iterator[bytes]) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            while (chunk := await loop.run_in_executor(self._threads, next, chunks, None)) is not None:
                yield chunk
        finally:
            await loop.run_in_executor(self._threads, _close, chunks)

    def _call(self, environ: WSGIEnvironment) -> tuple[int, Headers, bytes | Iterator[bytes]]:
        started: list[tuple[int, Headers]] = []

        def start_response(
            status: str, headers: Headers, _exc_info: object = None, /
        ) -> Callable[[bytes], object]:
            started[:] = [(int(status[:3]), headers)]
            return _refuse_write

        result = self._application(environ, start_response)
        status, headers = started[0]
        headers = [(name.lower(), value) for name, value in headers]
        if status not in _BODILESS and not _is_short(headers):
            return status, headers, _Chunks(result)
        try:
            return status, headers, b"".join(result)
        finally:
            _close(result)


class _Chunks:
    """An application's answer, piece by piece; `close` is the application's own (PEP 3333)."""

    def __init__(self, result: Iterable[bytes]) -> None:
        self._result = result
        self._pieces = iter(result)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        _close(self._result)


def _is_short(headers: Headers) -> bool:
    return any(name == "content-length" and int(value) <= _WHOLE_BYTES for name, value in headers)


def _environ(exchange: Exchange, body: bytes | bytearray) -> WSGIEnvironment:
    connection = exchange.connection
    address, port = connection.local
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": exchange.method,
        "SCRIPT_NAME": "",
        # The percents are decoded; WSGI wants the bytes as Latin-1.
        "PATH_INFO": exchange.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": exchange.query,
        "SERVER_NAME": address,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1" if exchange.speaks_1_1 else "HTTP/1.0",
        "REMOTE_ADDR": connection.address,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": connection.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in exchange.headers.items():
        if "_" in name:
            continue  # `X_A` and `X-A` would be one variable: only the second is meant
        variable = name.upper().replace("-", "_")
        if variable == "CONTENT_TYPE":
            environ[variable] = value
        elif variable not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            environ[f"HTTP_{variable}"] = value
    return environ


def _refuse_write(_data: bytes) -> object:
    raise RuntimeError("this server takes an application's body from its return value, not from `write`")


def _close(result: object) -> None:
    close = getattr(result, "close", None)
    if close is not None:
        close()
