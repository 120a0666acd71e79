"""WSGI (PEP 3333) on top of RSGI: whatever is no inference goes to Flask in a small pool of threads."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import TYPE_CHECKING, Any, Protocol

from reference_server.http.exchange import FilePart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor
    from wsgiref.types import WSGIApplication, WSGIEnvironment

Headers = list[tuple[str, str]]

# Under this name in the WSGI environment an application may leave the part of a file that its answer is.
FILE = "maas.file"

_BODILESS = (204, 304)
# An answer that declares no more than this is sent in one piece; a longer one, and one that declares nothing,
# as it comes.
_WHOLE_BYTES = 2**20


class Scope(Protocol):
    """What granian says of a request (RSGI 1.6)."""

    method: str
    path: str
    query_string: str
    scheme: str
    client: str
    server: str
    http_version: str
    headers: Any


class Stream(Protocol):
    """A response under way."""

    async def send_bytes(self, data: bytes) -> None:
        """Send the next bytes."""


class HTTPProtocol(Protocol):
    """The two directions of a request."""

    async def __call__(self) -> bytes:
        """Return the whole body."""

    def __aiter__(self) -> HTTPProtocol:
        """Iterate over the body's chunks."""

    async def __anext__(self) -> bytes:
        """Return the body's next chunk."""

    async def client_disconnect(self) -> None:
        """Return when the client has gone."""

    def response_empty(self, status: int, headers: Headers) -> None:
        """Answer without a body."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with a body."""

    def response_file_range(self, status: int, headers: Headers, file: str, start: int, end: int) -> None:
        """Answer with a part of a file, `end` being the byte after the last."""

    def response_stream(self, status: int, headers: Headers) -> Stream:
        """Begin an answer of unknown length."""


class Bridge:
    """Runs a WSGI application for RSGI requests.

    Args:
        application: The application.
        threads: Where it runs.
    """

    def __init__(self, application: WSGIApplication, threads: Executor) -> None:
        self._application = application
        self._threads = threads

    async def __call__(self, scope: Scope, protocol: HTTPProtocol, body: bytes, **extras: object) -> None:
        """Answer one request whose body has arrived; `extras` go into the environment as `maas.NAME`."""
        loop = asyncio.get_running_loop()
        environ = _environ(scope, body)
        environ.update((f"maas.{name}", value) for name, value in extras.items())
        status, headers, content = await loop.run_in_executor(self._threads, self._call, environ)
        if isinstance(content, bytes):
            protocol.response_bytes(status, headers, content)
        elif isinstance(content, FilePart):
            # A stream takes all that it is given, whether or not the client reads (granian 2.8: 100 MB stayed
            # in memory for one that did not); a file is read as it is sent.
            protocol.response_file_range(status, headers, content.path, content.start, content.stop)
        else:
            await self._stream(protocol.response_stream(status, headers), content)

    async def _stream(self, stream: Stream, chunks: Iterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (chunk := await loop.run_in_executor(self._threads, next, chunks, None)) is not None:
                try:
                    await stream.send_bytes(chunk)
                except RuntimeError:
                    # So granian says that the client has gone; nobody is left to answer.
                    return
        finally:
            await loop.run_in_executor(self._threads, _close, chunks)

    def _call(self, environ: WSGIEnvironment) -> tuple[int, Headers, bytes | FilePart | Iterator[bytes]]:
        started: list[tuple[int, Headers]] = []

        def start_response(
            status: str, headers: Headers, _exc_info: object = None, /
        ) -> Callable[[bytes], object]:
            started[:] = [(int(status[:3]), headers)]
            return _refuse_write

        result = self._application(environ, start_response)
        status, headers = started[0]
        part = environ.get(FILE)
        if isinstance(part, FilePart):
            _close(result)
            return status, headers, part
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
    return any(name.lower() == "content-length" and int(value) <= _WHOLE_BYTES for name, value in headers)


def _environ(scope: Scope, body: bytes) -> WSGIEnvironment:
    address, _, port = scope.server.rpartition(":")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        # granian has decoded the percents; WSGI wants the bytes as Latin-1.
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": address,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
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
