"""The server's parts in this process: Flask's test client, and the front with a peer made of two queues."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from maas_client._package import open_package, write_zip
from reference_server.app import create_app, open_services
from reference_server.http.front import Front
from reference_server.settings import Settings

PASSWORD = "correct horse battery"


@dataclass
class Peer:
    """The other end of one request, as granian shows it to an RSGI application."""

    chunks: list[bytes] = field(default_factory=list)
    pause: float = 0.0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pieces: list[int] = field(default_factory=list)
    gone_after: int | None = None
    leaves: bool = False

    async def __call__(self):
        return b"".join([chunk async for chunk in self])

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.chunks:
            raise StopAsyncIteration
        await asyncio.sleep(self.pause)
        return self.chunks.pop(0)

    async def client_disconnect(self):
        if not self.leaves:
            await asyncio.Event().wait()

    def response_bytes(self, status, headers, body):
        self.status, self.headers, self.body = status, dict(headers), body

    def response_stream(self, status, headers):
        self.status, self.headers = status, dict(headers)
        return self

    def response_file_range(self, status, headers, file, start, end):
        self.response_bytes(status, headers, Path(file).read_bytes()[start:end])

    async def send_bytes(self, data):
        if len(self.pieces) == self.gone_after:
            raise RuntimeError("RSGI transport is closed")
        self.pieces.append(len(data))
        self.body += data

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Scope:
    method: str
    path: str
    headers: dict[str, str]
    query_string: str = ""
    scheme: str = "http"
    client: str = "127.0.0.1:50000"
    server: str = "127.0.0.1:8000"
    http_version: str = "1.1"


@dataclass
class Server:
    """One set of services, reached in two ways."""

    services: object
    front: Front
    flask: object
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self):
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        self.front.__rsgi_del__(None)

    def through_front(
        self,
        method,
        path,
        *,
        headers=None,
        body=b"",
        query="",
        chunks=None,
        pause=0.0,
        gone_after=None,
        leaves=False,
    ):
        headers = {name.lower(): value for name, value in (headers or {}).items()}
        if chunks is not None:
            headers.setdefault("transfer-encoding", "chunked")
        elif body:
            headers.setdefault("content-length", str(len(body)))
        parts = list(chunks) if chunks is not None else [body] if body else []
        peer = Peer(chunks=parts, pause=pause, gone_after=gone_after, leaves=leaves)
        answered = self.front.__rsgi__(Scope(method, path, headers, query), peer)
        asyncio.run_coroutine_threadsafe(answered, self.loop).result(30)
        return peer

    def through_flask(self, method, path, *, headers=None, body=b"", query=""):
        response = self.flask.test_client().open(
            path, method=method, headers=headers or {}, data=body or None, query_string=query
        )
        peer = Peer(status=response.status_code, body=response.data)
        peer.headers = {name.lower(): value for name, value in response.headers.items()}
        return peer

    def post(self, path, value, **options):
        headers = {"content-type": "application/json", **options.pop("headers", {})}
        return self.through_flask("POST", path, headers=headers, body=json.dumps(value).encode(), **options)

    def register(self, name):
        """Return the header of a new account's log-in session."""
        email = f"{name}@example.com"
        policy = self.services.settings.policy_version
        account = {"email": email, "password": PASSWORD, "accept_policy": policy, "name": name}
        assert self.post("/v1/accounts", account).status == 201
        session = self.post("/v1/sessions", {"email": email, "password": PASSWORD})
        assert session.status == 201
        return {"authorization": f"Bearer {session.json['token']}"}

    def publish(self, authorization, model, package, *, query="", **headers):
        """Publish a package's folder through Flask."""
        return self.through_flask(
            "POST",
            f"/v1/models/{model}/versions",
            headers={"content-type": "application/zip", **authorization, **headers},
            body=zipped(package),
            query=query,
        )


def zipped(folder):
    import io

    target = io.BytesIO()
    with open_package(folder) as package:
        write_zip(package, target)
    return target.getvalue()


def make_server(folder, **settings):
    services = open_services(
        Settings(
            data_dir=folder,
            lanes=2,
            provider="cpu",
            logins_per_minute=10_000,
            registrations_per_minute=10_000,
            **settings,
        )
    )
    flask = create_app(services=services)
    return Server(services, Front(services, flask, on_close=services.close), flask)


@pytest.fixture(name="make_server", scope="session")
def server_maker():
    """Return `make_server`."""
    return make_server


@pytest.fixture
def server(tmp_path):
    made = make_server(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory, text_package):
    """A server with the account `ada`, whose public model `words` has one version."""
    made = make_server(tmp_path_factory.mktemp("shared") / "data", max_body_bytes=200_000, body_seconds=1)
    made.ada = made.register("ada")
    assert made.publish(made.ada, "words", text_package, query="visibility=public").status == 201
    yield made
    made.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A server with the account `ada` that takes packages in chunks of a kilobyte."""
    made = make_server(tmp_path_factory.mktemp("desk") / "data", upload_chunk_bytes=1024)
    made.ada = made.register("ada")
    yield made
    made.close()


@pytest.fixture
def long_zip(package_writer, text_graph):
    """Return a function that makes the zip of a package of several kilobytes, each time another."""
    count = iter(range(1000))

    def make():
        folder = package_writer(text_graph())
        noise = hashlib.shake_128(str(next(count)).encode() + folder.name.encode()).digest(3000)
        (folder / "README.md").write_bytes(base64.b64encode(noise))
        return zipped(folder)

    return make
