"""Counts requests and inference: appended at once, folded into histograms later.

A request only appends a tuple to a list; the lists are folded into histograms once a second or when somebody
asks, a thousand at a time. Observing four histograms and two counters of `prometheus_client` per request took
13 µs, a quarter of what such a request may cost.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from reference_server import sketches
from reference_server.metrics.measured import Measured
from reference_server.metrics.states import (
    HistogramState,
    LoadState,
    ModelState,
    RequestState,
    RunState,
    WorkerState,
)
from reference_server.runtime.load_counts import LoadCount, LoadCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Seconds: from what a tiny model takes to the longest that a prediction may.
BOUNDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
)
STAGES = ("queue", "decode", "compute", "encode")
_EDGES = np.array(BOUNDS)
_MOST_UNFOLDED = 20_000
_TOTAL, _ROWS, _SHARED = len(STAGES), len(STAGES) + 1, len(STAGES) + 2

ItemT = TypeVar("ItemT")

# What inference is counted by: the exact name, `account~name`, the version, the device.
ModelKey: TypeAlias = tuple[str, int, str]
RequestKey: TypeAlias = tuple[str, str, int]


class Histogram:
    """Counts by bucket, and the sum."""

    def __init__(self) -> None:
        self.counts = np.zeros(len(BOUNDS) + 1, np.int64)
        self.sum = 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Count values, in seconds."""
        self.counts += np.bincount(np.searchsorted(_EDGES, values), minlength=len(BOUNDS) + 1)
        self.sum += float(values.sum())

    @property
    def count(self) -> int:
        """How many values there were."""
        return int(self.counts.sum())

    def in_nanoseconds(self) -> dict[str, int]:
        """Return count and sum as Triton has them."""
        return {"count": self.count, "ns": round(self.sum * 1e9)}

    def state(self) -> HistogramState:
        """Return it as it is written to a file."""
        return HistogramState(counts=self.counts.tolist(), sum=self.sum)

    def absorb(self, state: HistogramState) -> None:
        """Add what another worker counted."""
        self.counts += np.array(state.counts, np.int64)
        self.sum += state.sum


class ModelStatistics:
    """What one version did on one device since the worker started."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float, float, float, float, int, int]] = []
        self.failures: list[float] = []
        # Who asked: the account and the rows of each call that was answered, the account of each that failed.
        self.answered: list[tuple[str, int]] = []
        self.failed_for: list[str] = []
        # The same of evaluations: they are usage, and their times are no measure of a prediction's.
        self.evaluated: list[tuple[str, int]] = []
        self.evaluations_failed_for: list[str] = []
        # Explanations that were answered: what each took in seconds, and the rows that it ran.
        self.explained: list[tuple[float, int]] = []
        self.explanations = Histogram()
        self.explanation_rows = 0
        self.stages = [Histogram() for _ in (*STAGES, "total")]
        self.failed = Histogram()
        self.rows = 0
        self.runs: dict[int, tuple[int, float]] = {}
        self.last_inference = 0.0
        # Of many models few are called in any second; only these are described anew for the others to read.
        self._state: ModelState | None = None
        self._unstored = Measured()
        self._folding = threading.Lock()

    def succeeded(
        self, *, queue: float, decode: float, compute: float, encode: float, rows: int, shared_rows: int
    ) -> None:
        """Count an answered call; times in seconds. `shared_rows` is 0 where another call counted the run."""
        self.samples.append(
            (queue, decode, compute, encode, queue + decode + compute + encode, rows, shared_rows)
        )
        if len(self.samples) > _MOST_UNFOLDED:
            self.fold()

    def fold(self) -> None:
        """Fold what was appended into the histograms."""
        with self._folding:
            self._fold()

    def take(self) -> Measured | None:
        """Return what was folded since this was called last, to be stored; None if there is nothing."""
        with self._folding:
            if not self._unstored:
                return None
            taken, self._unstored = self._unstored, Measured()
            return taken

    def give_back(self, measured: Measured) -> None:
        """Take back what could not be stored."""
        with self._folding:
            self._unstored.absorb(measured)

    def _fold(self) -> None:
        samples, failures = _emptied(self.samples), _emptied(self.failures)
        answered, failed_for = _emptied(self.answered), _emptied(self.failed_for)
        self._unstored.count(answered, failed_for)
        if self.evaluated or self.evaluations_failed_for:
            self._unstored.count_evaluations(_emptied(self.evaluated), _emptied(self.evaluations_failed_for))
        if failures:
            self.failed.add(np.array(failures))
        if samples:
            self._fold_samples(np.array(samples, np.float64))
        if self.explained:
            self._fold_explained(np.array(_emptied(self.explained), np.float64))
        if samples or failures:
            self._state = None

    def _fold_explained(self, table: NDArray[np.float64]) -> None:
        self.explanations.add(table[:, 0])
        self.explanation_rows += int(table[:, 1].sum())
        self._state = None

    def _fold_samples(self, table: NDArray[np.float64]) -> None:
        for stage, histogram in enumerate(self.stages):
            histogram.add(table[:, stage])
        self.rows += int(table[:, _ROWS].sum())
        self._unstored.latencies.update(_sketched(table[:, _TOTAL]))
        self._unstored.run_seconds += float(table[table[:, _SHARED] > 0, STAGES.index("compute")].sum())
        self.last_inference = time.time()
        sizes = table[:, _SHARED].astype(np.int64)
        for size in np.unique(sizes[sizes > 0]).tolist():
            count, seconds = self.runs.get(size, (0, 0.0))
            these = sizes == size
            self.runs[size] = (
                count + int(these.sum()),
                seconds + float(table[these, STAGES.index("compute")].sum()),
            )

    def state(self, key: ModelKey) -> ModelState:
        """Return it as it is written to a file."""
        if self._state is None:
            self._state = self._described(key)
        return self._state

    def _described(self, key: ModelKey) -> ModelState:
        model, version, device = key
        return ModelState(
            model=model,
            version=version,
            device=device,
            stages=[stage.state() for stage in self.stages],
            failed=self.failed.state(),
            rows=self.rows,
            runs=[
                RunState(rows=size, runs=count, seconds=seconds)
                for size, (count, seconds) in self.runs.items()
            ],
            last_inference=self.last_inference,
            explanations=self.explanations.state() if self.explanation_rows else None,
            explanation_rows=self.explanation_rows,
        )

    def absorb(self, state: ModelState) -> None:
        """Add what another worker counted."""
        self._state = None
        for stage, other in zip(self.stages, state.stages, strict=True):
            stage.absorb(other)
        self.failed.absorb(state.failed)
        if state.explanations is not None:
            self.explanations.absorb(state.explanations)
        self.explanation_rows += state.explanation_rows
        self.rows += state.rows
        self.last_inference = max(self.last_inference, state.last_inference)
        for each in state.runs:
            count, seconds = self.runs.get(each.rows, (0, 0.0))
            self.runs[each.rows] = (count + each.runs, seconds + each.seconds)

    def in_triton_form(self, name: str, version: int) -> dict[str, Any]:
        """Return the statistics extension's object for a model; times in nanoseconds, cumulative."""
        queue, decode, compute, encode, total = (stage.in_nanoseconds() for stage in self.stages)
        return {
            "name": name,
            "version": str(version),
            "last_inference": round(self.last_inference * 1000),
            "inference_count": self.rows,
            "execution_count": sum(count for count, _ in self.runs.values()),
            "inference_stats": {
                "success": total,
                "fail": self.failed.in_nanoseconds(),
                "queue": queue,
                "compute_input": decode,
                "compute_infer": compute,
                "compute_output": encode,
                "cache_hit": {"count": 0, "ns": 0},
                "cache_miss": {"count": 0, "ns": 0},
            },
            "batch_stats": [
                {
                    "batch_size": size,
                    "compute_input": {"count": 0, "ns": 0},
                    "compute_infer": {"count": count, "ns": round(seconds * 1e9)},
                    "compute_output": {"count": 0, "ns": 0},
                }
                for size, (count, seconds) in sorted(self.runs.items())
            ],
        }


def _emptied(appended: list[ItemT]) -> list[ItemT]:
    """Take out what a list holds; who found the list a moment ago and appends to it loses nothing."""
    taken = appended[:]
    del appended[: len(taken)]
    return taken


def _sketched(seconds: NDArray[np.float64]) -> dict[int, int]:
    logarithms = np.log(np.maximum(seconds, sketches.SHORTEST))
    buckets, counts = np.unique(np.ceil(logarithms / sketches.LOG_GAMMA).astype(np.int64), return_counts=True)
    return dict(zip(buckets.tolist(), counts.tolist(), strict=True))


class Requests:
    """The requests of one route, method and status."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.histogram = Histogram()

    def fold(self) -> None:
        """Fold what was appended into the histogram."""
        seconds = _emptied(self.seconds)
        if seconds:
            self.histogram.add(np.array(seconds))


class Counts:
    """Everything that is counted, by one worker or by several together."""

    def __init__(self, loads: LoadCounts | None = None) -> None:
        self.models: dict[ModelKey, ModelStatistics] = {}
        self.requests: dict[RequestKey, Requests] = {}
        self.loads = LoadCounts() if loads is None else loads

    def fold(self) -> None:
        """Fold all that was appended."""
        for statistics in list(self.models.values()):
            statistics.fold()
        for requests in list(self.requests.values()):
            requests.fold()

    def state(self) -> WorkerState:
        """Return what was folded as it is written to a file."""
        return WorkerState(
            bounds=[float(bound) for bound in BOUNDS],
            requests=[
                RequestState(method=method, route=route, status=status, seconds=each.histogram.state())
                for (method, route, status), each in list(self.requests.items())
            ],
            models=[statistics.state(key) for key, statistics in list(self.models.items())],
            loads=[
                LoadState(
                    model=model,
                    version=version,
                    device=device,
                    loads=count.loads,
                    seconds=count.seconds,
                    failures=count.failures,
                    evictions=count.evictions,
                )
                for (model, version, device), count in self.loads.now().items()
            ],
        )

    def absorb(self, state: WorkerState) -> None:
        """Add what another worker counted."""
        for each in state.requests:
            self.requests.setdefault((each.method, each.route, each.status), Requests()).histogram.absorb(
                each.seconds
            )
        for model in state.models:
            self.models.setdefault((model.model, model.version, model.device), ModelStatistics()).absorb(
                model
            )
        for load in state.loads:
            count = LoadCount(load.loads, load.seconds, load.failures, load.evictions)
            self.loads.add((load.model, load.version, load.device), count)


def can_be_added(state: WorkerState) -> bool:
    """Tell whether a state counts in the buckets and stages of this release."""
    histograms = [
        *(each.seconds for each in state.requests),
        *(stage for model in state.models for stage in (*model.stages, model.failed)),
        *(model.explanations for model in state.models if model.explanations is not None),
    ]
    return (
        state.bounds == [float(bound) for bound in BOUNDS]
        and all(len(each.counts) == len(BOUNDS) + 1 for each in histograms)
        and all(len(model.stages) == len(STAGES) + 1 for model in state.models)
    )
