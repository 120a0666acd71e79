"""Tries a package out in a child process with limits, before it is published.

Loading a graph is enough to do harm: 146 bytes can ask for gigabytes, and a damaged graph may crash native
code. The child reads the package, loads it, runs the manifest's example and writes what it found as JSON
(`probe_child.py`); whatever befalls it, the server goes on.
"""

from __future__ import annotations

import json
import logging
import signal
import tempfile
import zipfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from maas_client.types import TaskSignature, TensorSignature
from reference_server.errors import Unavailable, Unprocessable
from reference_server.runtime.probe_limits import MAX_LOG_BYTES, Limits
from reference_server.runtime.probe_processes import AnswerTooLong, Busy, Ended, run
from reference_server.security.streams import SealedTemporary

if TYPE_CHECKING:
    from maas_client._package import Package

logger = logging.getLogger(__name__)

_CHUNK = 2**20


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
    # The child gets the package sealed and the key beside it: so it lies on no disk in clear.
    with SealedTemporary() as source, tempfile.TemporaryFile() as log:
        _store(package, source)
        try:
            ended = run(source.sealed(), source.key, log, Limits(seconds, memory_bytes))
        except Busy:
            raise Unavailable(
                "another package is being tried; repeat the upload", code="busy", retry_after=5
            ) from None
        except TimeoutError:
            raise _too_slow(seconds) from None
        except AnswerTooLong:
            raise _too_talkative() from None
        answer = _answer(ended, log, seconds)
    if error := answer.get("error"):
        raise Unprocessable(error["message"], code=error["code"], param=error["param"])
    return Inspection(
        TaskSignature.model_validate(answer["signature"]),
        TensorSignature.model_validate(answer["tensors"]),
        bool(answer["batch_invariant"]),
    )


def _store(package: Package, target: SealedTemporary) -> None:
    """Write a package as an uncompressed zip: it is read back once, on this machine."""
    with zipfile.ZipFile(cast("IO[bytes]", target), "w") as archive:
        for name in package.sizes:
            with package.open(name) as source, archive.open(name, "w", force_zip64=True) as out:
                while chunk := source.read(_CHUNK):
                    out.write(chunk)


def _answer(ended: Ended, log: IO[bytes], seconds: float) -> dict[str, Any]:
    if ended.status == 0:
        answer: dict[str, Any] = json.loads(ended.output)
        return answer
    if ended.status > 0:
        log.seek(0)
        logger.error("the probe itself failed: %s", log.read(MAX_LOG_BYTES).decode(errors="replace"))
        raise RuntimeError(f"the probe ended with status {ended.status} and no answer; its log says why")
    name = signal.Signals(-ended.status).name
    if name in ("SIGALRM", "SIGXCPU", "SIGKILL"):
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


def _too_talkative() -> Unprocessable:
    return Unprocessable(
        "the package's signature is longer than any call needs; give its inputs and outputs shorter names "
        "and descriptions",
        code="model_rejected",
    )
