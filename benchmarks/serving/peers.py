"""Other people's servers with our models, each as its own documentation serves one in one worker, all bare.

`make bench-peers` installs them into environments of their own under build/bench-peers; those that are not
there are left out.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import orjson
from contenders import HERE, Right, Server, free_port, running, wait_until
from graphs import example
from load import Call

from maas_client._tensors import tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from graphs import Array

ENVIRONMENTS = HERE.parents[1] / "build" / "bench-peers"
CODE = HERE / "peers"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Job:
    """What a peer is to serve, and how.

    Args:
        model: Its name among the benchmark's.
        file: Its graph.
        folder: Where the peer may write.
        rows: Up to how many it may batch; 1 for none.
        threads: Threads within one operator.
        expected: The right answer.
    """

    model: str
    file: Path
    folder: Path
    rows: int
    threads: int
    expected: Array

    @property
    def variables(self) -> dict[str, str]:
        """What the peers' models read."""
        return {
            "BENCH_MODEL": str(self.file),
            "BENCH_ROWS": str(self.rows),
            "BENCH_THREADS": str(self.threads),
        }


def installed() -> list[str]:
    """Return the peers that are installed."""
    return [name for name in PEERS if (ENVIRONMENTS / name / ".installed").exists()]


def version(name: str) -> str:
    """Return the version of a peer, as it was pinned."""
    pins = (CODE / f"{name}.txt").read_text(encoding="utf-8")
    return next(line.partition("==")[2] for line in pins.splitlines() if line.lower().startswith(f"{name}=="))


def serve(name: str, job: Job) -> AbstractContextManager[Server]:
    """Serve a model with a peer while the block lasts."""
    folder = job.folder / name
    folder.mkdir()
    return PEERS[name](job, folder, free_port())


@contextmanager
def _litserve(job: Job, folder: Path, port: int) -> Iterator[Server]:
    command = [_program("litserve", "python"), str(CODE / "serve_with_litserve.py"), str(job.file)]
    options = [str(port), str(job.rows), str(job.threads)]
    url = f"http://127.0.0.1:{port}"
    with running([*command, *options], log=folder / "log.txt", folder=folder) as process:
        wait_until(f"{url}/health", process)
        body = orjson.dumps(_lists(job.model))
        right = Right(job.expected, lambda reply: np.array(reply.json()["y"]))
        yield Server("LitServe", process.pid, Call(f"{url}/predict", body, JSON), right)


@contextmanager
def _mlserver(job: Job, folder: Path, port: int) -> Iterator[Server]:
    shutil.copy(CODE / "mlserver_runtime.py", folder)
    model = {"name": job.model, "implementation": "mlserver_runtime.OnnxRuntime"}
    if job.rows > 1:
        model |= {"max_batch_size": job.rows, "max_batch_time": 0.005}
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "settings.json").write_text(json.dumps(settings))
    url = f"http://127.0.0.1:{port}/v2/models/{job.model}"
    command = [_program("mlserver", "mlserver"), "start", "."]
    with running(command, env=job.variables, log=folder / "log.txt", folder=folder) as process:
        wait_until(f"{url}/ready", process)
        inputs = [
            {
                "name": name,
                "datatype": tensor_of(name, array).datatype,
                "shape": [1, *array.shape],
                "data": array.tolist(),
            }
            for name, array in example(job.model).items()
        ]
        right = Right(job.expected, lambda reply: np.array(reply.json()["outputs"][0]["data"]))
        call = Call(f"{url}/infer", orjson.dumps({"inputs": inputs}), JSON)
        yield Server("MLServer", process.pid, call, right)


@contextmanager
def _bentoml(job: Job, folder: Path, port: int) -> Iterator[Server]:
    path, given = ("predict", ("x",)) if job.model == "tiny" else ("encode", ("input_ids",))
    variables = {**job.variables, "BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [_program("bentoml", "bentoml"), "serve", "bentoml_service:Model", "--working-dir", str(CODE)]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running([*command, *address], env=variables, log=folder / "log.txt", folder=folder) as process:
        wait_until(f"{url}/readyz", process)
        rows = {name: [values] for name, values in _lists(job.model).items() if name in given}
        right = Right(job.expected, lambda reply: np.array(reply.json()))
        yield Server("BentoML", process.pid, Call(f"{url}/{path}", orjson.dumps(rows), JSON), right)


PEERS: dict[str, Callable[[Job, Path, int], AbstractContextManager[Server]]] = {
    "litserve": _litserve,
    "mlserver": _mlserver,
    "bentoml": _bentoml,
}


def _program(peer: str, name: str) -> str:
    return str(ENVIRONMENTS / peer / "bin" / name)


def _lists(model: str) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in example(model).items()}
