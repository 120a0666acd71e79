"""What versions were measured to do on each device, by all workers of this server."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select

from maas_client.types import Performance
from reference_server import sketches
from reference_server.registry.tables import VersionPerformanceRow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from reference_server.metrics import Measured


def of(session: Session, model_id: str, version: int) -> list[Performance]:
    """Return what one version was measured to do, the quickest device first."""
    return of_models(session, {model_id: version})[model_id]


def of_models(session: Session, listed: Mapping[str, int | None]) -> dict[str, list[Performance]]:
    """Return what one version of each model was measured to do, the quickest device first.

    Args:
        session: A session of the registry.
        listed: The version by the model's id.
    """
    measured: dict[str, list[Performance]] = {model_id: [] for model_id in listed}
    for row in _rows(session, listed):
        if row.version == listed[row.model_id]:
            measured[row.model_id].append(_to_performance(row))
    return {model_id: sorted(each, key=_quickest) for model_id, each in measured.items()}


def of_versions(session: Session, model_id: str) -> dict[int, list[Performance]]:
    """Return what every version of a model was measured to do, by its number."""
    measured: dict[int, list[Performance]] = {}
    for row in _rows(session, [model_id]):
        measured.setdefault(row.version, []).append(_to_performance(row))
    return {version: sorted(each, key=_quickest) for version, each in measured.items()}


def add(session: Session, model_id: str, version: int, device: str, more: Measured, *, at: datetime) -> None:
    """Add what was measured lately."""
    row = session.get(VersionPerformanceRow, (model_id, version, device))
    if row is None:
        row = VersionPerformanceRow(model_id=model_id, version=version, device=device, since=at)
        row.calls = row.rows = row.failures = 0
        row.run_seconds, row.latencies = 0.0, {}
        session.add(row)
    total = more.total
    row.calls += total.calls
    row.rows += total.rows
    row.failures += total.failures
    row.run_seconds += more.run_seconds
    counts = more.latencies + _sketch(row)
    row.latencies = {str(bucket): count for bucket, count in sorted(counts.items())}
    row.updated_at = at


def _rows(session: Session, model_ids: Collection[str]) -> list[VersionPerformanceRow]:
    statement = select(VersionPerformanceRow).where(VersionPerformanceRow.model_id.in_(model_ids))
    return list(session.scalars(statement))


def _sketch(row: VersionPerformanceRow) -> Counter[int]:
    return Counter({int(bucket): int(str(count)) for bucket, count in row.latencies.items()})


def _to_performance(row: VersionPerformanceRow) -> Performance:
    counts = _sketch(row)
    return Performance(
        device=row.device,
        calls=row.calls,
        rows=row.rows,
        failures=row.failures,
        p50_ms=_milliseconds(counts, 0.5),
        p95_ms=_milliseconds(counts, 0.95),
        rows_per_second=round(row.rows / row.run_seconds, 1) if row.run_seconds else None,
        since=row.since,
        updated_at=row.updated_at,
    )


def _milliseconds(counts: Mapping[int, int], fraction: float) -> float | None:
    return round(sketches.quantile(counts, fraction) * 1000, 4) if counts else None


def _quickest(performance: Performance) -> tuple[bool, float, str]:
    p50 = performance.p50_ms
    return p50 is None, p50 or 0.0, performance.device
