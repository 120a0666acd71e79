"""A version that a job runs: found as its account may see it now, and loaded to stand behind predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_server.errors import Conflict
from reference_server.loadables import loadable, operators_options
from reference_server.registry import versions
from reference_server.runtime.pool import model_unloaded

if TYPE_CHECKING:
    from reference_server.jobs.context import Context
    from reference_server.registry.versions import ServingTarget
    from reference_server.runtime.pool import LoadedModel

# One thread, whatever the manifest wants: serving comes first.
ALONE = {"lanes": 1, "intra_op_threads": 1}


def find_version(context: Context, model: str, version: str, *, digest: str | None) -> ServingTarget:
    """Return the version that was meant when a job was asked for.

    Args:
        context: The job, whose account must see it.
        model: Its model's exact name.
        version: Its number.
        digest: What it held then, if that is known.

    Raises:
        NotFound, Gone: It is there no more, or no more for this account.
        Conflict: Code `version_replaced`.
    """
    target = versions.serving_target(context.services.database, context.caller, model, version)
    if digest not in (None, target.digest):
        # A model that was deleted and made again counts from 1 again.
        raise Conflict(
            f"version {version} of {model!r} is another than when this was asked for: the model was deleted "
            "and made again; ask for it anew",
            code="version_replaced",
        )
    return target


def load(context: Context, target: ServingTarget) -> LoadedModel:
    """Load a version for a job.

    Raises:
        Conflict: Its owner has unloaded it.
        Unavailable: It cannot be loaded.
    """
    services = context.services
    if target.unloaded:
        raise model_unloaded()
    options = {**operators_options(services.settings, target), **ALONE}
    return services.pool.get(loadable(target, services.database, services.artifacts, options))
