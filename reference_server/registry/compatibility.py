"""Whether an alias may point to a version: one that runs, and for `default` one that breaks no calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._signatures import Interface, differences
from maas_client.types import ErrorDetail, TaskSignature, TensorSignature
from reference_server.errors import Conflict
from reference_server.registry.tables import AliasRow, VersionRow
from reference_server.registry.versions import DEFAULT, RETIRED

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_MOST_SHOWN = 3


def check_target(session: Session, model_id: str, alias: str, version: int, *, force: bool) -> None:
    """Refuse a version to which an alias cannot point; one that exists.

    Args:
        session: A transaction, which may be a reader's.
        model_id: The model's id.
        alias: The alias that is to point to the version.
        version: The version's number.
        force: Let `default` point to it though its signature breaks that of the one before.

    Raises:
        Conflict: With code `version_retired`, or with code `breaking_signature` and what breaks.
    """
    check_runs(session, model_id, version)
    now = session.get(AliasRow, (model_id, DEFAULT))
    if alias == DEFAULT and now is not None and now.version != version and not force:
        _check_successor(session, model_id, now=now.version, then=version)


def check_runs(session: Session, model_id: str, version: int) -> None:
    """Refuse to send calls to a retired version; the version exists.

    Raises:
        Conflict: With code `version_retired`.
    """
    if session.get_one(VersionRow, (model_id, version)).state == RETIRED:
        raise Conflict(
            f"version {version} is retired and cannot be called; restore it first with PATCH "
            "/v1/models/{model}/versions/{version} and the state active",
            code="version_retired",
            param="version",
        )


def _check_successor(session: Session, model_id: str, *, now: int, then: int) -> None:
    found = differences(_interface(session, model_id, now), _interface(session, model_id, then))
    breaking = [each for each in found if each.breaking]
    if not breaking:
        return
    shown = "; ".join(str(each) for each in breaking[:_MOST_SHOWN])
    more = f"; and {len(breaking) - _MOST_SHOWN} more, see errors" if len(breaking) > _MOST_SHOWN else ""
    raise Conflict(
        f"version {then} breaks calls that work with version {now}: {shown}{more}. Send force=true if "
        "that is meant, or give the new version an alias of its own",
        code="breaking_signature",
        param="version",
        details=[ErrorDetail(code=each.kind, message=str(each), param=each.name) for each in breaking],
    )


def _interface(session: Session, model_id: str, number: int) -> Interface:
    row = session.get_one(VersionRow, (model_id, number))
    labels = row.manifest.get("labels")
    return Interface(
        task=row.task,
        signature=TaskSignature.model_validate(row.signature),
        tensors=TensorSignature.model_validate(row.tensors),
        labels=tuple(str(label) for label in labels) if isinstance(labels, list) else (),
    )
