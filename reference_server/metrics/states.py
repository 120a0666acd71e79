"""What a worker counted, as it stands in a file that other workers read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _State(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HistogramState(_State):
    """How many values were in each bucket, not cumulated, and their sum."""

    counts: list[int]
    sum: float


class RequestState(_State):
    """The requests of one route, method and status."""

    method: str
    route: str
    status: int
    seconds: HistogramState


class RunState(_State):
    """The runs that had so many rows, and the seconds that they took."""

    rows: int
    runs: int
    seconds: float


class ModelState(_State):
    """What one version did on one device; of explanations nothing where there were none."""

    model: str
    version: int
    device: str
    stages: list[HistogramState]
    failed: HistogramState
    rows: int
    runs: list[RunState]
    last_inference: float
    explanations: HistogramState | None = None
    explanation_rows: int = 0


class LoadState(_State):
    """What loading one version onto one device took; the device is empty where a load failed."""

    model: str
    version: int
    device: str
    loads: int
    seconds: float
    failures: int
    evictions: int


class GaugeState(_State):
    """A value as it was when the file was written.

    Args:
        kind: The family's type in Prometheus; the time that a process has used is a `counter`.
    """

    name: str
    meaning: str
    kind: str
    value: float


class WorkerState(_State):
    """Everything that one worker tells.

    Args:
        bounds: The upper bounds of the buckets, in seconds; files of other bounds cannot be added.
        gauges: What holds for this worker alone, as long as it lives.
    """

    bounds: list[float]
    requests: list[RequestState] = Field(default_factory=list)
    models: list[ModelState] = Field(default_factory=list)
    loads: list[LoadState] = Field(default_factory=list)
    gauges: list[GaugeState] = Field(default_factory=list)
