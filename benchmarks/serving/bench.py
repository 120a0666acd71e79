"""Measure the server beside others, in one run: requests per second and CPU per request, as ratios.

    python benchmarks/serving/bench.py [--rounds 5] [--seconds 3] [--only tiny] [--connections 32]

In each round everyone has a turn, in an order that changes; a ratio is taken within its round, and given as
the median over the rounds with the least and the greatest. CPU time is that of all of a server's processes,
user and system together. This server has everything on: authentication, limits, request ids, metrics, the
log. Its peers run bare. Figures of one run compare with each other, not with those of another machine or
another hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import orjson
import peers
from contenders import FASTAPI, OURS, Contender, Right, Server, cpu_seconds, fastapi, ours, raw
from graphs import example, model, write
from load import HAS_WRK, Call
from report import write_report

import maas_client
from maas_client._open_inference import InferRequest, read_reply, write_request
from maas_client._tensors import tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests
    from graphs import Array

JSON = {"Content-Type": "application/json"}
OCTETS = {"Content-Type": "application/octet-stream"}
CONNECTIONS = (32, 1, 8, 128)
BATCH_ROWS = 8
MANY, HOT = 500, 50
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Load:
    """A load with all who bear it, ready, and the connections that the goals speak of."""

    contenders: list[Contender]
    connections: tuple[int, ...] = CONNECTIONS


def measure(
    contenders: list[Contender], connections: int, rounds: int, seconds: int
) -> dict[str, dict[str, list[float]]]:
    """Return, for each contender and round, rate, CPU milliseconds per request, median latency, failures."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for turn in range(-1, rounds):
        for contender in contenders if turn % 2 == 0 else contenders[::-1]:
            with alone(contender):
                if turn < 0:
                    contender.check()
                    contender.fire(connections, 1)
                    continue
                before = cpu_seconds(contender.pid)
                outcome = contender.fire(connections, seconds)
                used = cpu_seconds(contender.pid) - before
            if outcome.failures and not contender.may_fail:
                raise RuntimeError(
                    f"{contender.name} failed {outcome.failures} calls of {connections} at a time"
                )
            figures = found[contender.name]
            # Who answers nobody in a whole turn counts as having answered one call: no ratio is infinite.
            rate = max(outcome.rate, 1 / seconds)
            figures["failures"].append(outcome.failures)
            figures["rate"].append(rate)
            figures["cpu_ms"].append(used / (rate * seconds) * 1000)
            figures["latency_ms"].append(outcome.median_ms)
    return {name: dict(figures) for name, figures in found.items()}


@contextmanager
def alone(contender: Contender) -> Iterator[None]:
    """Let one contender's processes run; between such blocks all stand still."""
    contender.resume()
    try:
        yield
    finally:
        contender.pause()


def expected(name: str) -> Array:
    """Return what a model makes of its example: one row."""
    session = ort.InferenceSession(model(name).SerializeToString(), providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {key: array[None] for key, array in example(name).items()})[0][0]
    return result


def ours_by_json(stack: ExitStack, folder: Path, name: str, package: Path) -> Server:
    """Serve a model with this server; it is asked as `/v1` takes it."""
    pid, url, key = stack.enter_context(ours(folder))
    maas_client.Client(key, url).models.publish(package, name=name)
    call = Call(f"{url}/v1/models/{name}/predict", plain(name), {"Authorization": f"Bearer {key}", **JSON})
    return Server(OURS, pid, call, Right(expected(name), predicted))


def ours_by_tensors(stack: ExitStack, folder: Path, name: str, package: Path) -> Server:
    """Serve a model with this server; it is asked with binary tensors of the Open Inference Protocol."""
    pid, url, key = stack.enter_context(ours(folder))
    maas_client.Client(key, url).models.publish(package, name=name)
    body, headers = tensors(name)
    call = Call(f"{url}/v2/models/{name}/infer", body, {"Authorization": f"Bearer {key}", **headers})
    return Server(OURS, pid, call, Right(expected(name), first_tensor))


def lean(
    stack: ExitStack, folder: Path, name: str, package: Path, *, binary: bool = False, threads: int = 1
) -> Server:
    """Serve a model with the lean FastAPI handler; it is asked with JSON or with the bytes alone."""
    pid, url = stack.enter_context(fastapi(package / "model.onnx", folder, threads=threads))
    shown = FASTAPI if threads == 1 else f"{FASTAPI}, {threads} threads a run"
    if binary:
        call = Call(f"{url}/raw", example(name)["x"].tobytes(), OCTETS)
        return Server(
            shown, pid, call, Right(expected(name), lambda reply: np.frombuffer(reply.content, np.float32))
        )
    call = Call(f"{url}/predict", plain(name), JSON)
    return Server(shown, pid, call, Right(expected(name), lambda reply: np.array(reply.json()["y"])))


def others(
    stack: ExitStack, folder: Path, name: str, package: Path, *, rows: int = 1, threads: int = 1
) -> list[Server]:
    """Serve a model with each of the peers that are installed."""
    job = peers.Job(name, (package / "model.onnx").resolve(), folder, rows, threads, expected(name))
    found = []
    for peer in peers.installed():
        found.append(stack.enter_context(peers.serve(peer, job)))
        found[-1].may_fail = True
        found[-1].check()
        found[-1].pause()
    return found


def plain(name: str) -> bytes:
    """Return a model's example as a JSON object."""
    return orjson.dumps({key: array.tolist() for key, array in example(name).items()})


def tensors(name: str) -> tuple[bytes, dict[str, str]]:
    """Return a model's example as a binary request of the Open Inference Protocol, and its headers."""
    inputs = {each: tensor_of(each, array[None]) for each, array in example(name).items()}
    message = write_request(InferRequest(inputs), binary=True)
    return message.body, dict(message.headers)


def predicted(reply: requests.Response) -> Array:
    """Return what a `/v1` reply predicts for its one row."""
    return np.array(reply.json()["predictions"][0]["y"])


def first_tensor(reply: requests.Response) -> Array:
    """Return the first output of a reply of the Open Inference Protocol."""
    return next(iter(read_reply(reply.content, reply.headers).outputs)).array


def tiny_load(stack: ExitStack, folder: Path) -> Load:
    """Return the load of the model that is nothing but overhead."""
    package = write("tiny", folder / "tiny")
    return Load(
        [
            ours_by_json(stack, folder, "tiny", package),
            lean(stack, folder, "tiny", package),
            *others(stack, folder, "tiny", package),
            stack.enter_context(raw("tiny", "1")),
        ]
    )


def encoder_load(stack: ExitStack, folder: Path) -> Load:
    """Return the load that is nothing but arithmetic; who can batch does, and all may use all cores."""
    serving = f"batching = true\nmax_batch_rows = {BATCH_ROWS}"
    package = write("encoder", folder / "encoder", serving=serving)
    return Load(
        [
            ours_by_tensors(stack, folder, "encoder", package),
            lean(stack, folder, "encoder", package),
            lean(stack, folder, "encoder", package, threads=CORES),
            *others(stack, folder, "encoder", package, rows=BATCH_ROWS, threads=CORES),
            stack.enter_context(raw("encoder", "1,4,8,16,32")),
        ]
    )


def image_load(stack: ExitStack, folder: Path) -> Load:
    """Return the load that is nothing but payload; the peers take tensors of this size as text only."""
    package = write("image", folder / "image")
    return Load(
        [
            ours_by_tensors(stack, folder, "image", package),
            lean(stack, folder, "image", package, binary=True),
            stack.enter_context(raw("image", "1")),
        ],
        (8, 1, 32, 128),
    )


def many_load(stack: ExitStack, folder: Path) -> Load:
    """Return one model alone beside fifty of five hundred in turn, on two servers.

    Publishing tries each package in a process of its own, a second each: the store is kept for the next run.
    """
    contenders: list[Contender] = []
    for name, count, place in (
        ("one model", 1, folder / "one"),
        (f"{HOT} of {MANY} models", MANY, Path("build/bench") / f"store-of-{MANY}"),
    ):
        place.mkdir(parents=True, exist_ok=True)
        pid, url, key = stack.enter_context(ours(place))
        _publish(maas_client.Client(key, url), count, folder / "numbered")
        hot = tuple(f"/v1/models/tiny-{number}/predict" for number in range(min(HOT, count)))
        call = Call(url + hot[0], plain("tiny"), {"Authorization": f"Bearer {key}", **JSON}, hot)
        contenders.append(Server(name, pid, call, Right(expected("tiny"), predicted)))
    return Load(contenders, (32,))


def _publish(client: maas_client.Client, count: int, folder: Path) -> None:
    there = {each.name for each in client.models.list()}
    for number in range(count):
        if f"tiny-{number}" not in there:
            write("tiny", folder, note=str(number))
            client.models.publish(folder, name=f"tiny-{number}")
            print(f"\rpublishing {number + 1} of {count}", end="", file=sys.stderr, flush=True)


LOADS: dict[str, Callable[[ExitStack, Path], Load]] = {
    "tiny": tiny_load,
    "encoder": encoder_load,
    "image": image_load,
    "many": many_load,
}


def about() -> dict[str, str]:
    """Return what the figures depend on: the machine, the versions, what sends the load."""
    packages = ("onnxruntime", "uvicorn", "fastapi")
    others = [f"{name} {peers.version(name)}" for name in peers.installed()]
    return {
        "machine": f"{_processor()}, {CORES} cores, {platform.system()} {platform.machine()}",
        "versions": ", ".join(
            [
                f"Python {platform.python_version()}",
                *(f"{name} {version(name)}" for name in packages),
                *others,
            ]
        ),
        "generator": "wrk" if HAS_WRK else "the bundled generator",
    }


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown processor"


def main() -> None:
    """Measure, and write the report after each load."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="whole seconds, as wrk wants them")
    parser.add_argument("--only", choices=LOADS, action="append")
    parser.add_argument("--connections", type=int, action="append", help="instead of 1, 8, 32 and 128")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    # Whoever ends it must not leave servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before all was measured"))
    results: list[dict[str, object]] = []
    for name in options.only or LOADS:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            load = LOADS[name](stack, Path(folder))
            notes = {each.name: each.arrangement for each in load.contenders if hasattr(each, "arrangement")}
            for contender in load.contenders:
                contender.pause()
            for connections in options.connections or load.connections:
                figures = measure(load.contenders, connections, options.rounds, options.seconds)
                results.append({"load": name, "connections": connections, "figures": figures, "notes": notes})
                print(json.dumps(results[-1]), flush=True)
        rounds = f"{options.rounds} rounds of {options.seconds} s"
        write_report(options.out, results, {**about(), "rounds": rounds})
    print((options.out / "serving.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
