"""Measure what it costs to load a large sealed model, beside ONNX Runtime loading the same file in the clear.

    python benchmarks/serving/cold_load.py [--rounds 15]

The server unseals the package, checks it and makes its sessions; ONNX Runtime alone reads a file and makes
one. Both in turn; medians of wall and of processor time. Neither has the operating system read from the disk:
the files are in its cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import onnxruntime as ort
import psutil
import requests
from contenders import ours
from graphs import write

import maas_client

MODEL = "encoder"
MEGABYTE = 1e6


def raw_load(graph: Path) -> tuple[float, float]:
    """Return wall and processor seconds of ONNX Runtime alone."""
    wall, cpu = time.perf_counter(), time.process_time()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    ort.InferenceSession(graph.read_bytes(), options, providers=["CPUExecutionProvider"])
    return time.perf_counter() - wall, time.process_time() - cpu


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds of a process and its children."""
    process = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children(recursive=True)))


def served_load(url: str, key: str, pid: int) -> tuple[float, float]:
    """Unload the model, and return wall and processor seconds of loading it again."""

    def ask(what: str) -> None:
        address = f"{url}/v2/repository/models/{MODEL}/{what}"
        requests.post(address, headers={"Authorization": f"Bearer {key}"}, timeout=60).raise_for_status()

    ask("unload")
    wall, cpu = time.perf_counter(), cpu_seconds(pid)
    ask("load")
    return time.perf_counter() - wall, cpu_seconds(pid) - cpu


def main() -> None:
    """Measure in turn and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pid, url, key = stack.enter_context(ours(folder))
        package = write(MODEL, folder / MODEL)
        graph = package / "model.onnx" if package.is_dir() else package
        with maas_client.Client(key, url) as client:
            client.models.publish(package, name=MODEL)
        served_load(url, key, pid)
        raw_load(graph)
        size = graph.stat().st_size / MEGABYTE
        pairs = [(served_load(url, key, pid), raw_load(graph)) for _ in range(rounds)]
    print(f"{size:.0f} MB, medians of {rounds} rounds")
    print(f"{'':24} wall ms   processor ms")
    for name, times in zip(
        ("this server, sealed", "ONNX Runtime, in clear"), zip(*pairs, strict=True), strict=True
    ):
        wall, cpu = (1000 * statistics.median(one) for one in zip(*times, strict=True))
        print(f"{name:24} {wall:7.0f} {cpu:14.0f}")
    ratio = statistics.median(served[0] / raw[0] for served, raw in pairs)
    print(f"the server takes {ratio:.2f} times as long")


if __name__ == "__main__":
    main()
