"""Which version a name means to a caller, resolved once a second at most."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from reference_server.http.notices import notices_of
from reference_server.recent import Recent
from reference_server.registry import in_force, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.registry.database import Database
    from reference_server.registry.in_force import Route
    from reference_server.registry.versions import ServingTarget
    from reference_server.security.callers import Caller

# An alias moved in another process must be followed within a second here too.
_SECONDS = 1.0
_MOST = 10_000
# How long a version is still served at most while the one to which another worker moved its alias is loaded.
_RAN_SECONDS = 60.0

# Who sees it (`Caller.sees_as`), the model's name as it was called, and the version, an alias or None for
# `default`.
_Key: TypeAlias = "tuple[str, str, str | None]"


class Targets:
    """Resolves model names and selectors for predictions.

    Args:
        timer: Seconds, monotonic.
    """

    def __init__(self, database: Database, *, timer: Callable[[], float]) -> None:
        self._database = database
        self._timer = timer
        self._known: Recent[_Key, ServingTarget] = Recent(_MOST, _SECONDS, timer=timer)
        self._ran: Recent[_Key, ServingTarget] = Recent(_MOST, _RAN_SECONDS, timer=timer)
        self._changes = 0
        self._routes: Recent[str, Route] = Recent(_MOST, _RAN_SECONDS, timer=timer)

    def __call__(self, caller: Caller, model: str, selector: str | None) -> ServingTarget:
        """Return the version that the caller means.

        Raises:
            NotFound: If there is none that this caller can see.
            Gone: If it was retired.
        """
        return self.known(caller, model, selector) or self.now(caller, model, selector)

    def now(self, caller: Caller, model: str, selector: str | None) -> ServingTarget:
        """Return the version that the caller means, as the store has it now.

        Raises:
            NotFound, Gone: As a call.
        """
        changes, read_at = self._changes, self._timer()
        target = self._resolved(caller, model, selector)
        self._known.put((caller.sees_as, model, selector), target, read_at=read_at)
        if changes != self._changes:
            # It was read before a change that was made here, and written after everything was forgotten.
            self._known.clear()
        return target

    def known(self, caller: Caller, model: str, selector: str | None) -> ServingTarget | None:
        """Return the version that the caller means if it was resolved a moment ago; never waits."""
        return self._known.get((caller.sees_as, model, selector))

    def ran(self, caller: Caller, model: str, selector: str | None, target: ServingTarget) -> None:
        """Remember a version that the caller was served with."""
        self._ran.put((caller.sees_as, model, selector), target)

    def before(
        self, caller: Caller, model: str, selector: str | None, now: ServingTarget
    ) -> ServingTarget | None:
        """Return the other version of the same model that the caller was served with until a moment ago."""
        earlier = self._ran.get((caller.sees_as, model, selector))
        return earlier if earlier is not None and earlier.exact == now.exact else None

    def routes(self) -> list[Route]:
        """Return the splits and shadows by which calls were served in the last minute."""
        return self._routes.values()

    def _resolved(self, caller: Caller, model: str, selector: str | None) -> ServingTarget:
        if selector is not None:
            return _noticed(versions.serving_target(self._database, caller, model, selector))
        target = _noticed(in_force.unversioned_target(self._database, caller, model))
        if target.route is None:
            return target
        route = replace(target.route, targets=tuple(map(_noticed, target.route.targets)))
        self._routes.put(target.model_id, route)
        return replace(target, route=route)

    def expire(self) -> None:
        """Resolve everything again, after a change made elsewhere: what served callers is still known."""
        self._changes += 1
        self._known.clear()

    def forget(self) -> None:
        """Resolve everything again; who changed something here sees it at once."""
        self.expire()
        self._ran.clear()
        self._routes.clear()


def _noticed(target: ServingTarget) -> ServingTarget:
    """Return a target with the headers that its answers have, which are written once."""
    return replace(target, notices=notices_of(target))
