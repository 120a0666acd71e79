"""Keeps loaded models in memory, within a budget, and loads each but once."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from maas_client._package import GRAPH
from maas_client.errors import PackageError
from reference_server.errors import ServiceError, Unavailable
from reference_server.runtime.sessions import OnnxRunner
from reference_server.runtime.tasks import build_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from maas_client._package import Package
    from reference_server.runtime.execution_providers import ExecutionProvider
    from reference_server.runtime.runner import Runner
    from reference_server.runtime.tasks import Task

    OpenPackage: TypeAlias = Callable[[], AbstractContextManager[Package]]

logger = logging.getLogger(__name__)

# A session holds the weights once, prepacked copies of some, and an arena for activations.
_BYTES_PER_PACKAGE_BYTE = 2
# An empty session takes 0.16 MB; with its first arena chunk and the task, about this.
_BYTES_PER_MODEL = 2**20
_WARM_UP_RUNS = 5
_WARM_UP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory.

    Args:
        task: Decodes, predicts, encodes.
        runner: What computes; tells the device.
        compute_ms: The median time of `predict` on the manifest's example, warm.
        memory_bytes: What it counts in the budget.
    """

    task: Task
    runner: Runner
    compute_ms: float
    memory_bytes: int


class ModelPool:
    """Loaded models by digest, the least recently used dropped first.

    A dropped model is not closed: whoever still runs it holds it, and its memory is freed after the last of
    them. So the budget may be exceeded for as long as such a run lasts.

    Args:
        provider: What runs the models.
        memory_budget_bytes: What loaded models may take together, each counted as twice its package.
        threads: Threads within one operator.
        wait_seconds: How long a caller waits while another loads the same model.
        failure_seconds: For how long a failed load is not tried again.
    """

    def __init__(
        self,
        *,
        provider: ExecutionProvider,
        memory_budget_bytes: int,
        threads: int = 1,
        wait_seconds: float = 10.0,
        failure_seconds: float = 1.0,
    ) -> None:
        self._provider = provider
        self._budget = memory_budget_bytes
        self._threads = threads
        self._wait_seconds = wait_seconds
        self._failure_seconds = failure_seconds
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading: dict[str, Future[LoadedModel]] = {}
        self._failures: dict[str, tuple[float, Unavailable]] = {}
        self._closed = False

    def get(self, digest: str, open_package: OpenPackage) -> LoadedModel:
        """Return a loaded model, loading it first if need be.

        Args:
            digest: The package's content digest.
            open_package: Opens the package; called by one caller at a time for each digest.

        Raises:
            Unavailable: Code `model_loading` while another caller loads it, `model_unavailable` when it
                cannot be loaded, `model_too_large` when it exceeds the whole budget.
        """
        with self._lock:
            if (model := self._loaded.get(digest)) is not None:
                self._loaded.move_to_end(digest)
                return model
            self._check_open()
            self._check_failures(digest)
            future = self._loading.get(digest)
            if mine := future is None:
                future = self._loading[digest] = Future()
        return self._load_for_all(digest, open_package, future) if mine else self._wait(future)

    def close(self) -> None:
        """Drop every model and take no more calls; runs under way finish."""
        with self._lock:
            self._closed = True
            self._loaded.clear()
            self._failures.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(
                "the server is shutting down; repeat the call elsewhere or later", retry_after=1
            )

    def _check_failures(self, digest: str) -> None:
        now = time.monotonic()
        for key in [key for key, (until, _) in self._failures.items() if until <= now]:
            del self._failures[key]
        if digest in self._failures:
            raise _again(self._failures[digest][1])

    def _wait(self, future: Future[LoadedModel]) -> LoadedModel:
        try:
            return future.result(self._wait_seconds)
        except TimeoutError:
            raise Unavailable(
                "the model is being loaded; repeat the call", code="model_loading", retry_after=1
            ) from None
        except Unavailable as failure:
            raise _again(failure) from failure

    def _load_for_all(
        self, digest: str, open_package: OpenPackage, future: Future[LoadedModel]
    ) -> LoadedModel:
        failure = Unavailable(
            "the model failed to load; repeat the call", code="model_unavailable", retry_after=1
        )
        try:
            model = self._load(open_package)
        except (ServiceError, PackageError) as error:
            failure = _failure(error)
            raise failure from error
        else:
            self._keep(digest, model)
            future.set_result(model)
            return model
        finally:
            if not future.done():
                self._remember(digest, failure)
                future.set_exception(failure)
            with self._lock:
                del self._loading[digest]

    def _load(self, open_package: OpenPackage) -> LoadedModel:
        with open_package() as package:
            memory_bytes = estimate_memory(package)
            if memory_bytes > self._budget:
                raise Unavailable(
                    f"the model takes about {memory_bytes:,} bytes, more than the server's whole budget of "
                    f"{self._budget:,}; its operator can raise memory_budget_bytes",
                    code="model_too_large",
                    should_retry=False,
                )
            runner = OnnxRunner(package.read(GRAPH), provider=self._provider, threads=self._threads)
            task = build_task(package, runner)
            return LoadedModel(task, runner, warm_up(package, task), memory_bytes)

    def _keep(self, digest: str, model: LoadedModel) -> None:
        with self._lock:
            if self._closed:
                return
            self._loaded[digest] = model
            taken = sum(kept.memory_bytes for kept in self._loaded.values())
            while taken > self._budget:
                dropped, victim = self._loaded.popitem(last=False)
                taken -= victim.memory_bytes
                logger.info("dropped the model %s from memory to stay within the budget", dropped)

    def _remember(self, digest: str, failure: Unavailable) -> None:
        with self._lock:
            self._failures[digest] = (time.monotonic() + self._failure_seconds, failure)


def estimate_memory(package: Package) -> int:
    """Return roughly what a loaded package takes, in bytes."""
    return _BYTES_PER_PACKAGE_BYTE * sum(package.sizes.values()) + _BYTES_PER_MODEL


def warm_up(package: Package, task: Task) -> float:
    """Run a package's example a few times and return the median time of the warm runs in milliseconds."""
    batch = task.decode([package.manifest.example], {}, single=True)
    task.encode(task.predict(batch))
    times: list[float] = []
    while len(times) < _WARM_UP_RUNS and sum(times) < _WARM_UP_SECONDS:
        started = time.perf_counter()
        task.predict(batch)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def _failure(error: ServiceError | PackageError) -> Unavailable:
    if isinstance(error, Unavailable):
        return error
    return Unavailable(f"the model cannot be loaded: {error}", code="model_unavailable", should_retry=False)


def _again(failure: Unavailable) -> Unavailable:
    """Return a failure anew: one exception raised in many threads would collect all their tracebacks."""
    return Unavailable(
        failure.message,
        code=failure.code,
        retry_after=failure.retry_after,
        should_retry=failure.should_retry,
    )
