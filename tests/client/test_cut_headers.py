from __future__ import annotations

import socket
import threading

import pytest

from maas_client import errors

KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: req_1\r\nContent-Length: 30\r\n\r\n"
    b'{"object": "list", "data": []}'
)


@pytest.fixture
def cut():
    """Return a function that starts a server whose answer ends after so many bytes."""
    listeners, threads = [], []

    def serve(listener, size):
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(5)
            peer.recv(65_536)
            peer.sendall(ANSWER[:size])

    def start(size):
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        threads.append(threading.Thread(target=serve, args=(listeners[-1], size)))
        threads[-1].start()
        return f"http://127.0.0.1:{listeners[-1].getsockname()[1]}"

    yield start
    for thread in threads:
        thread.join(5)
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("size", [0, 1, 4, 10, 17, 20, 49, 60, 94, 95, 96, 97, 100, len(ANSWER) - 1])
def test_an_answer_that_is_cut_off_is_a_dropped_connection(cut, face, ask, size):
    """Wherever it ends, in the headers too, what came is no answer, and may be asked for again."""
    client = face(KEY, cut(size), proxies={}, max_retries=0)
    with pytest.raises(errors.DroppedError):
        ask(client, lambda client: client.model("m").versions._send(_listing()))


def test_a_whole_answer_is_one(cut, face, ask):
    """The same answer, to its end."""
    client = face(KEY, cut(len(ANSWER)), proxies={}, max_retries=0)
    assert ask(client, lambda client: client.model("m").versions._send(_listing())).data == []


def _listing():
    from maas_client._operations import versions

    return versions.list_page("m")
