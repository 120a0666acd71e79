"""Watch the server's memory: while models come and go, and under a mixed load for minutes.

    python benchmarks/serving/memory.py [--cycles 200] [--minutes 10] [--out build/bench]

Resident memory of all its processes is sampled. After the first fifth, in which caches and allocators fill, a
line is fitted to the means of blocks of samples; its slope has a 95 % interval. Memory is flat when the whole
interval lies below what is allowed, grows when it lies above, and else the run was too short to tell. Ends
with status 1 unless all is flat.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from bench import JSON, about, expected, first_tensor, plain, predicted, tensors
from contenders import OURS, Right, Server, ours, resident_bytes
from drift import Drift, write_memory_report
from graphs import write
from hang_up import hang_up
from load import Call

import maas_client

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = ("tiny", "encoder", "image")
SETTLE_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
SAMPLE_SECONDS = 1.0
ROUND_SECONDS = 5
MEGABYTE = 2**20
# A leaked session of the smallest model is 0.16 MB, one of the encoder 90.
MOST_PER_CYCLE = 0.1
# Two bytes for each of 5,000 requests per second.
MOST_PER_MINUTE = 0.5


@dataclass
class Service:
    """The server with its three models.

    Args:
        pid: Its first process.
        url: Its address.
        key: A key that may do everything.
    """

    pid: int
    url: str
    key: str
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def auth(self) -> dict[str, str]:
        """The header that carries the key."""
        return {"Authorization": f"Bearer {self.key}"}

    def post(self, path: str, body: bytes = b"", **headers: str) -> requests.Response:
        """Make a call that must succeed, within a minute: a busy machine may be told to come again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            reply = self.session.post(self.url + path, body, headers={**self.auth, **headers}, timeout=60)
            if reply.status_code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                reply.raise_for_status()
                return reply
            time.sleep(float(reply.headers.get("Retry-After", "1")))

    def asked_for(self, model: str) -> Server:
        """Return a model with the request that it takes."""
        if model == "tiny":
            call = Call(f"{self.url}/v1/models/tiny/predict", plain(model), {**self.auth, **JSON})
            return Server(OURS, self.pid, call, Right(expected(model), predicted))
        body, headers = tensors(model)
        call = Call(f"{self.url}/v2/models/{model}/infer", body, {**self.auth, **headers})
        return Server(OURS, self.pid, call, Right(expected(model), first_tensor))

    def megabytes(self) -> float:
        """Return the resident memory of all processes."""
        return resident_bytes(self.pid) / MEGABYTE


def start(stack: ExitStack) -> Service:
    """Start the server and publish the models."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    service = Service(*stack.enter_context(ours(folder)))
    stack.enter_context(service.session)
    client = stack.enter_context(maas_client.Client(service.key, service.url))
    for model in MODELS:
        serving = "batching = true\nmax_batch_rows = 8" if model == "encoder" else ""
        client.models.publish(write(model, folder / model, serving=serving), name=model)
    return service


def load_and_unload(cycles: int) -> Drift:
    """Load each model, call it and unload it, over and over; sample when all are unloaded."""
    with ExitStack() as stack:
        service = start(stack)
        servers = {model: service.asked_for(model) for model in MODELS}
        drift = Drift("load, call and unload three models", "cycle", MOST_PER_CYCLE)
        for cycle in range(cycles):
            for model, server in servers.items():
                service.post(f"/v2/repository/models/{model}/load")
                server.check()
                service.post(f"/v2/repository/models/{model}/unload")
            time.sleep(SETTLE_SECONDS)
            drift.add(cycle + 1, service.megabytes())
        return drift


def soak(minutes: float) -> Drift:
    """Send everything at once for some minutes: small calls, large ones, wrong ones, and hang up on some."""
    with ExitStack() as stack:
        service = start(stack)
        ended = threading.Event()
        workers = [threading.Thread(target=work, daemon=True) for work in _everything(service, ended)]
        for worker in workers:
            worker.start()
        drift = Drift("mixed load", "minute", MOST_PER_MINUTE)
        started = time.monotonic()
        while (passed := time.monotonic() - started) < minutes * 60:
            drift.add(passed / 60, service.megabytes())
            time.sleep(SAMPLE_SECONDS)
        ended.set()
        for worker in workers:
            worker.join(60)
        for model in MODELS:
            service.asked_for(model).check()
        return drift


def _everything(service: Service, ended: threading.Event) -> Iterator[Work]:
    for model, connections in (("tiny", 8), ("encoder", 4), ("image", 2)):
        yield Work(service.asked_for(model), connections, ended)
    yield lambda: _go_wrong(service, ended)
    yield lambda: hang_up(service.asked_for("image").call, ended)
    yield lambda: hang_up(service.asked_for("encoder").call, ended)


class Work:
    """Keeps a model busy until it is told to end.

    Args:
        server: The model.
        connections: At a time.
        ended: Says when.
    """

    def __init__(self, server: Server, connections: int, ended: threading.Event) -> None:
        self._server = server
        self._connections = connections
        self._ended = ended

    def __call__(self) -> None:
        """Do so."""
        while not self._ended.is_set():
            self._server.fire(self._connections, ROUND_SECONDS)


def _go_wrong(service: Service, ended: threading.Event) -> None:
    """Make every kind of mistake in turn; each must be told as one of the caller's."""
    mistakes = [
        ("/v1/models/tiny/predict", b"{", JSON),
        ("/v1/models/tiny/predict", b'{"x": "words"}', JSON),
        ("/v1/models/tiny/predict", b'{"x": [1, 2]}', JSON),
        ("/v1/models/nothing/predict", b"{}", JSON),
        ("/v1/models/tiny/predict", b"{}", {**JSON, "Authorization": "Bearer maas_key_wrong"}),
        ("/v1/models/tiny/predict", b"[" * 100_000, JSON),
        ("/v1/models/tiny/predict", b" " * 9 * MEGABYTE, JSON),
        ("/v2/models/tiny/infer", b'{"inputs": []}', {"Inference-Header-Content-Length": "-1"}),
        ("/v2/models/tiny/infer", b'{"inputs": [{"name": "x"}]}', JSON),
        ("/nothing", b"", {}),
    ]
    with requests.Session() as session:
        while not ended.is_set():
            for path, body, headers in mistakes:
                reply = session.post(
                    service.url + path, body, headers={**service.auth, **headers}, timeout=60
                )
                if not 400 <= reply.status_code < 500:  # noqa: PLR2004 - the callers' own
                    raise RuntimeError(f"{path} answers {reply.status_code}: {reply.text[:200]}")
            ended.wait(0.01)


def main() -> None:
    """Watch, write the report, and tell by the exit status whether all was flat."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=200, help="of load and unload; 0 for none")
    parser.add_argument("--minutes", type=float, default=10, help="of mixed load; 0 for none")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before all was measured"))
    drifts = [load_and_unload(options.cycles)] if options.cycles else []
    drifts += [soak(options.minutes)] if options.minutes else []
    write_memory_report(options.out, drifts, about())
    print((options.out / "memory.md").read_text(encoding="utf-8"))
    print(json.dumps({drift.what: drift.verdict for drift in drifts}))
    sys.exit(any(drift.verdict != "flat" for drift in drifts))


if __name__ == "__main__":
    main()
