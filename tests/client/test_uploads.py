from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from maas_client import AsyncClient, _async_transport, _transport, errors
from maas_client._operations import uploads

KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"
CHUNK = 10_000
WHEN = "2026-01-01T00:00:00Z"
VERSION = {
    "model": "m",
    "version": 1,
    "digest": "sha256:" + "0" * 64,
    "task": "t",
    "size": 1,
    "author": "ada",
    "created_at": WHEN,
    "manifest": {"task": "t", "description": "d", "license": "MIT", "example": {"text": "x"}},
    "signature": {"inputs": [], "outputs": []},
    "tensors": {"inputs": [], "outputs": []},
}


class Desk(ThreadingHTTPServer):
    """Takes packages in chunks as a server does, and misbehaves as it is told."""

    daemon_threads = True
    takes_uploads = True
    stays = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls = []
        self.headers = []
        self.uploads = {}
        self.contents = {}
        # What happens to the next chunks or publishes: an answer that is lost, or one of these statuses.
        self.faults = []
        self.forgotten = 0
        self.published = None
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Say nothing of clients that leave."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path, desk = urlsplit(self.path), self.server
        desk.calls.append(f"{self.command} {path.path}")
        desk.headers.append(dict(self.headers))
        if path.path == "/v1/uploads":
            self._begin(json.loads(body))
        elif self.command == "PUT":
            self._add(path.path, body)
        else:
            self._publish(parse_qs(path.query), body)

    do_PUT = do_POST  # noqa: N815 - the standard library's naming

    def _begin(self, declared):
        desk = self.server
        if not desk.takes_uploads:
            self._fail(404, "route_not_found")
            return
        name = f"upl_{declared['sha256'][:8]}"
        desk.uploads.setdefault(name, declared["size"])
        desk.contents.setdefault(name, b"")
        self._answer(self._state(name))

    def _add(self, path, chunk):
        desk, (name, offset) = self.server, (path.split("/")[3], int(path.split("/")[5]))
        fault = desk.faults.pop(0) if desk.faults else None
        digest = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
        assert self.headers["Content-Digest"] == f"sha-256=:{digest}:"
        assert self.headers["Content-Type"] == "application/octet-stream"
        if fault == 503:
            self._fail(503, "busy")
            return
        if offset == len(desk.contents[name]) and not desk.stays:
            desk.contents[name] += chunk
        if fault == "lost":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._answer(self._state(name))

    def _publish(self, query, body):
        desk = self.server
        (name,) = query.get("upload", [None])
        if name is not None and desk.forgotten:
            desk.forgotten -= 1
            desk.uploads.clear(), desk.contents.clear()
            self._fail(404, "upload_not_found")
            return
        desk.published = body if name is None else desk.contents.pop(name)
        assert name is None or (body, desk.uploads.pop(name)) == (b"", len(desk.published))
        self._answer(VERSION)

    def _state(self, name):
        size, received = self.server.uploads[name], len(self.server.contents[name])
        return {"id": name, "size": size, "received": received, "chunk_bytes": CHUNK, "expires_at": WHEN}

    def _fail(self, status, code):
        self._answer({"error": {"type": "t", "code": code, "message": "No."}}, status)

    def _answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def desk():
    with Desk() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def package(package_writer, text_graph):
    """Return a folder whose zip has some chunks."""
    folder = package_writer(text_graph())
    (folder / "README.md").write_bytes(base64.b64encode(hashlib.shake_128(b"x").digest(4 * CHUNK)))
    return folder


@pytest.fixture
def publish(desk, package, face, ask, monkeypatch):
    """Publish with a client of either face, in chunks, without waits between attempts."""

    async def no_sleep(_):
        pass

    monkeypatch.setattr(uploads, "SINGLE_REQUEST_BYTES", CHUNK)
    monkeypatch.setattr(_transport.time, "sleep", lambda _: None)
    if face is AsyncClient:
        monkeypatch.setattr(_async_transport.asyncio, "sleep", no_sleep)

    def make(*, max_retries=2, client_timeout=None, **options):
        client = face(KEY, desk.url, proxies={}, max_retries=max_retries, timeout=client_timeout)
        return ask(client, lambda client: client.model("m").versions.publish(package, **options))

    return make


def chunks_of(desk):
    return [int(call.rpartition("/")[2]) for call in desk.calls if call.startswith("PUT")]


def test_a_large_package_goes_in_chunks_and_is_published(desk, publish):
    """Begin, the chunks in order, publish with an empty body and an idempotency key."""
    assert publish(notes="First.").version == 1
    assert desk.published.startswith(b"PK")
    assert chunks_of(desk) == list(range(0, len(desk.published), CHUNK))
    assert (desk.calls[0], desk.calls[-1]) == ("POST /v1/uploads", "POST /v1/models/m/versions")
    assert "Idempotency-Key" in desk.headers[-1]
    assert len(desk.published) > 4 * CHUNK


def test_a_small_package_goes_in_one_request(desk, publish, monkeypatch):
    """Where an interruption costs little, one request is quickest."""
    monkeypatch.setattr(uploads, "SINGLE_REQUEST_BYTES", 2**20)
    seen = []
    publish(progress=lambda done, total: seen.append((done, total)))
    assert desk.calls == ["POST /v1/models/m/versions"]
    assert seen == [(len(desk.published), len(desk.published))]


def test_a_server_without_uploads_gets_one_request(desk, publish):
    """An older server publishes large packages as it always did."""
    desk.takes_uploads = False
    publish()
    assert desk.calls == ["POST /v1/uploads", "POST /v1/models/m/versions"]
    assert desk.published.startswith(b"PK")


def test_a_chunk_is_sent_again_and_the_others_are_not(desk, publish):
    """Each chunk is a call of its own under the client's policy of retries."""
    desk.faults = [None, 503, 503, None, "lost", 503, None]
    publish()
    sent = chunks_of(desk)
    rest = range(3 * CHUNK, len(desk.published), CHUNK)
    assert sent == [0, *[CHUNK] * 3, *[2 * CHUNK] * 3, *rest]


def test_the_same_call_again_goes_on_where_the_server_is(desk, publish):
    """What was interrupted is not sent again, and the bar begins there."""
    desk.faults = [None, None, "lost"]
    with pytest.raises(errors.DroppedError):
        publish(max_retries=0)
    assert chunks_of(desk) == [0, CHUNK, 2 * CHUNK]
    desk.calls.clear()
    seen = []
    publish(progress=lambda done, total: seen.append(done))
    assert chunks_of(desk)[0] == 3 * CHUNK
    assert seen == [*range(4 * CHUNK, len(desk.published), CHUNK), len(desk.published)]


def test_an_interrupt_leaves_what_was_sent(desk, publish):
    """Ctrl-C comes through as it is, and costs nothing."""

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(progress=interrupt)
    (content,) = desk.contents.values()
    assert len(content) == CHUNK
    publish()
    assert chunks_of(desk).count(0) == 1


def test_an_upload_that_is_gone_is_begun_once_more(desk, publish):
    """It was published meanwhile, or has expired: the content goes again, once."""
    desk.forgotten = 1
    assert publish().version == 1
    assert chunks_of(desk).count(0) == 2
    desk.forgotten = 2
    with pytest.raises(errors.NotFoundError) as gone:
        publish()
    assert gone.value.code == "upload_not_found"


def test_a_server_that_takes_chunks_and_stays_is_no_endless_loop(desk, publish):
    """An answer that says that nothing has come is not what the call promises."""
    desk.stays = True
    with pytest.raises(errors.InvalidReplyError, match="stays at 0 bytes"):
        publish()


@pytest.mark.parametrize("give", ["call", "client"])
def test_one_budget_covers_every_chunk(desk, publish, monkeypatch, give):
    """The time of the whole is what was given, not that of each call."""
    answer = _Handler._answer

    def slowly(self, *args):
        threading.Event().wait(0.1)
        answer(self, *args)

    monkeypatch.setattr(_Handler, "_answer", slowly)
    started = time.monotonic()
    with pytest.raises(errors.DeadlineError, match=r"0\.55 s"):
        publish(timeout=0.55) if give == "call" else publish(client_timeout=0.55)
    assert 0.5 < time.monotonic() - started < 0.9
    assert 1 <= len(chunks_of(desk)) <= 5


def test_the_time_is_ten_minutes_if_nobody_says_otherwise(desk, face, ask, package, monkeypatch):
    """Every call of the group is told what is left of it."""
    monkeypatch.setattr(uploads, "SINGLE_REQUEST_BYTES", CHUNK)
    client = face(KEY, desk.url, proxies={})
    ask(client, lambda client: client.models.publish(package, name="m"))
    left = [int(headers["X-Request-Timeout-Ms"]) for headers in desk.headers]
    assert 590_000 < left[-1] <= left[0] <= 600_000
    assert left == sorted(left, reverse=True)
