"""Real servers of others, each from its package in its own environment; `make test-peers` makes these."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / "build" / "peers"
MODELS = Path(__file__).parent / "models"
START_SECONDS = 90
TRITON_TYPES = {
    "BOOL": "BOOL",
    **{f"{sign}INT{bits}": f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"FP{bits}" for bits in (16, 32, 64)},
    "BYTES": "STRING",
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def mlserver(folder, port):
    shutil.copy(MODELS / "mlserver_doubler.py", folder)
    tensor = {"datatype": "FP32", "shape": [-1, 2]}
    model = {
        "name": "doubler",
        "implementation": "mlserver_doubler.Doubler",
        "parameters": {"version": "v1.2.0"},
        "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "x_twice", **tensor}],
    }
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
    return [ENVIRONMENTS / "mlserver" / "bin" / "mlserver", "start", "."], {}


def kserve(folder, port):
    # It has no option for its address: uvicorn's own default is taken out of its call.
    start = (
        "import runpy, uvicorn\n"
        "made = uvicorn.Config.__init__\n"
        "def on_loopback(self, *a, **k): made(self, *a, **{**k, 'host': '127.0.0.1'})\n"
        "uvicorn.Config.__init__ = on_loopback\n"
        f"runpy.run_path({str(MODELS / 'kserve_doubler.py')!r}, run_name='__main__')"
    )
    command = [ENVIRONMENTS / "kserve" / "bin" / "python", "-c", start, "--http_port", str(port)]
    return command, {}


def triton(folder, port):
    import_path = next((ENVIRONMENTS / "triton" / "lib").glob("python3.*/site-packages/pytriton"), None)
    if import_path is None:
        return [Path("missing")], {}
    home = import_path / "tritonserver"
    python = import_path.parents[1].name.removeprefix("python")
    stub = home / "backends" / "python" / "triton_python_backend_stub"
    if not stub.exists():
        shutil.copy(home / "python_backend_stubs" / python / stub.name, stub)
    for datatype, own in TRITON_TYPES.items():
        write_triton_model(folder, f"doubler_{datatype}", own, dims="-1")
    write_triton_model(folder, "doubler", "FP32", dims="2")
    options = {
        "--model-repository": folder,
        "--backend-directory": home / "backends",
        "--http-address": "127.0.0.1",
        "--http-port": port,
        "--allow-grpc": "false",
        "--allow-metrics": "false",
    }
    command = [home / "bin" / "tritonserver", *(str(part) for pair in options.items() for part in pair)]
    base = subprocess.check_output(
        [ENVIRONMENTS / "triton" / "bin" / "python", "-c", "import sys; print(sys.base_prefix)"], text=True
    ).strip()
    paths = {
        "LD_LIBRARY_PATH": f"{home / 'bin'}{os.pathsep}{base}/lib",
        "PATH": f"{ENVIRONMENTS / 'triton' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    return command, paths


def write_triton_model(folder, name, datatype, *, dims):
    place = folder / name / "1"
    place.mkdir(parents=True)
    shutil.copy(MODELS / "triton_doubler.py", place / "model.py")
    sides = "\n".join(
        f'{side} [{{ name: "{tensor}" data_type: TYPE_{datatype} dims: [ {dims} ] }}]'
        for side, tensor in (("input", "x"), ("output", "x_twice"))
    )
    place.with_name("config.pbtxt").write_text(f'backend: "python"\nmax_batch_size: 16\n{sides}\n')


PEERS = {"mlserver": mlserver, "kserve": kserve, "triton": triton}


@contextmanager
def running(name, folder):
    """Run a peer, and give its base URL."""
    port = free_port()
    command, environment = PEERS[name](folder, port)
    if not Path(command[0]).exists():
        pytest.skip(f"{name} is not installed in {ENVIRONMENTS}; `make test-peers` installs it")
    url = f"http://127.0.0.1:{port}"
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log
        )
        try:
            wait_until_ready(process, url, folder / "log.txt")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_ready(process, url, log):
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            if requests.get(f"{url}/v2/models/doubler/ready", timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="session", params=PEERS)
def peer(request, tmp_path_factory):
    """Give the name and the base URL of each peer in turn."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as url:
        yield request.param, url
