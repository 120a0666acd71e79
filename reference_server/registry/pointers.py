"""What sends calls to a version: while anything does, the version can be neither deleted nor retired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from reference_server.errors import Conflict
from reference_server.registry.tables import AliasRow
from reference_server.registry.traffic import versions_in_traffic

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def pointing_to(session: Session, model_id: str, number: int) -> list[str]:
    """Return what points to a version, in words for its owner."""
    names = session.scalars(
        select(AliasRow.name)
        .where(AliasRow.model_id == model_id, AliasRow.version == number)
        .order_by(AliasRow.name)
    )
    pointers = [f"the alias {name!r}" for name in names]
    if (role := versions_in_traffic(session, model_id).get(number)) is not None:
        pointers.append(f"the traffic, where it {role}")
    return pointers


def check_unused(session: Session, model_id: str, number: int, *, to: str) -> None:
    """Refuse what would leave an alias or the traffic without a version that it sends calls to.

    Args:
        to: What was asked for: `delete` or `retire`.

    Raises:
        Conflict: With code `version_in_use`, naming what points to it.
    """
    if pointers := pointing_to(session, model_id, number):
        raise Conflict(
            f"version {number} is in use by {', '.join(pointers)}: let that go to another version "
            f"first, then {to} this one",
            code="version_in_use",
            param="version",
        )
