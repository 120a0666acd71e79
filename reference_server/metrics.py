"""Counts what was asked and how long each part took: for Prometheus, and in Triton's cumulative form.

A request only appends a tuple to a list; the lists are folded into histograms once a second or when somebody
asks, a thousand at a time. Observing four histograms and two counters of `prometheus_client` per request took
13 µs, a quarter of what such a request may cost.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray
    from prometheus_client.metrics_core import Metric

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


# What inference is counted by: the exact name, `account~name`, the version, the device.
ModelKey: TypeAlias = tuple[str, int, str]


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

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative buckets as Prometheus has them."""
        return [
            (str(bound), float(count))
            for bound, count in zip((*BOUNDS, "+Inf"), self.counts.cumsum().tolist(), strict=True)
        ]

    def in_nanoseconds(self) -> dict[str, int]:
        """Return count and sum as Triton has them."""
        return {"count": self.count, "ns": round(self.sum * 1e9)}


class ModelStatistics:
    """What one version did on one device since the worker started."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float, float, float, float, int, int]] = []
        self.failures: list[float] = []
        self.stages = [Histogram() for _ in (*STAGES, "total")]
        self.failed = Histogram()
        self.rows = 0
        self.runs: dict[int, tuple[int, float]] = {}
        self.last_inference = 0.0

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
        samples, self.samples = self.samples, []
        failures, self.failures = self.failures, []
        if failures:
            self.failed.add(np.array(failures))
        if not samples:
            return
        table = np.array(samples, np.float64)
        for stage, histogram in enumerate(self.stages):
            histogram.add(table[:, stage])
        self.rows += int(table[:, _ROWS].sum())
        self.last_inference = time.time()
        sizes = table[:, _SHARED].astype(np.int64)
        for size in np.unique(sizes[sizes > 0]).tolist():
            count, seconds = self.runs.get(size, (0, 0.0))
            these = sizes == size
            self.runs[size] = (
                count + int(these.sum()),
                seconds + float(table[these, STAGES.index("compute")].sum()),
            )

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


class Requests:
    """The requests of one route, method and status."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.histogram = Histogram()

    def fold(self) -> None:
        """Fold what was appended into the histogram."""
        seconds, self.seconds = self.seconds, []
        if seconds:
            self.histogram.add(np.array(seconds))


class Metrics:
    """Everything that a worker counts.

    Args:
        gauges: What is read at the time of asking: a value by name, and what it means.
        info: What this server is, by name.
    """

    def __init__(
        self, gauges: Mapping[str, tuple[str, Callable[[], float]]], info: Mapping[str, str]
    ) -> None:
        self._gauges = gauges
        self._info = dict(info)
        self._lock = threading.Lock()
        self._models: dict[ModelKey, ModelStatistics] = {}
        self._requests: dict[tuple[str, str, int], Requests] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def model(self, key: ModelKey) -> ModelStatistics:
        """Return what is counted for a version on a device."""
        found = self._models.get(key)
        return found if found is not None else self._models.setdefault(key, ModelStatistics())

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request of any kind."""
        key = (method, route, status)
        found = self._requests.get(key)
        if found is None:
            found = self._requests.setdefault(key, Requests())
        found.seconds.append(seconds)

    def fold(self) -> None:
        """Fold all that was appended; called once a second."""
        with self._lock:
            for statistics in list(self._models.values()):
                statistics.fold()
            for requests in list(self._requests.values()):
                requests.fold()

    def statistics(self) -> dict[ModelKey, ModelStatistics]:
        """Return what was counted so far, by model, version and device."""
        self.fold()
        return dict(self._models)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return everything in Prometheus' text form or in OpenMetrics', and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus scrapes."""
        self.fold()
        yield InfoMetricFamily("maas_server", "What this server is.", self._info)
        for name, (meaning, read) in self._gauges.items():
            yield GaugeMetricFamily(name, meaning, read())
        yield self._collect_requests()
        yield from _collect_models(list(self._models.items()))

    def _collect_requests(self) -> Metric:
        labels = ["method", "route", "status"]
        family = HistogramMetricFamily(
            "maas_request_duration_seconds", "From a whole request to its answer.", labels=labels
        )
        for (method, route, status), requests in list(self._requests.items()):
            histogram = requests.histogram
            family.add_metric([method, route, str(status)], histogram.buckets(), histogram.sum)
        return family


def _collect_models(models: Iterable[tuple[ModelKey, ModelStatistics]]) -> Iterator[Metric]:
    labels = ["model", "version", "device"]
    rows = CounterMetricFamily("maas_inference_rows", "Instances predicted.", labels=labels)
    failed = CounterMetricFamily("maas_inference_failures", "Calls that failed.", labels=labels)
    runs = CounterMetricFamily("maas_runs", "Runs of the model, by their rows.", labels=[*labels, "rows"])
    stages = HistogramMetricFamily(
        "maas_inference_duration_seconds", "What a call spent in each stage.", labels=[*labels, "stage"]
    )
    for (model, version, device), statistics in models:
        values = [model, str(version), device]
        rows.add_metric(values, statistics.rows)
        failed.add_metric(values, statistics.failed.count)
        for size, (count, _) in sorted(statistics.runs.items()):
            runs.add_metric([*values, str(size)], count)
        for stage, histogram in zip(STAGES, statistics.stages, strict=False):
            stages.add_metric([*values, stage], histogram.buckets(), histogram.sum)
    yield from (rows, failed, runs, stages)
