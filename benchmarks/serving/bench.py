"""Measure the server beside others, in one run: requests per second and CPU per request, as ratios.

    python benchmarks/serving/bench.py [--rounds 5] [--seconds 3] [--out build/bench] [--only tiny]

Rounds are interleaved and given as medians; CPU time is that of all of a server's processes, user and system
together. This server has everything on: authentication, limits, request ids, metrics, the log. Its peers run
bare. Figures of one run compare with each other, not with those of another machine or another hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import graphs
import numpy as np
import onnxruntime as ort
import orjson
import requests
from contenders import cpu_seconds, fastapi, ours
from load import HAS_WRK, Call, fire
from report import write_report

import maas_client
from maas_client._open_inference import InferRequest, write_request
from maas_client._tensors import tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JSON = {"Content-Type": "application/json"}
MANY, HOT = 500, 50
RAW_SECONDS = 1.5


@dataclass(frozen=True)
class Contender:
    """A server with a model: its process, and the request that it takes."""

    name: str
    pid: int
    call: Call


@dataclass(frozen=True)
class Case:
    """A load at a number of connections."""

    load: str
    connections: int


def measure(
    case: Case, contenders: list[Contender], rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Return rate, CPU milliseconds per request and median latency of each contender."""
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for contender in contenders:
        _check(contender)
        fire(contender.call, connections=case.connections, seconds=max(1.0, seconds / 3))
    for turn in range(rounds):
        order = contenders if turn % 2 == 0 else contenders[::-1]
        for contender in order:
            before = cpu_seconds(contender.pid)
            outcome = fire(contender.call, connections=case.connections, seconds=seconds)
            if outcome.failures:
                raise RuntimeError(f"{contender.name} failed {outcome.failures} calls of {case}")
            used = (cpu_seconds(contender.pid) - before) / (outcome.rate * seconds) * 1000
            found[contender.name].append((outcome.rate, used, outcome.median_ms))
    return {
        name: dict(
            zip(
                ("rate", "cpu_ms", "latency_ms"), map(statistics.median, zip(*rows, strict=True)), strict=True
            )
        )
        for name, rows in found.items()
    }


def _check(contender: Contender) -> None:
    call = contender.call
    for path in call.paths or ("",):
        url = call.url if not path else call.url.rpartition("/v")[0] + path
        reply = requests.post(url, call.body, headers={**JSON, **call.headers}, timeout=30)
        if not (reply.ok and reply.content):
            raise RuntimeError(
                f"{contender.name} does not answer {url}: {reply.status_code} {reply.text[:200]}"
            )


def binary(name: str) -> tuple[bytes, dict[str, str]]:
    """Return a model's example as a binary request of the Open Inference Protocol."""
    inputs = {key: tensor_of(key, array[None]) for key, array in graphs.example(name).items()}
    message = write_request(InferRequest(inputs), binary=True)
    return message.body, dict(message.headers)


def raw_runtime(name: str) -> float:
    """Return the rows per second of bare ONNX Runtime at its best batch size, with all cores."""
    best = 0.0
    model = {"encoder": graphs.encoder, "tiny": graphs.tiny}[name]().SerializeToString()
    for threads in sorted({1, os.cpu_count() or 1}):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for rows in (1, 4, 8, 16, 32):
            feeds = {key: np.stack([array] * rows) for key, array in graphs.example(name).items()}
            session.run(None, feeds)
            started, runs = time.perf_counter(), 0
            while time.perf_counter() - started < RAW_SECONDS:
                session.run(None, feeds)
                runs += 1
            best = max(best, runs * rows / (time.perf_counter() - started))
    return best


def tiny_cases(stack: ExitStack, folder: Path) -> Iterator[tuple[Case, list[Contender]]]:
    """Yield the loads of the model that is nothing but overhead."""
    package = graphs.write("tiny", folder / "tiny")
    pid, url, key = stack.enter_context(ours(folder))
    client = maas_client.Client(key, url)
    client.models.publish(package, name="tiny")
    peer, peer_url = stack.enter_context(fastapi(package / "model.onnx", folder))
    body = orjson.dumps({name: array.tolist() for name, array in graphs.example("tiny").items()})
    auth = {"Authorization": f"Bearer {key}", **JSON}
    mine = Contender("this server", pid, Call(f"{url}/v1/models/tiny/predict", body, auth))
    contenders = [mine, Contender("lean FastAPI", peer, Call(f"{peer_url}/predict", body, JSON))]
    for connections in (32, 1, 8, 128):
        yield Case("tiny", connections), contenders


def encoder_cases(stack: ExitStack, folder: Path) -> Iterator[tuple[Case, list[Contender]]]:
    """Yield the load that is nothing but arithmetic."""
    serving = "batching = true\nmax_batch_rows = 8"
    package = graphs.write("encoder", folder / "encoder", serving=serving)
    pid, url, key = stack.enter_context(ours(folder))
    maas_client.Client(key, url).models.publish(package, name="encoder")
    peer, peer_url = stack.enter_context(fastapi(package / "model.onnx", folder))
    body, headers = binary("encoder")
    plain = orjson.dumps({name: array.tolist() for name, array in graphs.example("encoder").items()})
    auth = {"Authorization": f"Bearer {key}"}
    yield (
        Case("encoder", 32),
        [
            Contender("this server", pid, Call(f"{url}/v2/models/encoder/infer", body, {**auth, **headers})),
            Contender("lean FastAPI", peer, Call(f"{peer_url}/predict", plain, JSON)),
        ],
    )


def image_cases(stack: ExitStack, folder: Path) -> Iterator[tuple[Case, list[Contender]]]:
    """Yield the load that is nothing but payload."""
    package = graphs.write("image", folder / "image")
    pid, url, key = stack.enter_context(ours(folder))
    maas_client.Client(key, url).models.publish(package, name="image")
    peer, peer_url = stack.enter_context(fastapi(package / "model.onnx", folder))
    body, headers = binary("image")
    raw = graphs.example("image")["x"].tobytes()
    auth = {"Authorization": f"Bearer {key}"}
    octets = {"Content-Type": "application/octet-stream"}
    contenders = [
        Contender("this server", pid, Call(f"{url}/v2/models/image/infer", body, {**auth, **headers})),
        Contender("lean FastAPI", peer, Call(f"{peer_url}/raw", raw, octets)),
    ]
    for connections in (8, 1):
        yield Case("image", connections), contenders


def many_cases(stack: ExitStack, folder: Path) -> Iterator[tuple[Case, list[Contender]]]:
    """Yield one model alone against fifty of five hundred in turn, on two servers."""
    package = graphs.write("tiny", folder / "tiny")
    body = orjson.dumps({name: array.tolist() for name, array in graphs.example("tiny").items()})
    contenders = []
    for name, count in (("one model", 1), (f"{HOT} of {MANY} models", MANY)):
        place = folder / str(count)
        place.mkdir()
        pid, url, key = stack.enter_context(ours(place))
        client = maas_client.Client(key, url)
        for number in range(count):
            graphs.write("tiny", folder / "numbered", note=str(number))
            client.models.publish(folder / "numbered", name=f"tiny-{number}")
        hot = tuple(f"/v1/models/tiny-{number}/predict" for number in range(min(HOT, count)))
        auth = {"Authorization": f"Bearer {key}", **JSON}
        contenders.append(Contender(name, pid, Call(f"{url}{hot[0]}", body, auth, hot)))
    del package
    yield Case("many", 32), contenders


LOADS: dict[str, Callable[[ExitStack, Path], Iterator[tuple[Case, list[Contender]]]]] = {
    "tiny": tiny_cases,
    "encoder": encoder_cases,
    "image": image_cases,
    "many": many_cases,
}


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", choices=LOADS, action="append")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    results: list[dict[str, object]] = []
    for load in options.only or LOADS:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            for case, contenders in LOADS[load](stack, Path(folder)):
                figures = measure(case, contenders, options.rounds, options.seconds)
                results.append({"load": load, "connections": case.connections, "figures": figures})
                print(json.dumps(results[-1]), flush=True)
        if load == "encoder":
            results[-1]["raw"] = raw_runtime("encoder")
    cores = f"{platform.machine()}, {os.cpu_count()} cores"
    machine = f"{platform.system()} {cores}, Python {platform.python_version()}"
    about = {"machine": machine, "generator": "wrk" if HAS_WRK else "bundled", "ort": ort.__version__}
    write_report(options.out, results, about)


if __name__ == "__main__":
    main()
