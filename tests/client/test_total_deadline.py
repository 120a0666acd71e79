from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time

import pytest
import trustme

from maas_client import Client, errors

BUDGET = 0.4
DRIP = 0.03
# What a loaded machine with two cores may take to wake a thread up.
SLACK = 0.3
START = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
UNPACKED = b'{"object": "list", "data": []}' + b" " * 20_000


def endless(prefix, drop):
    """Yield a prefix at once, then the same few bytes again and again."""
    yield prefix
    while True:
        yield drop


def dripped(prefix, rest):
    """Yield a prefix at once, then the rest byte by byte."""
    yield prefix
    for byte in rest:
        yield bytes([byte])


PEERS = {
    "silence": lambda: iter([b""]),
    "status line": lambda: dripped(b"", START * 10),
    "headers": lambda: endless(START, b"X"),
    "many headers": lambda: endless(START, b"X: y\r\n"),
    "informational": lambda: endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": lambda: endless(START + b"Content-Length: 100000\r\n\r\n", b" "),
    "body until the end": lambda: endless(START + b"Connection: close\r\n\r\n", b" "),
    "chunk size": lambda: endless(START + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunks": lambda: endless(START + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "compressed": lambda: dripped(
        START + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n", gzip.compress(UNPACKED)
    ),
    "error body": lambda: endless(b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n", b" "),
}


class Peer:
    """A raw server that drips what it is told to every client."""

    def __init__(self, script, *, context=None, handshake=True):
        self._script = script
        self._context = context
        self._handshake = handshake
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        self._listener.settimeout(0.05)
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            sock.settimeout(2)
            if self._context is not None and self._handshake:
                sock = stack.enter_context(self._context.wrap_socket(sock, server_side=True))
            if self._handshake:
                sock.recv(65_536)
            for piece in self._script():
                sock.sendall(piece)
                if self._stop.wait(DRIP):
                    return
            self._stop.wait(2)

    def close(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(3)
        self._listener.close()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def peer(authority):
    """Start dripping peers and stop them."""
    started = []

    def start(script, *, tls=False, handshake=True):
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
        started.append(Peer(script, context=context, handshake=handshake))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def trusted(authority, tmp_path):
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def seconds_until_deadline(ask):
    """Return a function that makes a call which meets its deadline, and tells how long that took."""

    def measure(client):
        started = time.monotonic()
        with pytest.raises(errors.DeadlineError) as caught:
            ask(client, lambda client: client.models.get("m"))
        assert "took longer than its 0.4 s" in str(caught.value)
        return time.monotonic() - started

    return measure


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", PEERS)
def test_no_drip_outlives_the_budget(face, seconds_until_deadline, peer, trusted, kind, tls):  # noqa: PLR0917
    """However a peer drips, plain or TLS, the call ends within its total budget."""
    port = peer(PEERS[kind], tls=tls).port
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    client = face("k" * 10, url, timeout=BUDGET, verify=trusted, proxies={})
    assert BUDGET * 0.9 <= seconds_until_deadline(client) <= BUDGET * 1.1 + SLACK


def test_a_tls_handshake_that_never_ends(face, seconds_until_deadline, peer, trusted):
    """A peer that accepts and says nothing does not hold the handshake beyond the budget."""
    port = peer(lambda: iter([b""]), tls=True, handshake=False).port
    client = face("k" * 10, f"https://127.0.0.1:{port}", timeout=BUDGET, verify=trusted, proxies={})
    assert seconds_until_deadline(client) <= BUDGET * 1.1 + SLACK


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_drips(face, seconds_until_deadline, peer, trusted, scheme):
    """A call through a proxy, forwarded or tunnelled, has the same budget."""
    proxy = f"http://127.0.0.1:{peer(PEERS['headers']).port}"
    client = face(
        "k" * 10, f"{scheme}://models.test", timeout=BUDGET, verify=trusted, proxies={scheme: proxy}
    )
    assert seconds_until_deadline(client) <= BUDGET * 1.1 + SLACK


def test_a_peer_that_reads_nothing():
    """Sending a large body to a peer that does not read ends within the budget too."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with listener:
        client = Client("k" * 10, f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=BUDGET, proxies={})
        started = time.monotonic()
        with client, pytest.raises(errors.DeadlineError):
            client.predict("m", text="x" * 12_000_000)  # more than sockets hold, and soon encoded
        assert time.monotonic() - started <= BUDGET + 0.6


def test_retries_share_the_budget(peer):
    """A server that is always busy does not get more attempts than fit in."""
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    url = f"http://127.0.0.1:{peer(lambda: iter([busy])).port}"
    started = time.monotonic()
    client = Client("k" * 10, url, timeout=BUDGET, max_retries=1000, proxies={})
    with client, pytest.raises((errors.DeadlineError, errors.UnavailableError)):
        client.models.get("m")
    assert time.monotonic() - started <= BUDGET * 1.1 + SLACK


def test_threads_have_budgets_of_their_own(peer):
    """A short call ends on its own time while a longer one of the same client goes on."""
    url = f"http://127.0.0.1:{peer(PEERS['body']).port}"
    took = {}

    def run(timeout):
        started = time.monotonic()
        with pytest.raises(errors.DeadlineError):
            client.with_options(timeout=timeout).models.get("m")
        took[timeout] = time.monotonic() - started

    with Client("k" * 10, url, proxies={}) as client:
        threads = [threading.Thread(target=run, args=(timeout,)) for timeout in (0.2, 0.5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert took[0.2] < 0.45 < took[0.5] + 0.001


def test_a_kept_connection_serves_again_after_a_short_budget(live_server):
    """What one call left as a timeout on a kept connection does not bound the next."""
    with Client("k" * 10, live_server.url, proxies={}) as client:
        client.predict("m", text="x", timeout=0.3)
        live_server.delay = 0.4
        assert client.predict("m", text="x", timeout=5).label == "positive"
    assert live_server.connections == 1
