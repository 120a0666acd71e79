"""A total time budget under `requests`: sockets re-arm their timeout with what is left at each operation.

A timeout per read does not bound a call: a peer that drips one byte a second in the status line, the headers,
the chunk sizes or the body never lets it expire. Here each read and write of a socket, plain or TLS, first
sets the socket's timeout to what is left of the calling thread's budget. Looking up a name can't be cut off.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.ssl_ import create_urllib3_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest

# A lost SYN is not worth a whole budget: one retransmission after 1 s and one after 3 s fit in.
CONNECT_SECONDS = 10.0
# As many calls as this may run at once before connections are thrown away instead of kept.
POOL_SIZE = 256


class _Budget(threading.local):
    """What the calling thread may spend: every socket operation of a call runs in the caller's thread."""

    ends_at: float = math.inf
    connect_failed: bool = False

    def left(self) -> float | None:
        """Return the seconds left, or None for no limit."""
        left = self.ends_at - monotonic()
        if left <= 0:
            raise TimeoutError("the time of the call ran out")
        return None if left == math.inf else left


BUDGET = _Budget()


@contextmanager
def spend_until(ends_at: float) -> Iterator[_Budget]:
    """Hold the calling thread's socket operations to a point of `time.monotonic`."""
    before = BUDGET.ends_at
    BUDGET.ends_at, BUDGET.connect_failed = ends_at, False
    try:
        yield BUDGET
    finally:
        BUDGET.ends_at = before


class _PlainSocket(socket.socket):
    def recv(self, *args: Any) -> bytes:
        self.settimeout(BUDGET.left())
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        self.settimeout(BUDGET.left())
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        self.settimeout(BUDGET.left())
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        # Since Python 3.5 the timeout bounds the whole of sendall, so arming it once is enough.
        self.settimeout(BUDGET.left())
        super().sendall(*args)


class _TLSSocket(ssl.SSLSocket):
    # `recv`, `recv_into` and `sendall` of SSLSocket come down to these; OpenSSL's own loops keep the timeout.
    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the standard library's signature
        self.settimeout(BUDGET.left())
        super().do_handshake(block)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - the standard library's signature
        self.settimeout(BUDGET.left())
        return super().read(len, buffer)

    def send(self, data: Any, flags: int = 0) -> int:
        self.settimeout(BUDGET.left())
        return super().send(data, flags)


def _connect(host: str, port: int, options: Any, source: tuple[str, int] | None) -> socket.socket:
    addresses = socket.getaddrinfo(host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM)
    failure: OSError = OSError(f"no address for {host}")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        left = BUDGET.left()
        sock = _PlainSocket(family, kind, protocol)
        try:
            for option in options or ():
                sock.setsockopt(*option)
            # Each address gets an equal share, so that one that swallows packets does not starve the next.
            sock.settimeout(None if left is None else left / (len(addresses) - index))
            if source:
                sock.bind(source)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


class _HeaderLines:
    """What `http.client` reads an answer's head from: the end of the connection is no end of the headers."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._begun = False

    def readline(self, limit: int) -> bytes:
        line: bytes = self._file.readline(limit)
        begun = self._begun or (line and b"HTTP/".startswith(line[:5]))
        if begun and not line.endswith(b"\n") and len(line) < limit:
            raise ConnectionResetError("the connection was closed in the middle of the headers")
        self._begun = True
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Response(HTTPResponse):
    def begin(self) -> None:
        file, self.fp = self.fp, _HeaderLines(self.fp)  # type: ignore[assignment]  # only lines are read of it
        try:
            super().begin()
        finally:
            if self.fp is not None:  # closed
                self.fp = file


class _Connecting(HTTPConnection):
    """Connects within the budget and remembers when that failed: such a request never left."""

    response_class = _Response

    def connect(self) -> None:
        before = BUDGET.ends_at
        BUDGET.ends_at = min(before, monotonic() + CONNECT_SECONDS)
        try:
            super().connect()
        except BaseException:
            BUDGET.connect_failed = True
            raise
        finally:
            BUDGET.ends_at = before

    def _new_conn(self) -> socket.socket:
        try:
            return _connect(self._dns_host, self.port, self.socket_options, self.source_address)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host}:{self.port} in time") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error


class _PlainConnection(_Connecting):
    pass


class _TLSConnection(_Connecting, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _PlainPool, "https": _TLSPool}


def tls_context(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - `verify` as requests defines it
    """Return a context whose sockets keep the budget.

    Args:
        verify: True for the default authorities, the path of a file or folder of them, False for no check.
    """
    context = create_urllib3_context()
    context.sslsocket_class = _TLSSocket
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    place = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
    context.load_verify_locations(**{"capath" if Path(place).is_dir() else "cafile": place})
    return context


class DeadlineAdapter(HTTPAdapter):
    """The adapter of `requests` over sockets that keep the calling thread's budget.

    Args:
        context: For TLS to the service and to a proxy; made once, where `requests` reloads its authorities
            for each connection.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._direct: dict[str, Any] = {}
        super().__init__(pool_connections=4, pool_maxsize=POOL_SIZE)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool of direct connections."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pool of connections through a proxy; one through SOCKS keeps only timeouts per read."""
        if proxy in self.proxy_manager or proxy.lower().startswith("socks"):
            return super().proxy_manager_for(proxy, **kwargs)
        contexts = {"ssl_context": self._context, "proxy_ssl_context": self._context}
        manager = super().proxy_manager_for(proxy, **contexts, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool for a request's host; looking it up anew takes `requests` a tenth of a call."""
        if proxies:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        origin = "/".join((request.url or "").split("/", 3)[:3])
        if (pool := self._direct.get(origin)) is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            self._direct[origin] = pool
        return pool

    def close(self) -> None:
        """Close every pool; a later request makes new ones."""
        self._direct.clear()
        super().close()

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave the check to the context."""

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Return where to connect; the context says how."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}
