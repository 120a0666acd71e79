"""What tries a package out, in a process of its own.

Loading what a trial needs costs a second of processor time, a trial some hundredths. So on Linux one process
loads it and forks a child for each trial, which takes its limits on itself; elsewhere each trial is a process
that loads it anew.

The package comes sealed; its key comes with the message, or in a variable of the environment.

Usage: probe_child.py SECONDS BYTES (one trial, from standard input to standard output)
       probe_child.py SOCKET (a trial for each message on that descriptor, until its other end is closed)
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from maas_client._package import GRAPH, MAX_PACKAGE_BYTES, open_package
from maas_client.errors import PackageError
from reference_server.errors import ServiceError, Unprocessable
from reference_server.runtime.probe_limits import Limits
from reference_server.security.encryption import DataKey
from reference_server.security.streams import SealedTemporary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_client._package import Package

READY = b"ready"
KEY_VARIABLE = "MAAS_PROBE_KEY"
# Seconds, bytes, and 32 bytes in hexadecimal.
MESSAGE_BYTES = 128
_STANDARD_FILES = 3


def main() -> None:
    """Try one package, or all that come."""
    if len(sys.argv) == 2:  # noqa: PLR2004 - a socket's descriptor
        _serve(socket.socket(fileno=int(sys.argv[1])))
    else:
        seconds, memory_bytes = sys.argv[1:]
        _try_one(seconds, memory_bytes, os.environ.pop(KEY_VARIABLE))


def inspect(memory_bytes: int, key: DataKey) -> dict[str, object]:
    """Return what the sealed package on standard input is, or an `error` for its publisher."""
    try:
        with (
            os.fdopen(0, "rb", closefd=False) as sealed,
            SealedTemporary.open(sealed, key) as source,
            open_package(source, max_bytes=MAX_PACKAGE_BYTES) as package,
        ):
            return _try_out(package)
    except (ServiceError, PackageError) as error:
        code = error.code or "invalid_package"
        return {"error": {"message": str(error), "code": code, "param": error.param}}
    except MemoryError:
        message = (
            f"loading the graph and running its example needs more than {memory_bytes:,} bytes of memory"
        )
        return {"error": {"message": message, "code": "model_rejected", "param": None}}


def _serve(control: socket.socket) -> None:
    # All but ONNX Runtime, which starts a thread, and a fork does not take threads along; it loads in 30 ms.
    from reference_server.runtime import batch_invariance, graph_rules, tasks  # noqa: F401 - loaded for all

    # Nothing here is garbage; a collector that marks it would copy every page in every child.
    gc.freeze()
    control.sendall(READY)
    while True:
        message, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES, _STANDARD_FILES)
        if not message:
            return
        child = os.fork()
        if child == 0:
            control.close()
            _be_the_child(message.decode().split(), files)
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        control.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _be_the_child(arguments: Sequence[str], files: Sequence[int]) -> NoReturn:
    status = 1
    try:
        for standard, file in enumerate(files):
            os.dup2(file, standard)
            os.close(file)
        _try_one(*arguments)
        status = 0
    except BaseException:  # noqa: BLE001 - what it is stands in the log, and nothing of the parent's may run
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _try_one(seconds: str, memory_bytes: str, key: str) -> None:
    limits = Limits(int(seconds), int(memory_bytes))
    limits.impose()
    if hasattr(signal, "alarm"):
        # Whoever waits for this process may be gone before it.
        signal.alarm(limits.whole_seconds)
    # Native code that prints must not spoil the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with answer:
        json.dump(inspect(limits.memory_bytes, DataKey(bytes.fromhex(key))), answer)


def _try_out(package: Package) -> dict[str, object]:
    from reference_server.runtime.batch_invariance import Recorder, is_invariant
    from reference_server.runtime.execution_providers import CPU
    from reference_server.runtime.sessions import OnnxRunner
    from reference_server.runtime.tasks import build_task

    runner = Recorder(OnnxRunner(package.read(GRAPH), provider=CPU))
    task = build_task(package, runner)
    try:
        batch = task.decode([package.manifest.example], {}, single=True)
        task.encode(task.predict(batch))
    except ServiceError as error:
        raise Unprocessable(
            f"the manifest's example does not run: {error.message}", code="model_rejected", param="example"
        ) from error
    return {
        "signature": task.signature.model_dump(mode="json"),
        "tensors": runner.tensors.model_dump(mode="json"),
        "batch_invariant": is_invariant(runner, runner.inputs),
    }


if __name__ == "__main__":
    main()
