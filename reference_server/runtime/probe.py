"""Tries a package out in a child process with limits, before it is published.

Loading a graph is enough to do harm: 146 bytes can ask for gigabytes, and a damaged graph may crash native
code. The child reads the package from its standard input, loads it, runs the manifest's example and writes
what it found as JSON; whatever befalls it, the server goes on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from maas_client._package import GRAPH, MAX_PACKAGE_BYTES, open_package
from maas_client.errors import PackageError
from maas_client.types import TaskSignature, TensorSignature
from reference_server.errors import ServiceError, Unavailable, Unprocessable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client._package import Package

logger = logging.getLogger(__name__)

_CHUNK = 2**20
_MAX_LOG_BYTES = 2**16
# One at a time: two would take twice the memory that the operator was told of.
_ONE_AT_A_TIME = threading.Lock()

# The child gets no other variable, and so no secret. One thread each, as every thread reserves address space.
_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a trial run found out about a package."""

    signature: TaskSignature
    tensors: TensorSignature
    batch_invariant: bool = True


def probe(package: Package, *, seconds: float = 60, memory_bytes: int = 4 * 2**30) -> Inspection:
    """Load a package in a child process and run its example.

    Args:
        package: An open package.
        seconds: The most that it may take, on the wall clock.
        memory_bytes: The most address space that the child may have (limited on Linux only).

    Raises:
        Unprocessable: Mostly with code `model_rejected`: the package cannot serve; the message tells why.
        Unavailable: Another package is being tried, and was for all of `seconds`.
    """
    if not _ONE_AT_A_TIME.acquire(timeout=seconds):
        raise Unavailable("another package is being tried; repeat the upload", code="busy", retry_after=5)
    try:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as log:
            _store(package, source)
            answer = _run_child(source, log, seconds, memory_bytes)
    finally:
        _ONE_AT_A_TIME.release()
    if error := answer.get("error"):
        raise Unprocessable(error["message"], code=error["code"], param=error["param"])
    return Inspection(
        TaskSignature.model_validate(answer["signature"]),
        TensorSignature.model_validate(answer["tensors"]),
        bool(answer["batch_invariant"]),
    )


def _store(package: Package, target: IO[bytes]) -> None:
    """Write a package as an uncompressed zip: it is read back once, on this machine."""
    with zipfile.ZipFile(target, "w") as archive:
        for name in package.sizes:
            with package.open(name) as source, archive.open(name, "w", force_zip64=True) as out:
                while chunk := source.read(_CHUNK):
                    out.write(chunk)
    target.seek(0)


def _run_child(source: IO[bytes], log: IO[bytes], seconds: float, memory_bytes: int) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", __name__, str(math.ceil(seconds)), str(memory_bytes)]
    process = subprocess.Popen(  # noqa: S603 - this very module, with two numbers
        command,
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=log,
        env=_environment(),
        start_new_session=True,
    )
    with _ended(process):
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise _too_slow(seconds) from None
    return _answer(process.returncode, output, log, seconds)


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave no process behind: not the child, not what it may have started, no zombie, no open pipe."""
    with process:
        try:
            yield
        finally:
            if process.returncode is None:
                _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if os.name != "posix":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _answer(status: int, output: bytes, log: IO[bytes], seconds: float) -> dict[str, Any]:
    if status == 0:
        answer: dict[str, Any] = json.loads(output)
        return answer
    if status > 0:
        log.seek(0)
        logger.error("the probe itself failed: %s", log.read(_MAX_LOG_BYTES).decode(errors="replace"))
        raise RuntimeError(f"the probe ended with status {status} and no answer; its log says why")
    name = signal.Signals(-status).name
    if name in ("SIGXCPU", "SIGKILL"):
        raise _too_slow(seconds)
    raise Unprocessable(
        f"loading the graph and running its example crashed the runtime ({name}); check it with "
        "onnx.checker.check_model and run it locally, and that it needs no more memory than a server has",
        code="model_rejected",
    )


def _too_slow(seconds: float) -> Unprocessable:
    return Unprocessable(
        f"loading the graph and running its example took longer than the {seconds:g} s allowed",
        code="model_rejected",
    )


# --- in the child ---------------------------------------------------------------------------------------


def main() -> None:
    """Inspect the package on standard input within limits (seconds, bytes) and write the answer as JSON."""
    seconds, memory_bytes = (int(argument) for argument in sys.argv[1:])
    _limit(seconds, memory_bytes)
    # Native code that prints must not spoil the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with answer:
        json.dump(_inspect(memory_bytes), answer)


def _limit(seconds: int, memory_bytes: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: _MAX_LOG_BYTES,
    }
    if sys.platform != "darwin":  # whose kernel refuses to limit address space
        limits[resource.RLIMIT_AS] = memory_bytes
    for kind, limit in limits.items():
        _, most = resource.getrlimit(kind)
        bound = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (bound, bound))


def _inspect(memory_bytes: int) -> dict[str, object]:
    try:
        with (
            os.fdopen(0, "rb", closefd=False) as source,
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
