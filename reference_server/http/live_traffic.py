"""Traffic as it comes: which version serves a caller, and what is learnt from calls that were answered."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from reference_server.errors import DeadlineExceeded, InvalidRequest, Unavailable
from reference_server.recent import Recent
from reference_server.runtime.shadows import Copy, Shadows
from reference_server.runtime.traffic_sums import TrafficSums

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.http.exchange import Call
    from reference_server.http.inference import Pending
    from reference_server.registry.in_force import Route
    from reference_server.registry.versions import ServingTarget
    from reference_server.runtime.lanes import Lanes
    from reference_server.runtime.pool import Loadable, LoadedModel, ModelPool

STICKY_HEADER = "X-Sticky-Id"
_STICKY = STICKY_HEADER.lower()
_MOST_CHARACTERS = 200
# A shadow that had to give way to other models comes back no sooner: the two would chase each other.
_RELOAD_SECONDS = 60.0
_MOST_SHADOWS = 1000


class LiveTraffic:
    """What splits and shadows need of a running server.

    Args:
        pool: Where versions are in memory.
        lanes: What copies must not get into the way of.
        most_busy: How many lanes there are.
        loadable: What the pool needs to load a version.
        timer: Seconds, monotonic.
    """

    def __init__(
        self,
        pool: ModelPool,
        lanes: Lanes,
        *,
        most_busy: int,
        loadable: Callable[[ServingTarget], Loadable],
        timer: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._loadable = loadable
        self.sums = TrafficSums()
        self._shadows = Shadows(self.sums, may_run=lambda: not lanes.waiting and lanes.busy < most_busy)
        self._reloaded: Recent[str, bool] = Recent(_MOST_SHADOWS, _RELOAD_SECONDS, timer=timer)

    def succeeded(self, call: Call, route: Route, pending: Pending, result: Any, seconds: float) -> None:  # noqa: ANN401 - what the work returned
        """Take note of a call that was answered, and let shadows have a copy.

        Args:
            call: The call.
            route: By which it was served.
            pending: The call as it was decoded.
            result: What the model returned.
            seconds: How long it computed.
        """
        self.sums.saw((route.model_id, route.revision, pending.key[1]), seconds)
        self._offer(call, route, pending, result)

    def failed(self, call: Call, route: Route, pending: Pending, error: Exception) -> None:
        """Take note of a call that failed, and look whether shadows can answer it."""
        self.sums.saw((route.model_id, route.revision, pending.key[1]), None)
        if not isinstance(error, DeadlineExceeded):
            self._offer(call, route, pending, None)

    def keep(self, routes: list[Route]) -> None:
        """Count the versions of splits and shadows as used, so that no lull in their share evicts them."""
        for route in routes:
            for target in (*route.targets, *route.shadows):
                self._pool.find(target.digest)

    def close(self) -> None:
        """Run no more copies."""
        self._shadows.close()

    def _offer(self, call: Call, route: Route, pending: Pending, result: Any) -> None:  # noqa: ANN401 - as above
        if pending.again is None:
            return
        served = pending.key[1]
        for shadow in route.shadows:
            if shadow.version != served:
                self._shadows.offer(
                    Copy(
                        key=(route.model_id, route.revision, served, shadow.version),
                        shadow=partial(self._find, shadow),
                        model=pending.model,
                        again=pending.again,
                        result=result,
                        size=len(call.request.body)
                        if isinstance(call.request.body, bytes | bytearray)
                        else 0,
                    )
                )

    def _find(self, target: ServingTarget) -> LoadedModel | None:
        found = self._pool.find(target.digest)
        if found is None and self._reloaded.get(target.digest) is None:
            self._reloaded.put(target.digest, True)  # noqa: FBT003 - a mark
            with suppress(Unavailable):
                self._pool.load(self._loadable(target))
        return found


def routed(call: Call, target: ServingTarget) -> ServingTarget:
    """Return what serves a call that names no version, where `default` means `target`.

    Raises:
        InvalidRequest: When `X-Sticky-Id` cannot be one.
    """
    given = call.request.headers.get(_STICKY)
    if given is not None and not (0 < len(given) <= _MOST_CHARACTERS and given.isprintable()):
        raise InvalidRequest(
            f"{STICKY_HEADER} must have 1 to {_MOST_CHARACTERS} printable characters and has {len(given)}; "
            "send a short id of whoever is to stay with one version, or leave it out",
            code="invalid_header",
            param=STICKY_HEADER,
        )
    # Set in any case: a call that comes again may find that the split has ended.
    route = call.route = target.route
    if route is None:
        return target
    return route.pick(target, call.by.credential_id if given is None else given)
