"""Measure what the SDK costs: importing it, the first client, the first call, and each further call.

    python benchmarks/sdk.py [--rounds 15] [--json FILE]

Everything runs in interleaved rounds and is given as the median; CPU time is user and system together. The
figures of one run compare with each other, not with those of another machine or another hour. Calls go over
loopback to a server in another process that answers a fixed reply, so that its time is not in them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import requests

import maas_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.queues import Queue

CALLS = 200
KEY = "maas_key_0123456789abcdefghijklmnopqrstuvwxyz"
MODEL = "text_classification_model"
INPUT = {"text": "This is a sample text for classification."}
REPLY = {
    "id": "pred_e9941444a024ace86d96061d",
    "model": MODEL,
    "version": 2,
    "digest": f"sha256:{'a' * 64}",
    "device": "cpu",
    "predictions": [
        {
            "label": "positive",
            "score": 0.7632917,
            "scores": {"negative": 0.23670827, "positive": 0.7632917},
        }
    ],
    "usage": {"instances": 1},
    "timing": {"queue_ms": 0.314, "compute_ms": 0.378},
}
CLIENT = f"maas_client.Client({KEY!r}, {{url!r}}, proxies={{{{}}}})"
PREDICT = f"{CLIENT}.predict({MODEL!r}, text='Good.').label"
PLAIN = (
    "requests.Session().post({url!r} + '/v1/models/m/predict', json={{'text': 'Good.'}}).json()"
    "['predictions'][0]['label']"
)
STARTS = {
    "bare Python": "pass",
    "`import maas_client`": "import maas_client",
    "`import requests, pydantic`": "import requests, pydantic",
    "the same and one model class": "import requests, pydantic\nclass M(pydantic.BaseModel): x: int",
    "`maas_client` and a first client": f"import maas_client\n{CLIENT}",
    "`requests`, pydantic, a class and a first call": (
        f"import requests, pydantic\nclass M(pydantic.BaseModel): x: int\n{PLAIN}"
    ),
    "`maas_client` and a first prediction": f"import maas_client\n{PREDICT}",
}


def serve(ports: Queue[int]) -> None:
    """Answer every request on kept connections with the same reply."""
    body = json.dumps(REPLY, separators=(",", ":")).encode()
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
        "x-request-id: req_0123456789abcdef\r\nx-content-type-options: nosniff\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    listener = socket.create_server(("127.0.0.1", 0))
    ports.put(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=answer, args=(connection, head.encode() + body), daemon=True).start()


def answer(connection: socket.socket, reply: bytes) -> None:
    """Answer the requests of one connection."""
    with connection, connection.makefile("rb") as file:
        while line := file.readline():
            length = 0
            while line not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
                line = file.readline()
            file.read(length)
            connection.sendall(reply)


def start_seconds(code: str) -> float:
    """Return the CPU seconds of a new interpreter that runs some code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def callers(url: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Give a function for each way that makes `CALLS` calls and reads each label."""
    session = requests.Session()
    client = maas_client.Client(KEY, url)
    loop = asyncio.new_event_loop()
    asynchronous = maas_client.AsyncClient(KEY, url)
    headers = {"Authorization": f"Bearer {KEY}"}

    def plain() -> None:
        for _ in range(CALLS):
            response = session.post(
                f"{url}/v1/models/{MODEL}/predict", headers=headers, json=INPUT, timeout=60
            )
            response.raise_for_status()
            response.json()["predictions"][0]["label"]

    def ours() -> None:
        for _ in range(CALLS):
            client.predict(MODEL, inputs=INPUT)["label"]

    async def awaited() -> None:
        for _ in range(CALLS):
            (await asynchronous.predict(MODEL, inputs=INPUT))["label"]

    yield "`requests.Session.post`", plain
    yield "`Client.predict`", ours
    yield "`AsyncClient.predict`", lambda: loop.run_until_complete(awaited())


def medians(measures: dict[str, list[float]]) -> dict[str, float]:
    """Return the median of each, in milliseconds."""
    return {name: statistics.median(values) * 1000 for name, values in measures.items()}


def measure_starts(url: str, rounds: int) -> dict[str, float]:
    """Return the CPU milliseconds of each start."""
    measures: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(rounds):
        for name, code in STARTS.items():
            measures[name].append(start_seconds(code.format(url=url)))
    return medians(measures)


def measure_calls(url: str, rounds: int) -> dict[str, float]:
    """Return the CPU milliseconds of a call in each way."""
    ways = dict(callers(url))
    measures: dict[str, list[float]] = {name: [] for name in ways}
    for make in ways.values():
        make()
    for _ in range(rounds):
        for name, make in ways.items():
            started = time.process_time()
            make()
            measures[name].append((time.process_time() - started) / CALLS)
    return medians(measures)


def report(starts: dict[str, float], calls: dict[str, float]) -> str:
    """Return the figures and the goals they belong to as Markdown."""
    bare, imported, libraries, modelled, client, plain_first, first = starts.values()
    plain, ours, awaited = calls.values()
    rows = [
        ("`import maas_client`, over bare Python", f"{imported - bare:.1f} ms", "≤ 40 ms"),
        (
            "first client / `import requests, pydantic`",
            f"{client:.0f} / {libraries:.0f} ms = {client / libraries:.2f}",
            "≤ 1.10",
        ),
        ("first client / the same and one model class", f"{client / modelled:.2f}", "—"),
        (
            "first prediction / the same by hand",
            f"{first:.0f} / {plain_first:.0f} ms = {first / plain_first:.2f}",
            "—",
        ),
        (
            "a call / `requests.Session.post`",
            f"{ours * 1000:.0f} / {plain * 1000:.0f} µs = {ours / plain:.2f}",
            "≤ 0.75 (stretch 0.6)",
        ),
        ("an asynchronous call / the same", f"{awaited * 1000:.0f} µs = {awaited / plain:.2f}", "—"),
    ]
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    lines = [f"CPU time, medians; {machine}", "", "| what | measured | goal |", "|---|---|---|"]
    return "\n".join(lines + [f"| {what} | {measured} | {goal} |" for what, measured, goal in rows])


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--json", type=Path, help="Also write the medians, in milliseconds, to this file.")
    given = options.parse_args()
    ports: Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(ports,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{ports.get(timeout=10)}"
        starts, calls = measure_starts(url, given.rounds), measure_calls(url, given.rounds)
    finally:
        server.terminate()
        server.join()
    if given.json:
        given.json.write_text(json.dumps({"starts_ms": starts, "calls_ms": calls}, indent=2) + "\n")
    print(report(starts, calls))


if __name__ == "__main__":
    main()
