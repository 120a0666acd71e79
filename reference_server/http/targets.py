"""Which version a name means to a caller, resolved once a second at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_server.recent import Recent
from reference_server.registry import versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.registry.database import Database
    from reference_server.registry.versions import ServingTarget
    from reference_server.security.callers import Caller

# An alias moved in another process must be followed within a second here too.
_SECONDS = 1.0
_MOST = 10_000


class Targets:
    """Resolves model names and selectors for predictions.

    Args:
        timer: Seconds, monotonic.
    """

    def __init__(self, database: Database, *, timer: Callable[[], float]) -> None:
        self._database = database
        self._known: Recent[tuple[str, str, str | None], ServingTarget] = Recent(_MOST, _SECONDS, timer=timer)

    def __call__(self, caller: Caller, model: str, selector: str | None) -> ServingTarget:
        """Return the version that the caller means.

        Raises:
            NotFound: If there is none that this caller can see.
        """
        target = self.known(caller, model, selector)
        if target is None:
            target = versions.serving_target(self._database, caller, model, selector)
            self._known.put((caller.account_id, model, selector), target)
        return target

    def known(self, caller: Caller, model: str, selector: str | None) -> ServingTarget | None:
        """Return the version that the caller means if it was resolved a moment ago; never waits."""
        return self._known.get((caller.account_id, model, selector))

    def forget(self) -> None:
        """Resolve everything again."""
        self._known.clear()
