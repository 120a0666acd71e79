"""Which versions served unversioned calls at a time: read from what aliases and traffic remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from maas_client.types import Served, ServedShare
from reference_server.errors import NotFound, Unprocessable
from reference_server.registry import names, versions
from reference_server.registry.tables import (
    AccountRow,
    AliasChangeRow,
    ModelEventRow,
    TrafficChangeRow,
    VersionRow,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

_ALIAS_MOVED = "alias_moved"


@dataclass(frozen=True, slots=True)
class _Cause:
    """The change that put something in force."""

    at: datetime
    kind: str
    account_id: str
    note: str


def at(db: Database, caller: Caller, model: str, moment: datetime | None) -> Served:
    """Return which versions served the calls that named none, and the change that had made it so.

    Args:
        db: The store.
        caller: Who asks.
        model: The model's name.
        moment: When, aware; now when None.

    Raises:
        NotFound: When the model is not there, or with code `not_served_yet` before its first version.
        Unprocessable: With code `future_time`.
    """
    now = db.clock()
    moment = moment or now
    if moment > now:
        raise Unprocessable(
            f"{moment.isoformat()} has not come yet, here it is {now.isoformat()}; ask about the past",
            code="future_time",
            param="at",
        )
    with db.read() as session:
        return _served(session, names.visible(session, caller, model).row.id, moment)


def _served(session: Session, model_id: str, moment: datetime) -> Served:
    moved = _default_at(session, model_id, moment)
    if moved is None:
        raise NotFound(
            f"no version served at {moment.isoformat()}: the model had none yet; GET …/versions tells since "
            "when it has",
            code="not_served_yet",
            param="at",
        )
    change, ended = _traffic_at(session, model_id, moment)
    shares = {moved.to_version: 1.0}
    cause = _Cause(moved.moved_at, _ALIAS_MOVED, moved.moved_by, moved.note)
    if change is not None and change.splits:
        total = sum(split["weight"] for split in change.splits)
        shares = {int(split["version"]): split["weight"] / total for split in change.splits}
    # A promotion is a move and the end of a split at once, and is told as what it was.
    if ended is not None and ended.changed_at >= moved.moved_at:
        cause = _Cause(ended.changed_at, ended.kind, ended.changed_by, ended.note)
    return Served(
        at=moment,
        versions=_with_digests(session, model_id, shares),
        shadows=[] if change is None else change.shadows,
        since=cause.at,
        kind=cause.kind,
        by=session.get_one(AccountRow, cause.account_id).name,
        note=cause.note,
    )


def _default_at(session: Session, model_id: str, moment: datetime) -> AliasChangeRow | None:
    return session.scalar(
        select(AliasChangeRow)
        .where(
            AliasChangeRow.model_id == model_id,
            AliasChangeRow.alias == versions.DEFAULT,
            AliasChangeRow.moved_at <= moment,
        )
        .order_by(AliasChangeRow.revision.desc())
        .limit(1)
    )


def _traffic_at(
    session: Session, model_id: str, moment: datetime
) -> tuple[TrafficChangeRow | None, TrafficChangeRow | None]:
    """Return the traffic at a time, and the change that made the split what it was; None where none ever did.

    Changes of shadows and notes alone come after that one.
    """
    rows = session.scalars(
        select(TrafficChangeRow)
        .where(TrafficChangeRow.model_id == model_id, TrafficChangeRow.changed_at <= moment)
        .order_by(TrafficChangeRow.revision.desc())
        .execution_options(yield_per=10)
    )
    in_force: TrafficChangeRow | None = None
    cause: TrafficChangeRow | None = None
    for row in rows:
        if in_force is None:
            in_force = row
        if row.splits != in_force.splits:
            return in_force, cause
        cause = row
    # Back to the beginning, where `default` served alone.
    return in_force, cause if in_force is not None and in_force.splits else None


def _with_digests(session: Session, model_id: str, shares: Mapping[int, float]) -> list[ServedShare]:
    rows = session.execute(
        select(VersionRow.number, VersionRow.digest).where(
            VersionRow.model_id == model_id, VersionRow.number.in_(shares)
        )
    )
    known = {row.number: row.digest for row in rows}
    if shares.keys() - known.keys():
        known = _digests_of_deleted(session, model_id) | known
    return [
        ServedShare(version=version, share=share, digest=known.get(version))
        for version, share in shares.items()
    ]


def _digests_of_deleted(session: Session, model_id: str) -> dict[int, str]:
    rows = session.scalars(
        select(ModelEventRow).where(
            ModelEventRow.model_id == model_id, ModelEventRow.kind == "version_deleted"
        )
    )
    return {row.version: str(row.details["digest"]) for row in rows if row.version is not None}
