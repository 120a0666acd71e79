"""Shows counts as the families that Prometheus scrapes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)

from reference_server.metrics.counts import BOUNDS, STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from reference_server.metrics.counts import (
        Counts,
        Histogram,
        ModelKey,
        ModelStatistics,
        RequestKey,
        Requests,
    )
    from reference_server.metrics.states import GaugeState
    from reference_server.runtime.load_counts import LoadCount, LoadKey

# Rows of a run: a label for each number would let callers make as many series as they like.
_ROW_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_LABELS = ("model", "version", "device")


def families(counts: Counts) -> Iterator[Metric]:
    """Yield what was counted."""
    yield _requests(counts.requests)
    yield from _models(list(counts.models.items()))
    yield from _loads(counts.loads.now())


def gauges(workers: Iterable[tuple[str | None, Sequence[GaugeState]]]) -> Iterator[Metric]:
    """Yield each worker's own values.

    Args:
        workers: The value of the label `worker`, or None where there is but one and needs no such label.
    """
    found: dict[str, Metric] = {}
    for worker, states in workers:
        labels = {} if worker is None else {"worker": worker}
        for state in states:
            family = found.setdefault(state.name, _family(state, [*labels]))
            family.add_sample(state.name, labels, state.value)
    yield from found.values()


def _family(state: GaugeState, labels: Sequence[str]) -> Metric:
    if state.kind == "counter":
        return CounterMetricFamily(state.name, state.meaning, labels=labels)
    return GaugeMetricFamily(state.name, state.meaning, labels=labels)


def _requests(requests: Mapping[RequestKey, Requests]) -> Metric:
    labels = ["method", "route", "status"]
    family = HistogramMetricFamily(
        "maas_request_duration_seconds", "From a whole request to its answer.", labels=labels
    )
    for (method, route, status), each in list(requests.items()):
        histogram = each.histogram
        family.add_metric([method, route, str(status)], _buckets(histogram), histogram.sum)
    return family


def _models(models: Iterable[tuple[ModelKey, ModelStatistics]]) -> Iterator[Metric]:
    rows = CounterMetricFamily("maas_inference_rows", "Instances predicted.", labels=_LABELS)
    failed = CounterMetricFamily("maas_inference_failures", "Calls that failed.", labels=_LABELS)
    runs = HistogramMetricFamily("maas_run_rows", "Rows of each run of a model.", labels=_LABELS)
    stages = HistogramMetricFamily(
        "maas_inference_duration_seconds", "What a call spent in each stage.", labels=[*_LABELS, "stage"]
    )
    explanations = HistogramMetricFamily(
        "maas_explanation_duration_seconds", "What an explanation took, from its first run.", labels=_LABELS
    )
    explained = CounterMetricFamily("maas_explanations", "Explanations answered.", labels=_LABELS)
    evaluations = CounterMetricFamily(
        "maas_explanation_evaluations", "Rows that explanations ran.", labels=_LABELS
    )
    for (model, version, device), statistics in models:
        values = [model, str(version), device]
        rows.add_metric(values, statistics.rows)
        failed.add_metric(values, statistics.failed.count)
        runs.add_metric(values, *_rows_of_runs({size: count for size, (count, _) in statistics.runs.items()}))
        for stage, histogram in zip(STAGES, statistics.stages, strict=False):
            stages.add_metric([*values, stage], _buckets(histogram), histogram.sum)
        if statistics.explanation_rows:
            took = statistics.explanations
            explanations.add_metric(values, _buckets(took), took.sum)
            explained.add_metric(values, took.count)
            evaluations.add_metric(values, statistics.explanation_rows)
    yield from (rows, failed, runs, stages, explanations, explained, evaluations)


def _loads(loads: Mapping[LoadKey, LoadCount]) -> Iterator[Metric]:
    seconds = SummaryMetricFamily(
        "maas_model_load_duration_seconds", "Loads of models into memory.", labels=_LABELS
    )
    failures = CounterMetricFamily(
        "maas_model_load_failures", "Loads that failed.", labels=["model", "version"]
    )
    evictions = CounterMetricFamily(
        "maas_model_evictions", "Models dropped to stay within the memory budget.", labels=_LABELS
    )
    for (model, version, device), count in loads.items():
        values = [model, str(version), device]
        if count.loads:
            seconds.add_metric(values, count.loads, count.seconds)
            evictions.add_metric(values, count.evictions)
        if count.failures:
            failures.add_metric(values[:2], count.failures)
    yield from (seconds, failures, evictions)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    return [
        (str(bound), float(count))
        for bound, count in zip((*BOUNDS, "+Inf"), histogram.counts.cumsum().tolist(), strict=True)
    ]


def _rows_of_runs(runs: Mapping[int, int]) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulative buckets of runs by their rows, and the rows of all."""
    bounds = (*_ROW_BOUNDS, float("inf"))
    counts = [
        sum(count for rows, count in runs.items() if low < rows <= high)
        for low, high in itertools.pairwise((0, *bounds))
    ]
    names = (*map(str, _ROW_BOUNDS), "+Inf")
    buckets = [(name, float(total)) for name, total in zip(names, itertools.accumulate(counts), strict=True)]
    return buckets, float(sum(rows * count for rows, count in runs.items()))
