"""Keeps loaded models in memory, within a budget, and loads each but once."""

from __future__ import annotations

import logging
import sys
import threading
import time
import weakref
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
from cachetools import TTLCache

from maas_client._package import GRAPH
from maas_client.errors import PackageError
from reference_server.errors import ServiceError, Unavailable
from reference_server.runtime.load_counts import LoadCounts
from reference_server.runtime.memory import give_back_memory
from reference_server.runtime.run_times import depends_on_values
from reference_server.runtime.runner import ExecutionProviderError
from reference_server.runtime.tasks import Batch, build_task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from maas_client._package import Package
    from reference_server.runtime.execution_providers import ExecutionProvider
    from reference_server.runtime.load_counts import PublishedAs
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
# What handing work to a thread and back costs under load, several times over (docs/performance.md).
_QUICK_MS = 0.3
# Two, so that a large model does not hold up a small one; each may take the memory of its model twice.
_LOADERS = 2
# For the states that the API shows; a load itself is tried again sooner.
_REASON_SECONDS = 300.0
_MOST_REASONS = 1000
# A model is told to be going before its memory is free, so the last time is one too many or just right.
_TRIMS = 2


class State(StrEnum):
    """Where a model is on its way into memory."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model in memory.

    Args:
        task: Decodes, predicts, encodes.
        runner: What computes; tells the device.
        decode_ms: The least time of `decode` on the manifest's example.
        compute_ms: That of `predict`, warm.
        memory_bytes: What it counts in the budget.
        example_bytes: The length of the manifest's example as JSON.
        lanes: How many of its runs there may be at a time.
        most_shared_rows: The most rows of a run that calls share; 1 where each runs by itself.
        wait_seconds: How long a run waits for company.
        published_as: What its loads and evictions are counted by.
        is_predictable: Whether the size of an input tells how long it takes; else no run is a quick one.
        quick_bytes: Calls of bodies shorter than this run in less time than handing them to a thread and back
            takes under load; the example's time is scaled with the size, as more rows take longer.
        quickly_decoded_bytes: The longest JSON bodies that an event loop may decode in passing.
    """

    task: Task
    runner: Runner
    decode_ms: float
    compute_ms: float
    memory_bytes: int
    example_bytes: int
    lanes: int = 1
    most_shared_rows: int = 1
    wait_seconds: float = 0.0
    published_as: PublishedAs = ("", 0)
    is_predictable: bool = True
    quick_bytes: float = field(init=False)
    quickly_decoded_bytes: float = field(init=False)

    def __post_init__(self) -> None:
        """Decide what every call asks."""
        may_be_quick = self.most_shared_rows == 1 and self.runner.device == "cpu" and self.is_predictable
        quick = self._bytes_in_passing(self.compute_ms) if may_be_quick else 0.0
        object.__setattr__(self, "quick_bytes", quick if self.compute_ms < _QUICK_MS else 0.0)
        object.__setattr__(self, "quickly_decoded_bytes", self._bytes_in_passing(self.decode_ms))

    def _bytes_in_passing(self, example_ms: float) -> float:
        """Return the length of the bodies that take what a loop may spend on one of them."""
        return self.example_bytes * _QUICK_MS / max(example_ms, sys.float_info.epsilon)


@dataclass(frozen=True, slots=True)
class Loadable:
    """What the pool is asked for.

    Args:
        digest: The package's content digest, by which it is kept.
        open_package: Opens the package; called by one caller at a time for each digest.
        batch_invariant: What was measured at publish; None when it was not.
        overrides: The operator's own serving options for this model.
        published_as: What its loads and evictions are counted by.
    """

    digest: str
    open_package: OpenPackage
    batch_invariant: bool | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    published_as: PublishedAs = ("", 0)


class ModelPool:
    """Loaded models by digest, the least recently used dropped first.

    A dropped model is not closed: whoever still runs it holds it, and its memory is freed after the last of
    them. So the budget may be exceeded for as long as such a run lasts.

    Args:
        providers: What runs the models, by the manifest's name for it; `auto` for those that name none.
        memory_budget_bytes: What loaded models may take together, each counted as twice its package.
        lanes: Runs of one model at a time, where neither manifest nor operator says otherwise.
        threads: Threads within one operator, likewise.
        wait_seconds: How long a caller waits while another loads the same model.
        failure_seconds: For how long a failed load is not tried again.

    Attributes:
        counts: How often models were loaded, failed to load, or had to give way.
    """

    def __init__(
        self,
        *,
        providers: Callable[[str], ExecutionProvider],
        memory_budget_bytes: int,
        lanes: int = 1,
        threads: int = 1,
        wait_seconds: float = 10.0,
        failure_seconds: float = 1.0,
    ) -> None:
        # Now and not in a loader's thread, where what it keeps would hold the memory of the first model.
        import reference_server.runtime.sessions  # noqa: F401

        self._providers = providers
        self._budget = memory_budget_bytes
        self._lanes = lanes
        self._threads = threads
        self.wait_seconds = wait_seconds
        self._failure_seconds = failure_seconds
        self.counts = LoadCounts()
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading: dict[str, Future[LoadedModel]] = {}
        self._failures: dict[str, tuple[float, Unavailable]] = {}
        self._reasons: TTLCache[str, str] = TTLCache(_MOST_REASONS, _REASON_SECONDS)
        self._loaders = ThreadPoolExecutor(_LOADERS, thread_name_prefix="loader")
        self._closed = False
        self._trims_left = 0

    def provider(self, wanted: str) -> ExecutionProvider:
        """Return what runs a model that wants `cpu`, `cuda` or `auto`.

        Raises:
            ExecutionProviderError: CUDA is wanted, and does not work.
        """
        return self._providers(wanted)

    def find(self, digest: str) -> LoadedModel | None:
        """Return a model that is in memory, and count it as used."""
        with self._lock:
            if (model := self._loaded.get(digest)) is not None:
                self._loaded.move_to_end(digest)
            return model

    def load(self, wanted: Loadable) -> Future[LoadedModel]:
        """Return what will be the loaded model; loaded once, however many ask.

        Raises:
            Unavailable: It failed to load a moment ago, or the pool is closed.
        """
        with self._lock:
            self._check_open()
            digest = wanted.digest
            if (model := self._loaded.get(digest)) is not None:
                self._loaded.move_to_end(digest)
                done: Future[LoadedModel] = Future()
                done.set_result(model)
                return done
            self._check_failures(digest)
            if (future := self._loading.get(digest)) is None:
                future = self._loading[digest] = Future()
                self._loaders.submit(self._load_for_all, wanted, future)
            return future

    def get(self, wanted: Loadable) -> LoadedModel:
        """Return a loaded model, waiting while it is loaded.

        Raises:
            Unavailable: Code `model_loading` when that takes long, `model_unavailable` when it cannot be
                loaded, `model_too_large` when it exceeds the whole budget.
        """
        return self.find(wanted.digest) or self._wait(self.load(wanted))

    def state(self, digest: str) -> tuple[State, str]:
        """Return where a model is, and why it failed where it did."""
        with self._lock:
            if digest in self._loaded:
                return State.READY, ""
            if digest in self._loading:
                return State.LOADING, ""
            if (reason := self._reasons.get(digest)) is not None:
                return State.FAILED, reason
            return State.UNLOADED, ""

    def drop(self, digest: str) -> bool:
        """Drop a model from memory; runs under way finish. Return whether it was there."""
        with self._lock:
            self._failures.pop(digest, None)
            self._reasons.pop(digest, None)
            return self._loaded.pop(digest, None) is not None

    def tidy(self) -> None:
        """Give the memory of models that have gone back to the system; to be called about once a second."""
        if self._trims_left:
            self._trims_left -= 1
            give_back_memory()

    @property
    def digests(self) -> set[str]:
        """What is in memory, by content digest."""
        with self._lock:
            return set(self._loaded)

    @property
    def memory(self) -> tuple[int, int, int]:
        """How many models are loaded, the bytes that they count, and the budget in bytes."""
        with self._lock:
            taken = sum(model.memory_bytes for model in self._loaded.values())
            return len(self._loaded), taken, self._budget

    @property
    def loading(self) -> int:
        """How many models are being loaded or wait for that."""
        with self._lock:
            return len(self._loading)

    def close(self) -> None:
        """Drop every model and take no more calls; runs under way finish."""
        with self._lock:
            self._closed = True
            self._loaded.clear()
            self._failures.clear()
        self._loaders.shutdown()

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
            raise again(self._failures[digest][1])

    def _wait(self, future: Future[LoadedModel]) -> LoadedModel:
        try:
            return future.result(self.wait_seconds)
        except TimeoutError:
            raise still_loading() from None
        except Unavailable as failure:
            raise again(failure) from failure

    def _load_for_all(self, wanted: Loadable, future: Future[LoadedModel]) -> None:
        failure = Unavailable(
            "the model failed to load; repeat the call", code="model_unavailable", retry_after=1
        )
        began = time.monotonic()
        try:
            model = self._load(wanted)
        except (ServiceError, PackageError, ExecutionProviderError) as error:
            failure = _failure(error)
            logger.warning("the model %s cannot be loaded: %s", wanted.digest, error)
        except Exception:  # whatever it was, those who wait are told and the next call may try
            logger.exception("the model %s failed to load", wanted.digest)
        else:
            self.counts.loaded(wanted.published_as, model.runner.device, time.monotonic() - began)
            self._keep(wanted.digest, model)
            future.set_result(model)
            return
        self.counts.failed(wanted.published_as)
        self._remember(wanted.digest, failure)
        future.set_exception(failure)

    def _load(self, wanted: Loadable) -> LoadedModel:
        # With it comes ONNX Runtime, and with that a thread, before which processes are forked (`loaded.py`).
        from reference_server.runtime.sessions import OnnxRunner

        with wanted.open_package() as package:
            memory_bytes = estimate_memory(package)
            if memory_bytes > self._budget:
                raise Unavailable(
                    f"the model takes about {memory_bytes:,} bytes, more than the server's whole budget of "
                    f"{self._budget:,}; its operator can raise memory_budget_bytes",
                    code="model_too_large",
                    should_retry=False,
                )
            serving = package.manifest.serving.model_copy(update=dict(wanted.overrides))
            graph = package.read(GRAPH)
            runner = OnnxRunner(
                graph,
                provider=self._providers(serving.provider or "auto"),
                threads=serving.intra_op_threads or self._threads,
                batch_invariant=wanted.batch_invariant,
            )
            weakref.finalize(runner, self._gone).atexit = False
            task = build_task(package, runner)
            shared = serving.max_batch_rows if serving.batching and runner.batch_invariant else 1
            decode_ms, compute_ms = warm_up(package, task, most_rows=shared)
            return LoadedModel(
                task,
                runner,
                decode_ms,
                compute_ms,
                memory_bytes,
                len(orjson.dumps(package.manifest.example)),
                lanes=serving.lanes or self._lanes,
                most_shared_rows=shared,
                wait_seconds=serving.max_wait_ms / 1000 if shared > 1 else 0.0,
                published_as=wanted.published_as,
                # Only of quick models is it asked, and those are small.
                is_predictable=compute_ms >= _QUICK_MS or not depends_on_values(graph),
            )

    def _gone(self) -> None:
        self._trims_left = _TRIMS

    def _keep(self, digest: str, model: LoadedModel) -> None:
        with self._lock:
            del self._loading[digest]
            self._reasons.pop(digest, None)
            if self._closed:
                return
            self._loaded[digest] = model
            taken = sum(kept.memory_bytes for kept in self._loaded.values())
            while taken > self._budget:
                dropped, victim = self._loaded.popitem(last=False)
                taken -= victim.memory_bytes
                self.counts.evicted(victim.published_as, victim.runner.device)
                logger.info("dropped the model %s from memory to stay within the budget", dropped)

    def _remember(self, digest: str, failure: Unavailable) -> None:
        with self._lock:
            del self._loading[digest]
            self._reasons[digest] = failure.message
            self._failures[digest] = (time.monotonic() + self._failure_seconds, failure)


def estimate_memory(package: Package) -> int:
    """Return roughly what a loaded package takes, in bytes."""
    return _BYTES_PER_PACKAGE_BYTE * sum(package.sizes.values()) + _BYTES_PER_MODEL


def warm_up(package: Package, task: Task, *, most_rows: int = 1) -> tuple[float, float]:
    """Run a package's example a few times, also at the sizes that shared runs will have.

    Returns:
        The least times of `decode` and of `predict` on one instance, warm, in milliseconds: on a busy machine
        those tell a quick model from others.
    """
    example = package.manifest.example
    batch = task.decode([example], {}, single=True)
    task.encode(task.predict(batch))
    if batch.shape is not None:
        rows = 2
        while rows <= most_rows:
            task.predict(Batch.joined([batch] * rows))
            rows *= 2
    return _least_ms(lambda: task.decode([example], {})), _least_ms(lambda: task.predict(batch))


def still_loading() -> Unavailable:
    """Return the failure of a call that waited for its model long enough."""
    return Unavailable("the model is being loaded; repeat the call", code="model_loading", retry_after=1)


def model_unloaded() -> Unavailable:
    """Return the failure of a call to a model that its owner keeps out of memory."""
    return Unavailable(
        "the model is unloaded; its owner can load it with POST /v2/repository/models/{model}/load",
        code="model_unloaded",
        should_retry=False,
    )


def again(failure: Unavailable) -> Unavailable:
    """Return a failure anew: one exception raised in many threads would collect all their tracebacks."""
    return Unavailable(
        failure.message,
        code=failure.code,
        retry_after=failure.retry_after,
        should_retry=failure.should_retry,
    )


def _least_ms(act: Callable[[], object]) -> float:
    times: list[float] = []
    while len(times) < _WARM_UP_RUNS and sum(times) < _WARM_UP_SECONDS:
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return min(times) * 1000


def _failure(error: Exception) -> Unavailable:
    if isinstance(error, Unavailable):
        return error
    return Unavailable(f"the model cannot be loaded: {error}", code="model_unavailable", should_retry=False)
