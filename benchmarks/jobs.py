"""How much slower serving is while a job runs: the same server, with one and without, turn by turn.

    python benchmarks/jobs.py [--rounds 5] [--seconds 4] [--job evaluate] [--job fine-tune]

One job evaluates a model that keeps its thread busy, another trains on hashed words, in numpy alone; each in
a process of its own, of a lower priority, with one thread. Two models are called meanwhile: `tiny`, where all
is overhead, and `busy`, which computes for milliseconds. Ends with status 1 where the median of a ratio is
below 0.8.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import maas_client

sys.path.insert(0, str(Path(__file__).parent / "serving"))

from graphs import example, write
from load import Call, fire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maas_client._jobs import Job

SIZE, DEPTH = 256, 8
JOB_ROWS = 200_000
TEXTS, TEXT_WORDS, VOCABULARY = 5_000, 20, 10_000
MOST_EPOCHS = 1000
ALONE = "alone"
CONNECTIONS = 8
GOAL = 0.8
MANIFEST = """\
task = "tabular-regression"
description = "Eight products of matrices, some milliseconds a row."
license = "Apache-2.0"
[[preprocessing.columns]]
name = "x"
[example]
x = 1.0
"""


def busy(folder: Path) -> Path:
    """Write the package of a model that computes for milliseconds, and return its folder."""
    nodes = [
        helper.make_node("Reshape", ["x", "cube"], ["c"]),
        helper.make_node("Expand", ["c", "wide"], ["h0"]),
        *(helper.make_node("MatMul", [f"h{at}", "w"], [f"h{at + 1}"]) for at in range(DEPTH)),
        helper.make_node("ReduceMean", [f"h{DEPTH}"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["m", "flat"], ["y"]),
    ]
    constants = {
        "w": np.full((SIZE, SIZE), 1 / SIZE, np.float32),
        "wide": np.array([1, SIZE, SIZE], np.int64),
        "cube": np.array([-1, 1, 1], np.int64),
        "flat": np.array([-1], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "busy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir()
    (folder / "maas.toml").write_text(MANIFEST, encoding="utf-8")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run a server and give its address."""
    ready = folder / "ready.json"
    command = [Path(sys.executable).parent / "maas-server", "serve", "--port", "0"]
    variables = {**os.environ, "MAAS_SERVER_CALLS_PER_SECOND": "1000000"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data-dir", folder / "data", "--ready-file", ready],
            stdout=log,
            stderr=log,
            env=variables,
        )
    try:
        while not ready.exists():
            if process.poll() is not None:
                sys.exit((folder / "server.log").read_text())
            time.sleep(0.1)
        yield json.loads(ready.read_text())["url"]
    finally:
        process.terminate()
        process.wait(60)


def calls(url: str, key: str) -> dict[str, Call]:
    """Return a call of each model that is served meanwhile."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    tiny = {name: value.tolist() for name, value in example("tiny").items()}
    return {
        "tiny": Call(f"{url}/v1/models/tiny/predict", json.dumps(tiny).encode(), headers),
        "busy": Call(f"{url}/v1/models/busy/predict", b'{"x": 1.0}', headers),
    }


def evaluation(client: maas_client.Client) -> Job[Any]:
    """Return a job that runs a model, and will for longer than a turn."""
    job = client.model("busy").evaluate_in_background([{"x": 1.0}] * JOB_ROWS, [1.0] * JOB_ROWS)
    while not job.refresh().progress.done:
        time.sleep(0.1)
    return job


def training(client: maas_client.Client) -> Job[Any]:
    """Return a job that trains, and will for longer than a turn."""
    job = client.fine_tunes.create(name="trained", train=texts(), epochs=MOST_EPOCHS, early_stopping=False)
    while job.refresh().progress.unit != "epoch" or not job.progress.done:
        if job.has_ended:
            sys.exit(f"the fine-tune ended before it trained: {job}")
        time.sleep(0.1)
    return job


def texts() -> list[tuple[str, str]]:
    """Return texts of random words, each with a label that its words do not tell: the loss falls slowly."""
    chance = np.random.default_rng(0)
    words = chance.integers(VOCABULARY, size=(TEXTS, TEXT_WORDS)).tolist()
    labels = chance.choice(["a", "b", "c"], TEXTS).tolist()
    return [(" ".join(f"w{each}" for each in row), label) for row, label in zip(words, labels, strict=True)]


JOBS = {"evaluate": evaluation, "fine-tune": training}


def ended(job: Job[Any]) -> None:
    """Wait until a job has stopped."""
    job.cancel()
    while not job.refresh().has_ended:
        time.sleep(0.1)


def rates(measured: Mapping[str, Call], *, seconds: int) -> dict[str, float]:
    """Return how many calls of each model are answered in a second."""
    found = {}
    for model, call in measured.items():
        outcome = fire(call, connections=CONNECTIONS, seconds=seconds)
        if outcome.failures:
            sys.exit(f"{outcome.failures} calls of {model} failed")
        found[model] = outcome.rate
    return found


def turn(
    client: maas_client.Client, measured: Mapping[str, Call], kind: str, *, seconds: int
) -> dict[str, float]:
    """Return the rates while a job runs, or with none; say how far the job came meanwhile."""
    if kind == ALONE:
        return rates(measured, seconds=seconds)
    job = JOBS[kind](client)
    before = job.progress.done
    found = rates(measured, seconds=seconds)
    done = job.refresh().progress
    if job.has_ended:
        sys.exit(f"the job ended while others were measured: {job}; make it longer")
    print(f"{kind}: {done.done - before:,} {done.unit}s meanwhile")
    ended(job)
    return found


def main() -> None:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--job", action="append", choices=[*JOBS], help="which jobs; all when left out")
    options = parser.parse_args()
    kinds = options.job or [*JOBS]
    ratios: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as url:
        folder, password = Path(name), secrets.token_urlsafe(16)
        client = maas_client.Client(base_url=url, api_key=None, proxies={})
        client.register("bench@example.com", password, accept_policy=True)
        token = client.login("bench@example.com", password).token.get_secret_value()
        client.models.publish(write("tiny", folder / "tiny"), name="tiny")
        client.models.publish(busy(folder / "busy"), name="busy")
        measured = calls(url, token)
        rates(measured, seconds=1)
        for number in range(options.rounds):
            # Turned round each time, so that a drift of the machine hits all alike.
            order = [ALONE, *kinds][:: 1 if number % 2 else -1]
            found = {kind: turn(client, measured, kind, seconds=options.seconds) for kind in order}
            for kind in kinds:
                for model, rate in found[kind].items():
                    alone = found[ALONE][model]
                    ratios.setdefault((kind, model), []).append(rate / alone)
                    print(f"{model}: {alone:,.0f}/s alone, {rate:,.0f}/s beside {kind}")
    for (kind, model), each in ratios.items():
        spread = f"{min(each):.2f} to {max(each):.2f}"
        print(f"{model} beside {kind}: {statistics.median(each):.2f} ({spread}) of its rate alone")
    if any(statistics.median(each) < GOAL for each in ratios.values()):
        sys.exit(f"serving slows by more than {1 - GOAL:.0%}")


if __name__ == "__main__":
    main()
