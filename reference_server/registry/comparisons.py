"""What live traffic says of versions, of all workers: sums that are added to, and what is read from them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from maas_client import _intervals
from maas_client.types import Comparison, ShadowComparison, VersionTraffic
from reference_server.errors import ServiceError, Unprocessable
from reference_server.registry import names, versions
from reference_server.registry.tables import ModelRow, TrafficComparisonRow, TrafficCountRow
from reference_server.runtime.traffic_sums import PairSums, VersionSums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from maas_client.types import ComparisonQuery
    from reference_server.registry.database import Database
    from reference_server.runtime.traffic_sums import PairKey, TrafficSums, VersionKey
    from reference_server.security.callers import Caller

SumsT = TypeVar("SumsT", VersionSums, PairSums)

# With fewer, an interval of a rate is wider than any rule could use.
_FEW = 100


def flush(db: Database, sums: TrafficSums) -> None:
    """Add what a worker saw to the store; what cannot be stored now is kept for the next time."""
    counts, pairs = sums.take()
    if not counts and not pairs:
        return
    try:
        _add(db, counts, pairs)
    except (SQLAlchemyError, ServiceError):
        sums.put_back(counts, pairs)
        raise


def check(db: Database, caller: Caller, model: str) -> None:
    """Refuse early who may not read comparisons of a model.

    Raises:
        NotFound: When the model is not there.
        Forbidden: With code `not_owner` or `missing_role`.
    """
    with db.read() as session:
        names.allowed(session, caller, model, names.PUBLISHER)


def read(db: Database, caller: Caller, model: str, query: ComparisonQuery) -> Comparison:
    """Compare two versions of a model by its live traffic; for its publishers.

    Raises:
        NotFound: When the model or a version is not there.
        Forbidden: With code `not_owner` or `missing_role`.
        Unprocessable: With code `same_version`.
    """
    with db.read() as session:
        found = names.allowed(session, caller, model, names.PUBLISHER)
        model_id = found.row.id
        for number in (query.a, query.b):
            versions.select_number(session, model_id, str(number))
        if query.a == query.b:
            raise Unprocessable(
                f"a and b are both version {query.a}; give two versions", code="same_version", param="b"
            )
        a, b = (_counted(session, model_id, number, query.since) for number in (query.a, query.b))
        shadow = _shadowed(session, model_id, query)
    ratio = _intervals.ratio_of_means(
        (a.log_sum, a.log_squares, a.timed), (b.log_sum, b.log_squares, b.timed)
    )
    return Comparison(
        model=found.reached_as,
        a=query.a,
        b=query.b,
        since=query.since,
        shadow=None if shadow is None else _shadow(shadow),
        served_a=_served(query.a, a),
        served_b=_served(query.b, b),
        latency_ratio=ratio,
        caveats=_caveats(query, shadow, a, b),
    )


def _add(db: Database, counts: Mapping[VersionKey, VersionSums], pairs: Mapping[PairKey, PairSums]) -> None:
    with db.write() as session:
        wanted = {key[0] for key in (*counts, *pairs)}
        # A model may have been deleted since it was called.
        known = set(session.scalars(select(ModelRow.id).where(ModelRow.id.in_(wanted))))
        for key, sums in counts.items():
            if key[0] in known:
                _add_counts(session, key, sums)
        for pair, both in pairs.items():
            if pair[0] in known:
                _add_pair(session, pair, both)


def _add_counts(session: Session, key: VersionKey, sums: VersionSums) -> None:
    row = session.get(TrafficCountRow, key)
    if row is None:
        model_id, revision, version = key
        session.add(TrafficCountRow(model_id=model_id, revision=revision, version=version, **asdict(sums)))
        return
    _write(row, sums)


def _add_pair(session: Session, key: PairKey, sums: PairSums) -> None:
    row = session.get(TrafficComparisonRow, key)
    if row is None:
        model_id, revision, a, b = key
        session.add(TrafficComparisonRow(model_id=model_id, revision=revision, a=a, b=b, **asdict(sums)))
        return
    _write(row, sums)


def _write(row: TrafficCountRow | TrafficComparisonRow, sums: VersionSums | PairSums) -> None:
    """Add sums to a row: the newest are added to what was there."""
    if isinstance(sums, PairSums):
        there = _sums(PairSums, row)
        there.add(sums)
        _store(row, there)
    else:
        counted = _sums(VersionSums, row)
        counted.add(sums)
        _store(row, counted)


def _store(row: object, sums: VersionSums | PairSums) -> None:
    for name, value in asdict(sums).items():
        setattr(row, name, value)


def _sums(kind: type[SumsT], row: object) -> SumsT:
    return kind(**{name: getattr(row, name) for name in asdict(kind())})


def _counted(session: Session, model_id: str, version: int, since: int) -> VersionSums:
    total = VersionSums()
    statement = select(TrafficCountRow).where(
        TrafficCountRow.model_id == model_id,
        TrafficCountRow.version == version,
        TrafficCountRow.revision >= since,
    )
    for row in session.scalars(statement):
        total.add(_sums(VersionSums, row))
    return total


def _shadowed(session: Session, model_id: str, query: ComparisonQuery) -> PairSums | None:
    statement = (
        select(TrafficComparisonRow)
        .where(
            TrafficComparisonRow.model_id == model_id,
            TrafficComparisonRow.a == query.a,
            TrafficComparisonRow.b == query.b,
            TrafficComparisonRow.revision >= query.since,
        )
        .order_by(TrafficComparisonRow.revision)
    )
    rows = list(session.scalars(statement))
    if not rows:
        return None
    total = PairSums()
    for row in rows:
        total.add(_sums(PairSums, row))
    return total


def _served(version: int, sums: VersionSums) -> VersionTraffic:
    latency = _intervals.geometric_mean(sums.log_sum, sums.log_squares, sums.timed)
    return VersionTraffic(
        version=version,
        calls=sums.calls,
        error_rate=_intervals.rate(sums.errors, sums.calls),
        latency_ms=None if latency is None else _intervals.scaled(latency, 1000),
    )


def _shadow(sums: PairSums) -> ShadowComparison:
    return ShadowComparison(
        calls=sums.calls,
        dropped=sums.dropped,
        rows=sums.rows,
        measure=sums.measure,
        agreement=_intervals.rate(sums.agreed, sums.rows),
        difference=_intervals.mean(sums.difference_sum, sums.difference_squares, sums.rows),
        largest_difference=sums.difference_max if sums.rows else None,
        latency_ratio=_intervals.geometric_mean(sums.log_sum, sums.log_squares, sums.timed),
        error_rate_a=_intervals.rate(sums.errors_a, sums.calls),
        error_rate_b=_intervals.rate(sums.errors_b, sums.calls),
    )


def _caveats(query: ComparisonQuery, shadow: PairSums | None, a: VersionSums, b: VersionSums) -> list[str]:
    told = [
        f"version {version} served {sums.calls:,} calls of its own; with fewer than {_FEW} its rates and "
        "latency say little"
        for version, sums in ((query.a, a), (query.b, b))
        if sums.calls < _FEW
    ]
    if shadow is None:
        told.append(
            f"version {query.b} got no copies of version {query.a}'s calls, so nothing tells whether they "
            "agree; make it a shadow"
        )
    elif shadow.calls < _FEW:
        told.append(f"{shadow.calls:,} copies were compared; with fewer than {_FEW} agreement says little")
    elif not shadow.rows and shadow.calls > max(shadow.errors_a, shadow.errors_b):
        told.append("the two versions' answers cannot be compared: their outputs have other names or shapes")
    return told
