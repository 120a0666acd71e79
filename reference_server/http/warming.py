"""Loads a version before it takes the traffic of another one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from reference_server.errors import Conflict, Gone, NotFound, Unavailable
from reference_server.registry import versions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reference_server.app import Services
    from reference_server.registry.versions import ServingTarget
    from reference_server.security.callers import Caller


def warm(services: Services, caller: Caller, model: str, *, alias: str, to: int) -> None:
    """Load the version that an alias is to point to, where the one that it points to may be in use.

    So nobody waits for a load when it has moved, and a version that cannot be loaded takes no traffic. What
    does not exist or is not the caller's is left to be refused by the move itself.

    Raises:
        Unavailable: It cannot be loaded, or not yet.
    """
    if in_use(services, caller, model, alias) is None:
        return
    with suppress(NotFound, Conflict, Gone):
        services.load(versions.serving_target(services.database, caller, model, str(to)))


def in_use(services: Services, caller: Caller, model: str, alias: str) -> ServingTarget | None:
    """Return the version that an alias points to, where there is one and somebody may be calling it."""
    try:
        now = versions.serving_target(services.database, caller, model, alias)
    except (NotFound, Conflict):
        return None
    # What other workers have in memory is not known here.
    may_be_in_memory = services.settings.workers > 1 or services.pool.find(now.digest) is not None
    return now if may_be_in_memory and not now.unloaded else None


def warm_together(services: Services, caller: Caller, model: str, selectors: Iterable[str]) -> None:
    """Load versions that are to serve side by side.

    Nothing is loaded of a model that its owner keeps out of memory.

    Raises:
        NotFound: One is not there.
        Unavailable: One cannot be loaded, or not all of them at a time.
    """
    targets = [versions.serving_target(services.database, caller, model, selector) for selector in selectors]
    if any(target.unloaded for target in targets):
        return
    for target in targets:
        services.load(target)
    if gone := [target.version for target in targets if services.pool.find(target.digest) is None]:
        raise Unavailable(
            f"the versions do not fit into memory together, version {gone[0]} had to give way; unload other "
            "models, take fewer versions, or ask the server's operator to raise memory_budget_bytes",
            code="memory_budget_exceeded",
            should_retry=False,
        )
