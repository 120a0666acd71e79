from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path

import pytest

import maas_client
from maas_client import AsyncClient, Client, errors

ROOT = Path(__file__).parents[2]
KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"
MODULES = {
    "service": ("ServiceResource",),
    "account": ("AccountResource", "SessionsResource", "KeysResource"),
    "models": ("ModelsResource",),
    "model_handle": ("ModelHandle",),
    "versions": ("VersionsResource",),
    "aliases": ("AliasesResource",),
    "traffic": ("TrafficResource",),
    "jobs": ("Job", "JobsResource"),
    "fine_tunes": ("FineTuneJob", "FineTunesResource"),
}
PAIRS = [
    (Client, AsyncClient),
    *(
        (
            getattr(import_module(f"maas_client._{module}"), name),
            getattr(import_module(f"maas_client._async_{module}"), f"Async{name}"),
        )
        for module, names in MODULES.items()
        for name in names
    ),
]


def public(kind):
    return {name: value for name, value in inspect.getmembers(kind) if not name.startswith("_")}


def plain(text):
    return str(text).replace("Async", "").replace("await ", "").replace("async ", "")


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].__name__)
def test_both_faces_have_the_same_names_signatures_and_docstrings(pair):
    """Whoever knows one knows the other."""
    sync, other = (public(kind) for kind in pair)
    assert sync.keys() == other.keys()
    for name, member in sync.items():
        if callable(member):
            assert plain(inspect.signature(member)) == plain(inspect.signature(other[name])), name
        assert plain(member.__doc__) == plain(other[name].__doc__), name


def test_the_synchronous_face_is_what_the_script_makes():
    """Nobody has changed one of the two alone."""
    script = [sys.executable, ROOT / "tools" / "make_sync_face.py", "--check"]
    if not (Path(sys.executable).parent / "ruff").exists():
        pytest.skip("ruff is not installed; `make check` looks too")
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_misspelt_or_missing_extra_is_named():
    """Without httpx2 the message says what to install."""
    code = "import sys; sys.modules['httpx2'] = None; import maas_client; maas_client.AsyncClient"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'maas-client[async]'" in done.stderr


def test_many_tasks_share_one_client(live_server):
    """Sixty-four calls at once, each with its own answer."""

    async def main():
        async with AsyncClient(KEY, live_server.url, proxies={}) as client:
            return await asyncio.gather(*(client.predict("m", text=str(row)) for row in range(64)))

    assert [result.label for result in asyncio.run(main())] == ["positive"] * 64
    assert len(live_server.seen) == 64


def test_a_kept_connection_is_used_again(live_server):
    """Calls one after the other need one connection."""

    async def main():
        async with AsyncClient(KEY, live_server.url, proxies={}) as client:
            for _ in range(5):
                await client.predict("m", text="x")

    asyncio.run(main())
    assert live_server.connections == 1


def test_each_event_loop_gets_connections_of_its_own(live_server):
    """One client made at the top of a module works in two `asyncio.run`."""
    client = AsyncClient(KEY, live_server.url, proxies={})

    async def main():
        result = await client.predict("m", text="x")
        await client.close()
        return result.label

    assert [asyncio.run(main()), asyncio.run(main())] == ["positive", "positive"]
    assert live_server.connections == 2


def test_cancelling_a_task_cancels_its_request(live_server):
    """The task ends at once, and the client goes on as if nothing had been."""
    live_server.delay = 0.5

    async def main():
        loop = asyncio.get_running_loop()
        async with AsyncClient(KEY, live_server.url, proxies={}) as client:
            task = asyncio.create_task(client.predict("m", text="x"))
            while not live_server.seen:  # noqa: ASYNC110 - a thread fills it
                await asyncio.sleep(0.01)
            began = loop.time()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            took = loop.time() - began
            live_server.delay = 0.0
            pool = client._transport._pools[(os.getpid(), loop)]._pool
            busy = [connection for connection in pool.connections if not connection.is_idle()]
            return took, busy, (await client.predict("m", text="x")).label

    took, busy, label = asyncio.run(main())
    assert took < 0.3
    assert busy == []
    assert label == "positive"


def test_a_retry_waits_without_holding_the_loop(live_server, monkeypatch):
    """A call that was never sent is repeated; the hook hears of it."""
    decisions = []
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setattr("maas_client._retry.FIRST_SECONDS", 0.01)

        async def main():
            async with AsyncClient(KEY, url, proxies={}, on_retry=decisions.append) as client:
                await client.predict("m", text="x")

        with pytest.raises(errors.NotSentError, match=r"could not be sent to http://127\.0\.0\.1"):
            asyncio.run(main())
    assert [decision.attempt for decision in decisions] == [1, 2, 3]
    assert [decision.wait is None for decision in decisions] == [False, False, True]


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"", errors.DroppedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", errors.DroppedError),
        (b"nonsense\r\n\r\n", errors.InvalidReplyError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnot json", errors.InvalidReplyError),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip",
            errors.InvalidReplyError,
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n",
            errors.RedirectError,
        ),
        (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}", errors.ServerError),
    ],
)
def test_every_failure_is_ours(face, ask, one_answer, sent, kind):
    """Whatever a peer does, both faces raise the same typed error, with nothing secret in it."""
    with pytest.raises(errors.MaasError) as caught:
        ask(face(KEY, one_answer(sent), proxies={}, max_retries=0), lambda client: client.models.get("m"))
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


@pytest.fixture
def one_answer():
    """Listen, and send each connection the same bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    answer = []

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.recv(65_536)
                sock.sendall(answer[0])

    thread = threading.Thread(target=serve)

    def start(sent):
        answer.append(sent)
        thread.start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_logs_and_representations_show_no_key(live_server, caplog):
    """At DEBUG, with all that httpx2 and httpcore2 log besides."""
    caplog.set_level(logging.DEBUG)

    async def main():
        async with AsyncClient(KEY, live_server.url, proxies={}) as client:
            await client.predict("m", text="x")
            return repr(client), repr(client._transport)

    shown = [*asyncio.run(main()), caplog.text]
    assert "POST /v1/models/{model}/predict: 200, attempt 1" in caplog.text
    assert not any(KEY in text for text in shown)


def test_the_key_is_sent(live_server):
    """Masked everywhere, it still reaches the server, which the call is for."""

    async def main():
        async with AsyncClient(KEY, live_server.url, proxies={}) as client:
            await client.predict("m", text="x", timeout=5)

    asyncio.run(main())
    _, headers, body, _ = live_server.seen[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert 4000 < int(headers["X-Request-Timeout-Ms"]) <= 5000
    assert json.loads(body) == {"text": "x"}


def test_a_pickled_client_leaves_key_and_connections_behind(monkeypatch):
    """As with the synchronous face."""
    client = AsyncClient(KEY, "http://127.0.0.1:1", proxies={})
    monkeypatch.setenv("MAAS_API_KEY", "maas_key_of_the_other_process")
    content = pickle.dumps(client)
    assert KEY.encode() not in content
    other = pickle.loads(content)
    assert other.base_url == client.base_url
    assert copy.copy(client)._transport is client._transport


def test_uploads_stream_from_a_file(live_server, text_package):
    """The zip is packed aside and sent in chunks, with its digest."""

    async def main():
        async with AsyncClient(KEY, live_server.url, proxies={}) as client:
            with pytest.raises(maas_client.InvalidReplyError):  # this server answers everything alike
                await client.models.publish(text_package, name="m", notes="n")

    asyncio.run(main())
    path, headers, body, _ = live_server.seen[0]
    assert path.startswith("/v1/models/m/versions?")
    assert headers["Content-Digest"].startswith("sha-256=:")
    assert body.startswith(b"PK")
    assert int(headers["Content-Length"]) == len(body)
