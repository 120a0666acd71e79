"""Packages up and down against real servers, while connections and servers die."""

import asyncio
import hashlib
import json
import os
import pty
import shutil
import socket
import subprocess
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

import psutil
import pytest
import requests

import maas_client
from maas_client._operations import uploads
from maas_client._package import open_package

CHUNK = 2**16
SIZE = 10 * CHUNK
SMALL_CHUNKS = {"MAAS_SERVER_UPLOAD_CHUNK_BYTES": str(CHUNK), "MAAS_SERVER_GRACE_SECONDS": "0"}


def grown(folder, text_package, size):
    """Return the folder of a package whose zip is of a size, with its content digest."""
    shutil.copytree(text_package, folder)
    # What is random stays as large as it is in the zip.
    (folder / "README.md").write_bytes(os.urandom(size))
    with open_package(folder) as package:
        return folder, package.digest


@pytest.fixture(scope="module")
def package(tmp_path_factory, text_package):
    return grown(tmp_path_factory.mktemp("packages") / "large", text_package, SIZE)


@pytest.fixture(autouse=True)
def _in_chunks(monkeypatch):
    monkeypatch.setattr(uploads, "SINGLE_REQUEST_BYTES", CHUNK)


@pytest.fixture(params=[maas_client.Client, maas_client.AsyncClient], ids=["sync", "async"])
def face(request):
    return request.param


def ask(client, act):
    """Make calls with a client of either face, and close it."""
    if isinstance(client, maas_client.Client):
        with client:
            return act(client)

    async def awaited():
        async with client:
            return await act(client)

    return asyncio.run(awaited())


class Cutter:
    """A proxy that drops connections when so many bytes have passed.

    Args:
        url: Of the server behind it.
        limits: For each connection in turn the bytes to and from the server; then there is no limit.
    """

    def __init__(self, url, limits):
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._limits = list(limits)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            up, down = self._limits.pop(0) if self._limits else (None, None)
            for source, target, limit in ((client, server, up), (server, client, down)):
                thread = threading.Thread(target=self._relay, args=(source, target, limit))
                self._threads.append(thread)
                thread.start()

    def _relay(self, source, target, limit):
        with suppress(OSError):
            while piece := source.recv(2**14):
                if limit is not None and len(piece) >= limit:
                    target.sendall(piece[:limit])
                    self.cut += 1
                    break
                limit = limit and limit - len(piece)
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture(scope="module")
def shared(serving, tmp_path_factory):
    """A server of two workers that takes small chunks."""
    with serving(tmp_path_factory.mktemp("shared") / "server", "--workers", "2", **SMALL_CHUNKS) as running:
        yield running


def key_of(running, name="ada"):
    with running.account(name) as client:
        made = client.keys.create("transfers", scopes=["models:read", "models:write", "predict"])
        return made.secret.get_secret_value()


def test_cut_connections_cost_little(shared, package, face, tmp_path):
    """Up and down go on where they were cut, over two workers, and what arrives is what was sent."""
    folder, digest = package
    key, seen = key_of(shared), []
    with Cutter(shared.url, [(CHUNK // 2, None), (2 * CHUNK, None), (None, 50), (3 * CHUNK, None)]) as proxy:
        version = ask(
            face(key, proxy.url, proxies={}, max_retries=4),
            lambda client: client.models.publish(
                folder, name="large", progress=lambda done, total: seen.append((done, total))
            ),
        )
        assert proxy.cut == 4
    assert version.digest == digest
    sent = seen[-1][1]
    assert seen == [(min(at, sent), sent) for at in range(CHUNK, sent + CHUNK, CHUNK)]
    with Cutter(shared.url, [(None, 1), (None, 2 * CHUNK), (None, 3 * CHUNK)]) as proxy:
        client = face(key, proxy.url, proxies={}, max_retries=4)
        path = ask(client, lambda client: client.model("large").versions.download(1, tmp_path))
        assert proxy.cut == 3
    with open_package(path) as arrived:
        assert arrived.digest == digest
    assert path == tmp_path / "large-1.zip"
    assert path.stat().st_size == version.size
    with client_of(shared, key) as client:
        assert client.predict("large", text="good").label == "positive"


def client_of(running, key):
    return running.client(api_key=key)


def kill(running):
    """End every process of a server as a power cut would, and let the next one start on its data."""
    family = running.family()
    for process in (*family, running.process):
        with suppress(ProcessLookupError):
            process.kill()
    running.process.wait(10)
    psutil.wait_procs(family, timeout=10)
    (running.folder / "ready.json").unlink()


def test_what_was_acknowledged_is_there_after_a_kill(serve, package):
    """A server that dies between chunks has lost none; the same call again sends the rest."""
    folder, digest = package
    with serve(**SMALL_CHUNKS) as running:
        key = key_of(running)

        def die(done, total):
            if done == 4 * CHUNK:
                kill(running)

        client = maas_client.Client(key, running.url, proxies={}, max_retries=0)
        with pytest.raises(maas_client.ConnectionFailedError):
            ask(client, lambda client: client.models.publish(folder, name="large", progress=die))
    with serve(**SMALL_CHUNKS) as running:
        seen = []
        client = maas_client.Client(key, running.url, proxies={})
        version = ask(
            client,
            lambda client: client.models.publish(
                folder, name="large", progress=lambda done, total: seen.append(done)
            ),
        )
        assert seen[0] == 5 * CHUNK
        assert (version.digest, version.version) == (digest, 1)


def test_a_package_downloaded_while_the_server_dies_is_finished_later(serve, package, tmp_path):
    """What came is kept, and the next server's bytes continue it."""
    folder, digest = package
    with serve(**SMALL_CHUNKS) as running:
        key = key_of(running)
        with client_of(running, key) as client:
            client.models.publish(folder, name="large")
        with Cutter(running.url, [(None, 4 * CHUNK)]) as proxy:
            client = maas_client.AsyncClient(key, proxy.url, proxies={}, max_retries=0)
            with pytest.raises(maas_client.DroppedError):
                ask(client, lambda client: client.model("large").versions.download("latest", tmp_path))
        kill(running)
    had = (tmp_path / "large-1.zip.part").stat().st_size
    assert CHUNK < had < 4 * CHUNK
    with serve(**SMALL_CHUNKS) as running:
        seen = []
        client = maas_client.AsyncClient(key, running.url, proxies={})
        path = ask(
            client,
            lambda client: client.model("large").versions.download(
                "latest", tmp_path, progress=lambda done, total: seen.append(done)
            ),
        )
        assert had < seen[0]
        with open_package(path) as arrived:
            assert arrived.digest == digest


def test_who_reads_slowly_costs_no_memory(serve, text_package, tmp_path):
    """A client that does not read holds a socket and no package."""
    folder, _ = grown(tmp_path / "larger", text_package, 32 * 2**20)
    with serve(MAAS_SERVER_GRACE_SECONDS="0") as running:
        key = key_of(running)
        with client_of(running, key) as client:
            client.models.publish(folder, name="larger")
        before = memory(running)
        parts = urlsplit(running.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=20) as lazy:
            lazy.sendall(
                b"GET /v1/models/larger/versions/1/package HTTP/1.1\r\nHost: a\r\n"
                b"Authorization: Bearer " + key.encode() + b"\r\n\r\n"
            )
            assert lazy.recv(1000).startswith(b"HTTP/1.1 200")
            time.sleep(0.5)
            assert memory(running) - before < 16 * 2**20


def memory(running):
    return sum(process.memory_info().rss for process in running.workers())


def test_a_range_is_what_it_says_on_the_wire(shared, text_package):
    """Status, headers and bytes of a part, through a real server."""
    key = key_of(shared)
    with client_of(shared, key) as client:
        client.models.publish(text_package, name="words")
    url = f"{shared.url}/v1/models/words/versions/1/package"
    whole, part, beyond = (
        requests.get(url, headers={"Authorization": f"Bearer {key}", "Range": wanted}, timeout=5)
        for wanted in ("none", "bytes=10-19", "bytes=99999-")
    )
    assert whole.headers["ETag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'
    assert whole.headers["Content-Length"] == str(len(whole.content))
    assert "Transfer-Encoding" not in whole.headers
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
    assert (beyond.status_code, beyond.json()["error"]["code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole.content)}"


def test_the_command_downloads_what_it_published(shared, package, tmp_path):
    """`maas publish`, `maas download`: the path is printed, and a second one needs --overwrite."""
    key, (folder, digest) = key_of(shared), package

    def maas(*command, code=0):
        done = shared.run("maas", *command, MAAS_API_KEY=key)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    published = maas("publish", folder, "--name", "large", "--json")
    assert json.loads(published.stdout)["digest"] == digest
    assert published.stderr == ""
    assert maas("download", "large", "-o", tmp_path).stdout == f"{tmp_path / 'large-1.zip'}\n"
    assert "overwrite it" in maas("download", "large", "1", "-o", tmp_path, code=2).stderr
    done = maas("download", "large", "latest", "-o", tmp_path, "--overwrite", "--json")
    assert json.loads(done.stdout) == {"path": str(tmp_path / "large-1.zip")}
    assert "nothing" in maas("download", "nothing", "-o", tmp_path, code=4).stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["large-1.zip"]


def test_the_command_shows_progress_at_a_terminal(shared, tmp_path, text_package):
    """On a terminal bytes are counted on standard error; standard output stays for the result."""
    key, (folder, _) = key_of(shared), grown(tmp_path / "large", text_package, 9 * 2**20)
    for command in (("publish", folder, "--name", "large"), ("download", "large", "-o", tmp_path)):
        shown, printed = at_terminal(shared, key, "maas", *command)
        assert "ing large" in shown
        assert "MB" in shown
        assert "large" in printed


def at_terminal(running, key, *command):
    """Run a command whose standard error is a terminal; return what it showed there, and its output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(part) for part in command],
        env={**running.environment, "MAAS_BASE_URL": running.url, "MAAS_API_KEY": key, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # so a terminal says that nobody writes to it any more
        while piece := os.read(ours, 2**16):
            shown += piece
    os.close(ours)
    output = process.communicate(timeout=20)[0]
    assert process.returncode == 0, shown
    return shown.decode(), output
