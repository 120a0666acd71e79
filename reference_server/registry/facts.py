"""What the catalogue sorts and filters by, repeated in each model's row: whoever changes it says so here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select

from reference_server.registry import performance
from reference_server.registry.search import fold
from reference_server.registry.tables import AliasRow, ModelRow, VersionRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import JsonValue
    from sqlalchemy.orm import Session

_ACCURACY = "accuracy"
_TABLES = ("tabular-classification", "tabular-regression")
# Texts have words and pictures regions; what the numbers of other tasks mean nobody says.
_PARTED = ("text-classification", "embedding", "image-classification")
_DEFAULT = (
    select(AliasRow.version)
    .where(AliasRow.model_id == bindparam("model"), AliasRow.name == "default")
    .scalar_subquery()
)
_NEWEST = select(func.max(VersionRow.number)).where(VersionRow.model_id == bindparam("model"))
# The version that the catalogue shows: the one behind `default`, or else the newest.
_LISTED = select(VersionRow).where(
    VersionRow.model_id == bindparam("model"),
    VersionRow.number == func.coalesce(_DEFAULT, _NEWEST.scalar_subquery()),
)


def refresh(session: Session, model_id: str) -> None:
    """Bring a model's row up to date after a change to its versions or to its alias `default`."""
    session.flush()
    row = session.get_one(ModelRow, model_id)
    version = session.scalar(_LISTED, {"model": model_id})
    if version is None:
        _clear(row)
        return
    manifest, tags = version.manifest, version.manifest["tags"]
    row.listed_version, row.task, row.size = version.number, version.task, version.size
    row.license = fold(str(manifest["license"]))
    row.accuracy = _accuracy(version)
    row.tags = "".join(f"\n{fold(str(tag))}\n" for tag in tags) if isinstance(tags, list) else ""
    row.search = f"{fold(row.name)}\n{version.search}"
    refresh_latency(session, row)


def refresh_latency(session: Session, row: ModelRow) -> None:
    """Bring the latency up to date that a model's listed version was measured with."""
    measured = [] if row.listed_version is None else performance.of(session, row.id, row.listed_version)
    row.latency_ms = min((each.p50_ms for each in measured if each.p50_ms is not None), default=None)


def metrics_of(
    manifest: Mapping[str, JsonValue], measured: Iterable[Mapping[str, JsonValue]] | None
) -> list[Mapping[str, JsonValue]]:
    """Return what is known of a version's quality.

    What its owner measured goes first, and in the place of what the package says of the same.
    """
    said = manifest["metrics"]
    own = list(measured or ())
    known = {_subject(metric) for metric in own}
    packed = [metric for metric in said if isinstance(metric, dict)] if isinstance(said, list) else []
    return [*own, *(metric for metric in packed if _subject(metric) not in known)]


def is_explainable(task: str, manifest: Mapping[str, JsonValue]) -> bool:
    """Tell whether an explanation can take parts of an instance away: a row's columns need a background."""
    if task in _TABLES:
        preprocessing = manifest.get("preprocessing")
        return isinstance(preprocessing, dict) and preprocessing.get("background") is not None
    return task in _PARTED


def _subject(metric: Mapping[str, JsonValue]) -> tuple[JsonValue, ...]:
    return tuple(metric.get(name) for name in ("name", "dataset", "split"))


def _clear(row: ModelRow) -> None:
    row.listed_version = row.task = row.license = row.accuracy = row.latency_ms = row.size = None
    row.tags, row.search = "", fold(row.name)


def _accuracy(version: VersionRow) -> float | None:
    for metric in metrics_of(version.manifest, version.measured_metrics):
        if str(metric["name"]).lower() == _ACCURACY:
            value = metric["value"]
            # What is no fraction would stand above all that are.
            return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None
    return None
