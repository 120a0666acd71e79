"""Starting, draining, dying."""

import json
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import psutil
import pytest
import requests


@pytest.fixture
def serve(serve_anew):
    """Return what starts the command itself: its start and end are what is tested here."""
    return serve_anew


def connect(url):
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def test_sigterm_says_not_ready_first_and_lets_accepted_requests_finish(serve):
    """/healthz is 503 during the grace period, while a slow sender's request still gets its answer.

    The ready file names URL and process while requests are answered, and an ended server leaves none.
    """
    with serve(MAAS_SERVER_GRACE_SECONDS="2") as running, connect(running.url) as slow:
        assert set(running.ready) == {"url", "pid"}
        assert running.ready["pid"] == running.process.pid
        assert f"Serving on {running.url}" in running.output()
        body = json.dumps({"email": "a@example.com", "password": "x" * 12}).encode()
        head = "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        assert requests.get(running.url + "/healthz", timeout=5).status_code == 200
        running.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 1.5
        statuses = []
        while time.monotonic() < until and 503 not in statuses:
            statuses.append(requests.get(running.url + "/healthz", timeout=5).status_code)
        assert statuses[-1] == 503
        slow.sendall(body[5:])
        assert slow.recv(65536).startswith(b"HTTP/1.1 401")
        assert running.process.wait(20) == 0
        assert not (running.folder / "ready.json").exists()


def test_sigterm_under_load_loses_no_request(serve, text_package):
    """On kept connections each answer in the grace period is announced as the last; none is cut.

    Callers of the SDK, in the middle of predictions, see either an answer or a refused connection.
    """
    with serve(MAAS_SERVER_GRACE_SECONDS="1") as running, running.account("busy") as client:
        client.models.publish(text_package, name="words")
        key = client.keys.create("load", scopes=["predict"]).secret.get_secret_value()
        answered, broken = [], []

        def call():
            with running.client(api_key=key, max_retries=0) as own:
                while True:
                    try:
                        answered.append(own.predict("words", text="good").label)
                    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at below
                        broken.append(error)
                        return

        kept = [KeptConnection(running.url, key) for _ in range(4)]
        callers = [*kept, *(threading.Thread(target=call) for _ in range(4))]
        for caller in callers:
            caller.start()
        time.sleep(0.5)
        assert running.stop() == 0
        for caller in callers:
            caller.join(20)
        assert not any(caller.lost for caller in kept), [caller.lost for caller in kept]
        assert all(caller.answered > 1 for caller in kept)
        # Each was told, and found nobody where it went then.
        assert all(caller.farewells for caller in kept)
        assert set(answered) == {"positive"}
        assert {type(error).__name__ for error in broken} <= {
            "NotSentError",
            "UnavailableError",
            "DroppedError",
        }


class KeptConnection(threading.Thread):
    """Sends one request after the other on a connection, until it cannot connect any more.

    Attributes:
        answered: Whole answers.
        farewells: Answers that said that they are the last.
        lost: What went wrong with a request on a connection that had worked and was not given notice.
    """

    def __init__(self, url, key):
        super().__init__()
        self._parts = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.answered = self.farewells = 0
        self.lost = None

    def run(self):
        while self.lost is None:
            connection = HTTPConnection(self._parts.hostname, self._parts.port, timeout=20)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            self._use(connection)
            connection.close()

    def _use(self, connection):
        on_this = 0
        while True:
            try:
                connection.request("POST", "/v1/models/words/predict", b'{"text": "good"}', self._headers)
                reply = connection.getresponse()
                assert json.loads(reply.read())["predictions"][0]["label"] == "positive"
            except (OSError, HTTPException) as error:
                # A new connection may meet a port that has just closed: it was never accepted.
                self.lost = error if on_this else None
                return
            on_this += 1
            self.answered += 1
            if reply.getheader("Connection") == "close":
                self.farewells += 1
                return


def test_workers_do_not_outlive_a_killed_supervisor(serve):
    """After kill -9 the workers notice and end."""
    with serve("--workers", "2") as running:
        assert len(running.workers()) == 2
        family = running.family()
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        _, alive = psutil.wait_procs(family, timeout=15)
        assert not alive


def test_a_killed_worker_is_replaced(serve):
    """The service goes on after the death of the process that answered, and of the one that forked that."""
    with serve() as running:
        (worker,) = running.workers()
        worker.kill()
        (successor,) = replaced(running, worker)
        # On Linux, where workers are forked; elsewhere it is the supervisor, with which all ends.
        forks = psutil.Process(successor.ppid())
        if forks.pid != running.process.pid:
            forks.kill()
            replaced(running, successor)
            # It saw that nobody supervises it any more.
            _, alive = psutil.wait_procs([successor], timeout=15)
            assert not alive


def replaced(running, worker):
    """Wait until a worker is gone and others answer; return those."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        workers = running.workers()
        # While the next one starts, nobody answers.
        with suppress(requests.RequestException):
            if workers and worker not in workers:
                assert requests.get(running.url + "/healthz", timeout=5).status_code == 200
                return workers
        time.sleep(0.05)
    return pytest.fail(running.output())


@pytest.mark.parametrize(
    ("options", "variables", "says"),
    [
        pytest.param(("--provider", "cuda"), {}, "CUDAExecutionProvider", id="no CUDA"),
        pytest.param(
            (),
            {"MAAS_SERVER_DATABASE_URL": "sqlite:////dev/null/a.db"},
            "store cannot be opened",
            id="no database",
        ),
        pytest.param(
            (), {"MAAS_SERVER_LANES": "many"}, "lanes: Input should be a valid integer", id="a bad setting"
        ),
        pytest.param(("--host", "0.0.0.0"), {}, "TLS", id="an open address without TLS"),
        pytest.param((), {"MAAS_SERVER_CONFIG": "/no/such/file.toml"}, "/no/such/file.toml", id="no file"),
        pytest.param(("--tls-cert", "c.pem"), {}, "tls_key", id="half of TLS"),
        pytest.param(("--ready-file", "/dev/null/r.json"), {}, "the ready file cannot", id="no ready file"),
        pytest.param(("--demo",), {"MAAS_CACHE_DIR": "/dev/null/x"}, "/dev/null/x", id="no cache"),
    ],
)
def test_a_server_that_cannot_start_says_why_and_ends(launch, tmp_path, options, variables, says):
    """It exits, with a message, without a traceback, and doesn't try for ever."""
    process = launch(*options, **variables)
    assert process.wait(30) not in (0, None)
    output = (tmp_path / "server" / "out.txt").read_text()
    assert says in output
    assert "Traceback" not in output
    assert not (tmp_path / "server" / "ready.json").exists()


def test_a_taken_port_is_named(launch, tmp_path):
    """Who asks for a port that is in use learns that."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = launch("--port", str(port))
        assert process.wait(30) != 0
    output = (tmp_path / "server" / "out.txt").read_text()
    assert str(port) in output
    assert "Traceback" not in output


def test_two_servers_start_on_one_data_directory(serve, launch, tmp_path):
    """A store is shared, not locked: an account made through one logs in at the other."""
    with serve() as first:
        person = {"email": "both@example.com", "password": "correct horse battery"}
        with first.client() as client:
            client.register(**person, accept_policy=True)
        process = launch("--ready-file", str(tmp_path / "second.json"))
        until = time.monotonic() + 30
        while not (tmp_path / "second.json").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        url = json.loads((tmp_path / "second.json").read_text())["url"]
        with first.client(base_url=url) as client:
            client.login(**person)
        process.terminate()
        assert process.wait(20) == 0
