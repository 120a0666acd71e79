"""There is no fetch by URL from a caller: whatever is sent, the server opens no connection for it."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

import maas_client
from reference_server.app import ROUTES

ENDPOINTS = [endpoint for routes in ROUTES for endpoint in routes.endpoints]
# Parameters of paths take no addresses; these stand where there is something.
PARTS = {"model": "words", "version": "1", "alias": "default", "offset": "0", "session": "current"}
# A server of its own: an audit hook (PEP 578) cannot be taken off again, and it sees native callers of
# Python's sockets as well as Python's.
SERVER = """
import json, os, sys
seen = open(os.environ["SEEN"], "a", buffering=1)
def look(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
                 "urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect"):
        seen.write(json.dumps([event, repr(arguments)]) + "\\n")
sys.addaudithook(look)
from reference_server.cli import main
main()
"""


class Trap:
    """A listener on loopback; whoever comes is noted."""

    def __init__(self):
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.visits = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self):
        # On Linux a listener that is closed wakes nobody who accepts; one that is shut down does.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _listen(self):
        while True:
            try:
                client, peer = self._listening.accept()
            except OSError:
                return
            self.visits.append(peer)
            client.close()


@pytest.fixture(scope="module")
def trap():
    made = Trap()
    yield made
    made.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory, text_package):
    """A server process with one model, which notes every outbound connection and look-up."""
    folder = tmp_path_factory.mktemp("watched")
    ready, seen = folder / "ready.json", folder / "seen"
    seen.touch()
    command = [sys.executable, "-c", SERVER, "serve", "--port", "0", "--provider", "cpu"]
    command += ["--data-dir", str(folder / "data"), "--ready-file", str(ready)]
    environment = {**os.environ, "SEEN": str(seen)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            while not ready.exists():
                assert process.poll() is None
                time.sleep(0.02)
            url = json.loads(ready.read_text(encoding="utf-8"))["url"]
            yield Watched(url, seen, _publisher(url, text_package))
        finally:
            process.terminate()


@dataclass
class Watched:
    url: str
    seen: Path
    token: str

    def call(self, method, path, *, headers, body):
        """Send one request and return its status."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        head = [f"{method} {path} HTTP/1.1", f"Host: {headers.get('Host', 'a')}", "Connection: close"]
        head += [f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers.items() if name != "Host"]
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall("\r\n".join([*head, "", ""]).encode() + body)
            return int(client.recv(65536).split()[1])


def _publisher(url, package):
    """Register, publish the model `words`, and return the session's token."""
    with maas_client.Client(base_url=url) as client:
        account = ("ada@example.com", "correct horse battery")
        client.register(*account, name="ada", accept_policy=True)
        session = client.login(*account)
        client.model("words").versions.publish(package)
        return session.token.get_secret_value()


def addresses(trap):
    """Return the shapes in which a caller would name what a server should fetch."""
    yield from (f"{scheme}://{trap.address}/x" for scheme in ("http", "https", "ftp", "gopher", "dict"))
    yield f"//{trap.address}/x"
    yield f"\\\\{trap.address}\\x"
    yield f"file://{trap.address}/etc/passwd"


def bodies_of(address):
    """Return bodies that hold an address in every place where one could be looked for."""
    fields = (
        "text",
        "url",
        "image",
        "image_url",
        "input",
        "file",
        "path",
        "source",
        "callback",
        "webhook",
        "name",
    )
    yield dict.fromkeys(fields, address)
    yield {"text": address}
    yield {"image": address}
    yield {"instances": [{"image": address}, {"text": address}], "parameters": {"url": address}}
    yield {"model": address, "input": [address]}
    yield {"model": "words", "input": address}
    yield {"name": address, "visibility": "public"}
    yield {"inputs": [{"text": address}], "targets": [address]}
    yield {"state": "deprecated", "notice": address, "documentation": address, "link": address}
    yield {"version": 1, "note": address}
    yield {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [address]}]}
    yield {"parameters": {"config": address, "file:1/model.onnx": address}}


def headers_of(address, trap):
    """Return headers in which a server might look for an address."""
    return {
        "Content-Type": "application/json",
        "Host": trap.address,
        "Referer": address,
        "Origin": address,
        "X-Forwarded-For": trap.address,
        "X-Forwarded-Host": trap.address,
        "Forwarded": f"for={trap.address};host={trap.address}",
        "X-Original-URL": address,
        "Callback-URL": address,
    }


def requests_of(endpoint, address):
    """Return paths and bodies that hold an address in every place of an endpoint."""
    path = endpoint.template.format(**{name: PARTS.get(name, "x") for name in endpoint.parameters})
    query = "&".join(
        f"{name}={quote(address)}" for name in ("url", "cursor", "upload", "q", "model", "owner")
    )
    bodies = bodies_of(address) if endpoint.method in ("POST", "PUT", "PATCH") else [None]
    for body in bodies:
        yield f"{path}?{query}", b"" if body is None else json.dumps(body).encode()
    yield path, b""


def test_no_input_of_a_caller_reaches_a_network(watched, trap):
    """Addresses in bodies, queries and headers of every route: nothing is opened and nothing looked up."""
    before, statuses = watched.seen.read_text(encoding="utf-8"), Counter()
    for endpoint in ENDPOINTS:
        if endpoint.method == "DELETE" and endpoint.path in ("/v1/models/<model>", "/v1/sessions/<session>"):
            continue  # what the others need
        for number, address in enumerate(addresses(trap)):
            found = list(requests_of(endpoint, address))
            # Every shape of an address, and every place for one of them.
            for path, body in found if number == 0 else found[:1]:
                headers = {"Authorization": f"Bearer {watched.token}", **headers_of(address, trap)}
                statuses[watched.call(endpoint.method, path, headers=headers, body=body)] += 1
    assert statuses[200] > len(ENDPOINTS) / 4
    assert not statuses[401]
    assert not statuses[500]
    assert trap.visits == []
    assert watched.seen.read_text(encoding="utf-8") == before


def test_a_target_that_names_another_host_is_not_forwarded(watched, trap):
    """The absolute form is taken for this server's own, and CONNECT is refused: this is no proxy."""
    assert watched.call("GET", f"http://{trap.address}/healthz", headers={}, body=b"") == 200
    assert watched.call("CONNECT", trap.address, headers={}, body=b"") == 400
    assert trap.visits == []


def test_the_watch_would_have_seen_a_connection(tmp_path, trap):
    """What finds nothing above can find something: the same hook, and one address that is opened."""
    seen = tmp_path / "seen"
    code = SERVER.partition("from reference_server")[0]
    host, port = trap.address.split(":")
    code += f"import socket; socket.create_connection(({host!r}, {port})).close()"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "SEEN": str(seen)}, check=True)
    assert "socket.connect" in seen.read_text(encoding="utf-8")
    assert len(trap.visits) == 1
    trap.visits.clear()


def test_only_these_files_of_the_server_can_open_a_connection():
    """What could call out is a short list, each by the operator's own settings alone."""
    root = Path(__file__).parents[3] / "reference_server"
    openers = (
        "urllib.request",
        "http.client",
        "import requests",
        "import httpx",
        "create_connection(",
        "urlopen(",
    )
    found = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if any(opener in file.read_text(encoding="utf-8") for opener in openers)
    }
    # The port that `serve` itself has opened is tried before it is told to be ready.
    assert found == {"serving.py"}
