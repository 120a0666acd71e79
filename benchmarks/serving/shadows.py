"""What a split and shadows cost the callers: latencies with and without, in turns on one server.

    python benchmarks/serving/shadows.py [--seconds 3] [--rounds 5]

Shadows are one like the version that serves, one that fails each time, and one that takes a hundred times as
long. Needs the group `test`; the model is the benchmark's `tiny`, where anything beside it shows most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import graphs
from load import Call, Outcome, fire
from onnx import TensorProto, helper

import maas_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client import Client

LAYERS, WIDTH = 30, 1024
CONNECTIONS = (1, 16)


def slow(folder: Path) -> Path:
    """Write a package that takes what `tiny` takes, and a hundred times as long."""
    graphs.write("tiny", folder, note="slow")
    graph = graphs.Graph()
    value, weights = graph.linear("x", 16, WIDTH), graph.random(WIDTH, WIDTH)
    for _ in range(LAYERS):
        value = graph.node("Relu", graph.node("MatMul", value, weights))
    model = graph.model(
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        graph.node("Softmax", graph.linear(value, WIDTH, 3)),
        ["batch", 3],
    )
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


@contextmanager
def server(folder: Path) -> Iterator[tuple[Client, str]]:
    """Run a server; give its owner's client and key."""
    ready, data = folder / "ready.json", folder / "data"
    command = [Path(sys.executable).parent / "maas-server", "serve", "--port", "0", "--data-dir", data]
    process = subprocess.Popen(
        [*command, "--ready-file", ready, "--log-level", "error"],
        env={**os.environ, "MAAS_SERVER_CALLS_PER_SECOND": "10000000"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not ready.exists():
            if process.poll() is not None:
                sys.exit("the server does not start")
            time.sleep(0.05)
        with maas_client.Client(base_url=json.loads(ready.read_text())["url"], api_key=None) as client:
            client.register("bench@example.com", "a password for it", accept_policy=True, name="bench")
            client.login("bench@example.com", "a password for it")
            key = client.keys.create("bench", scopes=["predict"])
            yield client, key.secret.get_secret_value()
    finally:
        process.terminate()
        process.wait()


def publish(client: Client, folder: Path) -> None:
    """Publish the version that serves, one like it, one that cannot answer, one that is slow."""
    for number, name in enumerate(("tiny", "tiny", "encoder"), 1):
        client.models.publish(graphs.write(name, folder / str(number), note=str(number)), name="tiny")
    client.models.publish(slow(folder / "4"), name="tiny")


def apply(client: Client, mode: str) -> None:
    """Bring the traffic into one of the states that are measured."""
    traffic = client.model("tiny").traffic
    if mode == "neither":
        traffic.withdraw()
    elif mode == "split":
        traffic.split({1: 50, 2: 50})
    else:
        traffic.shadow({"like": 2, "failing": 3, "slow": 4}[mode.partition(" ")[0]])


MODES = ("neither", "split", "like shadow", "failing shadow", "slow shadow")


def measure(client: Client, key: str, seconds: int, rounds: int) -> dict[tuple[str, int], list[Outcome]]:
    """Take turns, so that what else the machine does falls on all alike."""
    body = json.dumps({key: array.tolist() for key, array in graphs.example("tiny").items()}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    call = Call(f"{client.base_url}/v1/models/tiny/predict", body, headers)
    found: dict[tuple[str, int], list[Outcome]] = {}
    for _ in range(rounds):
        for mode in MODES:
            apply(client, mode)
            fire(call, connections=1, seconds=1)
            for connections in CONNECTIONS:
                outcome = fire(call, connections=connections, seconds=seconds)
                if outcome.failures:
                    sys.exit(f"{outcome.failures} calls failed with {mode}")
                found.setdefault((mode, connections), []).append(outcome)
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (client, key):
        publish(client, Path(folder))
        found = measure(client, key, options.seconds, options.rounds)
        compared = [client.model("tiny").comparison(1, version) for version in (2, 3, 4)]
    print("| traffic | connections | calls/s | p50 ms | p99 ms |\n|---|---|---|---|---|")
    for (mode, connections), outcomes in sorted(found.items(), key=lambda item: item[0][1]):
        cells = [
            f"{statistics.median(getattr(each, name) for each in outcomes):{form}}"
            for name, form in (("rate", ",.0f"), ("median_ms", ".3f"), ("p99_ms", ".3f"))
        ]
        print(f"| {mode} | {connections} | {' | '.join(cells)} |")
    for each in compared:
        if each.shadow is not None:
            print(
                f"version {each.b}: {each.shadow.calls:,} copies compared, {each.shadow.dropped:,} dropped, "
                f"latency ratio {each.shadow.latency_ratio}"
            )


if __name__ == "__main__":
    main()
