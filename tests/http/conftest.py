"""The server's parts in this process: Flask's test client, and the front on a port of loopback."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import shutil
import socket
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPResponse
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from argon2.profiles import CHEAPEST
from uvicorn.server import ServerState

from maas_client._package import open_package, write_zip
from reference_server.app import create_app, open_services
from reference_server.http.connection import Connection
from reference_server.http.front import Front
from reference_server.registry.folders import make_folder
from reference_server.security.passwords import Passwords
from reference_server.settings import Settings

PASSWORD = "correct horse battery"


@dataclass
class Answered:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


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
        self.state = ServerState()
        self._listening = self._in_loop(self._listen())

    def close(self):
        self._in_loop(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        self.front.close()
        self.services.close()

    def connect(self):
        """Return a socket to the front."""
        return socket.create_connection(self.address, timeout=30)

    @property
    def address(self):
        return self._listening.sockets[0].getsockname()

    @staticmethod
    def send(client, method, path, headers=None, body=b""):
        """Send a request on a socket."""
        client.sendall(head(method, path, headers, body=body) + body)

    @staticmethod
    def receive(client, method="GET"):
        """Read one answer from a socket."""
        answer = HTTPResponse(client, method=method)
        answer.begin()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answered(answer.status, headers, answer.read())

    @staticmethod
    def wait_for(condition):
        """Wait until something is so."""
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def through_front(self, method, path, *, headers=None, body=b"", query="", chunks=None, pause=0.0):
        """Send a request to the front, in chunks if there are some, and return its answer."""
        with self.connect() as client:
            is_chunked = chunks is not None and "content-length" not in (headers or {})
            client.sendall(head(method, path, headers, body=body, query=query, chunked=is_chunked) + body)
            for chunk in chunks or ():
                time.sleep(pause)
                client.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
            if is_chunked:
                client.sendall(b"0\r\n\r\n")
            return self.receive(client, method)

    async def _listen(self):
        config = SimpleNamespace(loaded_app=self.front)
        return await self.loop.create_server(lambda: Connection(config, self.state, {}), "127.0.0.1", 0)

    async def _end(self):
        self._listening.close()
        for connection in list(self.state.connections):
            connection.abort()
        await asyncio.sleep(0)

    def _in_loop(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def through_flask(self, method, path, *, headers=None, body=b"", query=""):
        response = self.flask.test_client().open(
            path, method=method, headers=headers or {}, data=body or None, query_string=query
        )
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answered(response.status_code, headers, response.data)

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


def head(method, path, headers=None, *, body=b"", query="", chunked=False):
    """Return a request's head as bytes."""
    fields = {"host": "a", **{name.lower(): value for name, value in (headers or {}).items()}}
    if chunked:
        fields.setdefault("transfer-encoding", "chunked")
    elif body:
        fields.setdefault("content-length", str(len(body)))
    lines = [f"{method} {quote(path, safe='/~%')}{'?' if query else ''}{query} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def zipped(folder):
    import io

    target = io.BytesIO()
    with open_package(folder) as package:
        write_zip(package, target)
    return target.getvalue()


def server_in(folder, **settings):
    """Return a server of a folder's own, whose hashes of passwords are cheap ones."""
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
    services.passwords = Passwords(cost=CHEAPEST)
    flask = create_app(services=services)
    return Server(services, Front(services, flask), flask)


@pytest.fixture(scope="session")
def make_server(empty_database):
    """Return a function that makes a server, whose store is a new one where the folder is not there yet."""

    def make(folder, **settings):
        if not folder.exists():
            make_folder(folder)
            shutil.copy(empty_database, folder / "maas.db")
        return server_in(folder, **settings)

    return make


@pytest.fixture
def server(tmp_path, make_server):
    made = make_server(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory, make_server, text_package):
    """A server with the account `ada`, whose public model `words` has one version."""
    made = make_server(tmp_path_factory.mktemp("shared") / "data", max_body_bytes=200_000, body_seconds=1)
    made.ada = made.register("ada")
    assert made.publish(made.ada, "words", text_package, query="visibility=public").status == 201
    yield made
    made.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory, make_server):
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
