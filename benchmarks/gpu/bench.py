"""Measure the server on a GPU beside raw ONNX Runtime on the same card, and say so in docs/performance.md.

    python benchmarks/gpu/bench.py [--rounds 5] [--seconds 3] [--provider cpu]

Two loads: an encoder of MiniLM's size, where the card's arithmetic counts, and a product with a large matrix,
4 MiB a request, where the way to the card counts. Raw ONNX Runtime runs at its best batch size and number of
threads, in this process; the server has everything on. Rounds are interleaved and given as medians.
`--provider cpu` tries the benchmark itself where there is no card, and leaves the page alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

import maas_client
from maas_client._open_inference import InferRequest, write_request
from maas_client._tensors import tensor_of
from reference_server.runtime.cuda_parts import driver
from reference_server.runtime.execution_providers import (
    CPU,
    ExecutionProvider,
    ExecutionProviderError,
    cuda,
    open_session,
    prove,
)
from reference_server.runtime.sessions import OnnxRunner

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks" / "serving"))

import graphs  # noqa: E402 - shared with the serving benchmark, whose folder is no package
from contenders import running  # noqa: E402
from load import HAS_WRK, Call, fire  # noqa: E402
from page import write_page  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCHES = (1, 4, 8, 16, 32, 64, 128, 256)
# Larger ones take a few cores seconds each.
CPU_BATCHES = BATCHES[:3]
THREADS = (1, 2, 4)
# Of the time of a round.
TRIAL_SHARE = 1 / 3
START_SECONDS = 120
WIDTH, MATRIX_ROWS, MATRIX_OUT = 4096, 256, 16
GOAL = 0.95


@dataclass(frozen=True)
class Load:
    """A model, and how it is called.

    Args:
        name: What the page calls it.
        model: The graph's bytes.
        row: One row of its inputs.
        rows: Rows of a request; 0 for those of raw ONNX Runtime's best batch.
        connections: Requests at a time; 0 for two batches of single rows.
        batches: Batch sizes that raw ONNX Runtime may choose from.
    """

    name: str
    model: bytes
    row: dict[str, graphs.Array]
    rows: int
    connections: int
    batches: tuple[int, ...]


@dataclass
class Figures:
    """What was measured: rows per second of each, and how raw ONNX Runtime was fastest."""

    load: str
    rows: int
    connections: int
    batch: int
    threads: int
    raw: list[float] = field(default_factory=list)
    runner: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)

    def as_row(self) -> list[str]:
        """Return the cells of a table's row."""
        raw, runner, server = (statistics.median(each) for each in (self.raw, self.runner, self.server))
        return [
            self.load,
            f"{self.rows} on {self.connections}",
            f"{raw:,.0f} ({self.batch} rows, {self.threads} threads)",
            f"{runner:,.0f} = {runner / raw:.2f}",
            f"{server:,.0f} = {server / raw:.2f}",
        ]


def matrix() -> bytes:
    """Return a model of 4,096 floats in and 16 out, with one product that fills a card for an instant."""
    graph = graphs.Graph()
    wide = graph.node("Relu", graph.linear("x", WIDTH, WIDTH))
    output = graph.linear(wide, WIDTH, MATRIX_OUT)
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])
    return bytes(graph.model([info], output, ["batch", MATRIX_OUT]).SerializeToString())


def loads(batches: tuple[int, ...]) -> list[Load]:
    """Return everything that is measured; the encoder's best batch is one of these."""
    encoder, row = graphs.encoder().SerializeToString(), graphs.example("encoder")
    wide = {"x": np.random.default_rng(1).standard_normal(WIDTH).astype(np.float32)}
    return [
        Load("encoder, single rows, batched by the server", encoder, row, 1, 0, batches),
        Load("encoder, rows sent together", encoder, row, 0, 8, batches),
        Load("matrix of 4,096 by 4,096, 4 MiB a request", matrix(), wide, MATRIX_ROWS, 8, (MATRIX_ROWS,)),
    ]


def rate(run: Callable[[], object], *, rows: int, threads: int, seconds: float) -> float:
    """Return the rows per second of something that threads call over and over."""
    counts = [0] * threads
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        while time.perf_counter() < end:
            run()
            counts[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) * rows / (time.perf_counter() - started)


def best_way(load: Load, session: ort.InferenceSession, *, seconds: float) -> tuple[int, int]:
    """Return the batch size and number of threads at which raw ONNX Runtime does most rows."""
    found = {}
    for batch in load.batches:
        feeds = stacked(load.row, batch)
        session.run(None, feeds)
        for threads in THREADS:
            found[batch, threads] = rate(
                lambda feeds=feeds: session.run(None, feeds), rows=batch, threads=threads, seconds=seconds
            )
    return max(found, key=lambda way: found[way])


def stacked(row: dict[str, graphs.Array], rows: int) -> dict[str, graphs.Array]:
    """Return so many copies of a row as one batch."""
    return {name: np.stack([array] * rows) for name, array in row.items()}


def package(load: Load, folder: Path, *, batch: int) -> Path:
    """Write a load's model as a package that batches up to so many rows."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(load.model)
    example = [f"{name} = {json.dumps(array.tolist())}" for name, array in load.row.items()]
    lines = [
        'task = "tensor"',
        f'description = "{load.name}"',
        'license = "Apache-2.0"',
        "[serving]",
        "batching = true",
        f"max_batch_rows = {batch}",
        "[example]",
        *example,
    ]
    (folder / "maas.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@contextmanager
def server(folder: Path, provider: str) -> Iterator[tuple[str, str]]:
    """Serve with everything on; yield the URL and an API key."""
    ready = folder / "ready.json"
    command = [
        str(Path(sys.executable).with_name("maas-server")),
        *("serve", "--demo", "--provider", provider, "--port", "0"),
        *("--data-dir", str(folder / "data"), "--ready-file", str(ready)),
    ]
    # The limits are on, and above what is reached; the largest body has room for a head.
    settings = {"MAAS_SERVER_CALLS_PER_SECOND": "1000000", "MAAS_SERVER_MAX_BODY_BYTES": str(2**24)}
    log = folder / "server.log"
    with running(command, env=settings, log=log) as process:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.05)
        found = json.loads(ready.read_text())
        yield found["url"], found["api_key"]


def measure(load: Load, provider: ExecutionProvider, *, rounds: int, seconds: int) -> Figures:
    """Measure a load in interleaved rounds: raw ONNX Runtime, this server's runner alone, all of it."""
    session = open_session(load.model, provider)
    batch, threads = best_way(load, session, seconds=seconds * TRIAL_SHARE)
    rows = load.rows or batch
    figures = Figures(load.name, rows, load.connections or 2 * batch, batch, threads)
    runner, feeds = OnnxRunner(load.model, provider=provider), stacked(load.row, batch)
    if runner.device != provider.device:
        raise RuntimeError(f"the model runs on {runner.device}, not on {provider.device}")
    with tempfile.TemporaryDirectory() as name, server(Path(name), setting(provider)) as (url, key):
        call = infer_call(load, Path(name), url, key, rows=rows, batch=batch)
        fire(call, connections=figures.connections, seconds=seconds)
        for _ in range(rounds):
            way = {"rows": batch, "threads": threads, "seconds": seconds}
            figures.raw.append(rate(lambda: session.run(None, feeds), **way))
            figures.runner.append(rate(lambda: runner.run(feeds), **way))
            outcome = fire(call, connections=figures.connections, seconds=seconds)
            if outcome.failures:
                raise RuntimeError(f"{outcome.failures} calls failed")
            figures.server.append(outcome.rate * rows)
    return figures


def infer_call(load: Load, folder: Path, url: str, key: str, *, rows: int, batch: int) -> Call:
    """Publish a load's model and return the request for it."""
    client = maas_client.Client(key, url)
    client.models.publish(package(load, folder / "package", batch=batch), name="measured")
    inputs = {name: tensor_of(name, array) for name, array in stacked(load.row, rows).items()}
    message = write_request(InferRequest(inputs), binary=True)
    headers = {"Authorization": f"Bearer {key}", **message.headers}
    return Call(f"{url}/v2/models/measured/infer", message.body, headers)


def setting(provider: ExecutionProvider) -> str:
    """Return the server's setting for a provider; `cuda` demands it."""
    return "cpu" if provider is CPU else "cuda"


def about(provider: ExecutionProvider) -> str:
    """Return what was measured on, on one line."""
    parts = [f"ONNX Runtime {ort.__version__}", f"Python {platform.python_version()}", platform.machine()]
    if provider is not CPU:
        found = driver()
        version = ".".join(map(str, found.version))
        parts = [found.devices[0], f"a driver for CUDA {version}", *parts]
    return ", ".join([*parts, f"load by {'wrk' if HAS_WRK else 'the bundled generator'}"])


def main() -> None:
    """Measure, print, and write the page where it was a card that was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--provider", choices=["cuda", "cpu"], default="cuda")
    options = parser.parse_args()
    provider = cuda(0) if options.provider == "cuda" else CPU
    try:
        prove(provider)
    except ExecutionProviderError as error:
        sys.exit(f"nothing was measured: {error}")
    rows = []
    for load in loads(CPU_BATCHES if provider is CPU else BATCHES):
        rows.append(measure(load, provider, rounds=options.rounds, seconds=options.seconds).as_row())
        print(" | ".join(rows[-1]), flush=True)
    if provider is CPU:
        print("a try on the CPU; docs/performance.md is left as it was")
        return
    write_page(ROOT / "docs" / "performance.md", about(provider), rows, goal=GOAL)


if __name__ == "__main__":
    main()
