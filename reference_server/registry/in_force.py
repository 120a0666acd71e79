"""Who serves the calls of a model that name no version: the alias `default`, or a split that is in force."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from reference_server.errors import Conflict
from reference_server.registry import versions
from reference_server.registry.splits import bucket
from reference_server.registry.tables import TrafficChangeRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.registry.versions import ServingTarget
    from reference_server.security.callers import Caller

_NEWEST = (
    select(TrafficChangeRow)
    .where(TrafficChangeRow.model_id == bindparam("model"))
    .order_by(TrafficChangeRow.revision.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Route:
    """What serves the calls that name no version while a split or shadows are in force.

    Args:
        model_id: The model's own id, which salts the callers' buckets.
        revision: The change of the traffic that made it so.
        ends: Where each segment of the split ends, exclusive; empty where `default` serves alone.
        targets: What serves each segment.
        shadows: What gets a copy.
    """

    model_id: str
    revision: int
    ends: tuple[int, ...]
    targets: tuple[ServingTarget, ...]
    shadows: tuple[ServingTarget, ...]

    def pick(self, default: ServingTarget, sticky_id: str) -> ServingTarget:
        """Return what serves a caller: the same as long as the weights allow it."""
        if not self.ends:
            return default
        return self.targets[bisect_right(self.ends, bucket(self.model_id.encode(), sticky_id))]


def unversioned_target(db: Database, caller: Caller, model: str) -> ServingTarget:
    """Return the version of `default`, and with it the route that goes before it where there is one.

    Raises:
        NotFound: When the model is not there.
        Conflict: With code `no_version`, when the model has no version yet.
    """
    with db.read() as session:
        default = versions.find_target(session, caller, model, None)
        row = newest_change(session, default.model_id)
        if row is None or not (row.splits or row.shadows):
            return default
        return replace(default, route=_route(session, caller, default, row))


def newest_change(session: Session, model_id: str) -> TrafficChangeRow | None:
    """Return the change of the traffic that is in force, if there ever was one."""
    return session.scalar(_NEWEST, {"model": model_id})


def refuse_while_split(session: Session, model_id: str) -> None:
    """Refuse to move `default` while a split goes before it: the move would serve nobody.

    Raises:
        Conflict: With code `traffic_split_in_force`.
    """
    row = newest_change(session, model_id)
    if row is not None and row.splits:
        served = ", ".join(str(split["version"]) for split in row.splits)
        raise Conflict(
            f"the versions {served} share the traffic, so moving `default` would change nothing for callers; "
            "PUT …/traffic with one version and promote moves it and ends the split, DELETE …/traffic ends "
            "the split alone",
            code="traffic_split_in_force",
        )


def _route(session: Session, caller: Caller, default: ServingTarget, row: TrafficChangeRow) -> Route:
    numbers = {version for _, version in row.segments} | set(row.shadows)
    found = versions.find_targets(session, caller, default.model_id, numbers)
    return Route(
        model_id=default.model_id,
        revision=row.revision,
        ends=tuple(end for end, _ in row.segments),
        targets=tuple(found.get(version, default) for _, version in row.segments),
        shadows=tuple(found[version] for version in row.shadows if version in found),
    )
