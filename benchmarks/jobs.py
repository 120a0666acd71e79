"""How much slower serving is while a job runs: the same server, with one and without, turn by turn.

    python benchmarks/jobs.py [--rounds 5] [--seconds 4]

The job evaluates a model that keeps its thread busy. Two models are called meanwhile: `tiny`, where all is
overhead, and the job's own, where both want to compute. Ends with status 1 where the median of a ratio is
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
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import maas_client

sys.path.insert(0, str(Path(__file__).parent / "serving"))

from graphs import example, write
from load import Call, fire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client._jobs import Job
    from maas_client.types import Evaluation

SIZE, DEPTH = 256, 8
JOB_ROWS = 200_000
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


def started(model: maas_client._model_handle.ModelHandle) -> Job[Evaluation]:
    """Return a job that runs, and will for longer than a turn."""
    job = model.evaluate_in_background([{"x": 1.0}] * JOB_ROWS, [1.0] * JOB_ROWS)
    while not job.refresh().progress.done:
        time.sleep(0.1)
    return job


def ended(job: Job[Evaluation]) -> None:
    """Wait until a job has stopped."""
    job.cancel()
    while not job.refresh().has_ended:
        time.sleep(0.1)


def main() -> None:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {"tiny": [], "busy": []}
    rows = []
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as url:
        folder, password = Path(name), secrets.token_urlsafe(16)
        client = maas_client.Client(base_url=url, api_key=None, proxies={})
        client.register("bench@example.com", password, accept_policy=True)
        token = client.login("bench@example.com", password).token.get_secret_value()
        client.models.publish(write("tiny", folder / "tiny"), name="tiny")
        client.models.publish(busy(folder / "busy"), name="busy")
        measured = calls(url, token)
        for call in measured.values():
            fire(call, connections=CONNECTIONS, seconds=1)
        for turn in range(options.rounds):
            rates: dict[str, dict[str, float]] = {"tiny": {}, "busy": {}}
            # Turned round each time, so that a drift of the machine hits both alike.
            for state in ("alone", "with a job") if turn % 2 else ("with a job", "alone"):
                job = started(client.model("busy")) if state == "with a job" else None
                before = job.progress.done if job else 0
                for model, call in measured.items():
                    outcome = fire(call, connections=CONNECTIONS, seconds=options.seconds)
                    if outcome.failures:
                        sys.exit(f"{outcome.failures} calls of {model} failed")
                    rates[model][state] = outcome.rate
                if job is not None:
                    rows.append(job.refresh().progress.done - before)
                    ended(job)
            for model, each in rates.items():
                ratios[model].append(each["with a job"] / each["alone"])
                print(f"{model}: {each['alone']:,.0f}/s alone, {each['with a job']:,.0f}/s with a job")
    print(f"rows of the job while the others were measured: {statistics.median(rows):,.0f}")
    for model, each in ratios.items():
        print(
            f"{model}: {statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f}) of its rate alone"
        )
    if any(statistics.median(each) < GOAL for each in ratios.values()):
        sys.exit(f"serving slows by more than {1 - GOAL:.0%}")


if __name__ == "__main__":
    main()
