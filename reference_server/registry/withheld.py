"""Versions whose package is withheld: they hold the weights of a base that their maker could not download.

Whoever may use a model may train on it; what comes of that serves like any version, and its package goes
only to those who may download each such base as well, at the time when they ask. A base that was deleted can
be downloaded by nobody, so what was made from it stays withheld.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_server.errors import Forbidden
from reference_server.registry import names, versions
from reference_server.registry.tables import ModelRow, VersionRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from reference_server.security.callers import Caller


def may_download(found: names.Found) -> bool:
    """Tell whether a caller who sees a model may download its packages, as far as the model goes."""
    return found.row.downloadable or found.allows(names.PUBLISHER)


def bases_of(session: Session, caller: Caller, model_id: str, number: int) -> list[str] | None:
    """Return the ids of the models that withhold what a caller makes from a version, or None.

    They are that version's own, and its model where the caller may not download that.

    Raises:
        NotFound: The version is not there.
    """
    row = session.get(VersionRow, (model_id, number))
    if row is None:
        raise versions.version_not_found(str(number))
    own = set() if _may_download(session, caller, model_id) else {model_id}
    return sorted(own.union(row.withheld_by or ())) or None


def require_bases(session: Session, caller: Caller, model: str, row: VersionRow) -> None:
    """Refuse the package of a version that is withheld from a caller.

    Args:
        session: The registry's.
        caller: Who asks.
        model: What the caller calls its model.
        row: The version.

    Raises:
        Forbidden: With code `not_downloadable`.
    """
    if all(_may_download(session, caller, base) for base in row.withheld_by or ()):
        return
    raise Forbidden(
        f"{model!r} version {row.number} holds the weights of a base that you may use but not download; it "
        "serves like any other, and its package goes to those who may download the base too: ask the base's "
        "owner for the role 'publisher'",
        code="not_downloadable",
        param="version",
    )


def _may_download(session: Session, caller: Caller, model_id: str) -> bool:
    row = session.get(ModelRow, model_id)
    if row is None:
        return False
    found = names.find(session, caller, names.exact_name(session, row))
    return found is not None and may_download(found)
