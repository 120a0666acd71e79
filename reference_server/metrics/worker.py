"""What one worker counts, and what it tells of all of them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import InfoMetricFamily
from prometheus_client.exposition import choose_encoder

from reference_server.metrics.counts import Counts, ModelStatistics, Requests
from reference_server.metrics.exposition import families, gauges
from reference_server.metrics.shared import Slot
from reference_server.metrics.states import GaugeState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from reference_server.metrics.counts import ModelKey
    from reference_server.metrics.measured import Measured
    from reference_server.metrics.states import WorkerState
    from reference_server.runtime.load_counts import LoadCounts

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gauge:
    """What is read at the time of asking."""

    name: str
    meaning: str
    read: Callable[[], float]


class Metrics:
    """Everything that a worker counts.

    Args:
        gauges: What is true of this worker now.
        info: What this server is, by name.
        loads: Where the pool counts its loads.
        folder: Where several workers share their counts; None for one alone.
    """

    def __init__(
        self,
        gauges: Sequence[Gauge],
        info: Mapping[str, str],
        *,
        loads: LoadCounts | None = None,
        folder: Path | None = None,
    ) -> None:
        self._gauges = gauges
        self._info = dict(info)
        self._lock = threading.Lock()
        self._counts = Counts(loads)
        self._process = ProcessCollector(registry=None)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._slot = None if folder is None else Slot(folder)
        # It tells workers apart that run at the same time, and a worker's successor has the same.
        self.number = 0 if self._slot is None else self._slot.number
        if self._slot is not None and self._slot.inherited is not None:
            self._counts.absorb(self._slot.inherited)
        # Every request looks into these two.
        self._models = self._counts.models
        self._requests = self._counts.requests

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

    def publish(self) -> None:
        """Fold all that was appended, and tell the other workers; called once a second."""
        with self._lock:
            self._counts.fold()
            if self._slot is not None:
                self._write(self._slot, self._state())

    def take(self) -> dict[ModelKey, Measured]:
        """Return what was published since this was called last, to be stored."""
        return {key: taken for key, each in list(self._models.items()) if (taken := each.take()) is not None}

    def give_back(self, measured: Mapping[ModelKey, Measured]) -> None:
        """Take back what could not be stored; the next `take` returns it again."""
        for key, each in measured.items():
            self.model(key).give_back(each)

    def close(self) -> None:
        """Tell the other workers for the last time."""
        with self._lock:
            self._counts.fold()
            if self._slot is not None:
                self._write(self._slot, self._counts.state())
                self._slot.release()
                self._slot = None

    def statistics(self) -> dict[ModelKey, ModelStatistics]:
        """Return what all workers counted so far, by model, version and device."""
        return dict(self._together()[0].models)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return everything in Prometheus' text form or in OpenMetrics', and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus scrapes."""
        counts, workers = self._together()
        yield InfoMetricFamily("maas_server", "What this server is.", self._info)
        yield from gauges(workers)
        yield from families(counts)

    def _together(self) -> tuple[Counts, list[tuple[str | None, Sequence[GaugeState]]]]:
        """Return what all workers counted, and each living one's own values."""
        # Others must not tell less afterwards than this answer does: a counter never falls.
        self.publish()
        slot = self._slot
        if slot is None:
            return self._counts, [(None, self._own_values())]
        together = Counts()
        mine = self._state()
        together.absorb(mine)
        workers: list[tuple[str | None, Sequence[GaugeState]]] = [(str(slot.number), mine.gauges)]
        for number, state, lives in slot.others():
            together.absorb(state)
            if lives:
                workers.append((str(number), state.gauges))
        return together, workers

    def _state(self) -> WorkerState:
        return self._counts.state().model_copy(update={"gauges": self._own_values()})

    def _own_values(self) -> list[GaugeState]:
        own = [
            GaugeState(name=each.name, meaning=each.meaning, kind="gauge", value=float(each.read()))
            for each in self._gauges
        ]
        return own + [
            GaugeState(name=sample.name, meaning=family.documentation, kind=family.type, value=sample.value)
            for family in self._process.collect()
            for sample in family.samples
        ]

    def _write(self, slot: Slot, state: WorkerState) -> None:
        try:
            slot.write(state)
        except OSError as error:
            # Counting goes on; the next second may find the disk well again.
            _log.warning("other workers do not see this one's metrics: %s", error)
