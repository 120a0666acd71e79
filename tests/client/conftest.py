from __future__ import annotations

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import responses

from maas_client import AsyncClient, Client, _transport

BASE_URL = "https://models.test"
KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch, tmp_path):
    for name in ("MAAS_API_KEY", "MAAS_BASE_URL", "MAAS_PROFILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("MAAS_CONFIG_FILE", str(tmp_path / "settings" / "config.toml"))


@pytest.fixture
def server():
    """Answer in the place of a server, at the adapter."""
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def sleeps(monkeypatch):
    """Record the waits between attempts instead of waiting."""
    waited: list[float] = []
    monkeypatch.setattr(_transport.time, "sleep", waited.append)
    return waited


@pytest.fixture
def client():
    with Client(KEY, BASE_URL, proxies={}) as made:
        yield made


@pytest.fixture
def reply():
    """Return the body of a predict reply for the given predictions."""

    def make(*predictions):
        return {
            "id": "pred_1",
            "model": "m",
            "version": 3,
            "digest": "sha256:" + "0" * 64,
            "device": "cpu",
            "predictions": list(predictions),
            "usage": {"instances": len(predictions)},
            "timing": {"queue_ms": 0.1, "compute_ms": 2.3},
        }

    return make


@pytest.fixture
def positive():
    return {"label": "positive", "score": 0.75, "scores": {"negative": 0.25, "positive": 0.75}}


class LiveServer(ThreadingHTTPServer):
    """Answers every predict call over real, kept connections, and counts them."""

    request_queue_size = 128
    daemon_threads = True
    delay = 0.0

    def __init__(self, body):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = json.dumps(body).encode()
        self.connections = 0
        self.seen = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers, body, self.client_address))
        time.sleep(self.server.delay)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.send_header("X-Request-Id", "req_live")
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_POST  # noqa: N815 - the standard library's naming

    def log_message(self, *_):
        pass


@pytest.fixture
def live_server(reply, positive):
    """Serve over a loopback socket."""
    with LiveServer(reply(positive)) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def face(request):
    """Return the class of each face in turn."""
    return request.param


@pytest.fixture
def ask():
    """Return a function that makes one call with a client of either face, and closes it."""

    def make(client, act):
        if isinstance(client, Client):
            with client:
                return act(client)
        return asyncio.run(awaited(client, act))

    async def awaited(client, act):
        async with client:
            return await act(client)

    return make
