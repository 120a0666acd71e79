"""A version that a job publishes, as its account's own call would."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from reference_server.registry import audit, names, publishing
from reference_server.runtime.probe import probe

if TYPE_CHECKING:
    from maas_client.types import AuditAct, PublishQuery, Version
    from reference_server.jobs.context import Context
    from reference_server.registry.versions import ServingTarget


def publish(
    context: Context, model: str, package: bytes, query: PublishQuery, *, base: ServingTarget | None
) -> tuple[Version, bool]:
    """Publish a package and write into the audit log what the pipeline writes for a publish by a call.

    Args:
        context: The job's.
        model: The name of the model, made if its account has none of that name.
        package: A zip.
        query: How.
        base: The version whose weights it holds: what withholds that withholds this.

    Returns:
        The version, and whether it is new; the same content is never published twice.

    Raises:
        ServiceError: As `publishing.publish` raises it.
    """
    services, caller = context.services, context.caller
    with services.database.read() as session:
        is_first = names.find(session, caller, model) is None
    version, is_new = publishing.publish(
        services.database,
        services.artifacts,
        caller,
        model,
        io.BytesIO(package),
        query=query,
        inspect=probe,
        max_bytes=services.settings.max_package_bytes,
        base=None if base is None else (base.model_id, base.version),
    )
    if is_new:
        acts: list[AuditAct] = ["version_published"]
        if is_first:
            acts.append("model_made")
        if query.set_default:
            acts.append("alias_moved")
        _tell(context, version, acts)
    return version, is_new


def _tell(context: Context, version: Version, acts: list[AuditAct]) -> None:
    with context.services.database.write() as session:
        row = names.visible(session, context.caller, version.model).row
        for act in acts:
            audit.record(
                session,
                audit.Act(
                    act,
                    account=row.account_id,
                    actor=context.caller.account_id,
                    subject=row.id,
                    version=version.version,
                    personal=audit.Personal(model=version.model),
                ),
            )
