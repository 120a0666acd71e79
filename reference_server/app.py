"""The wiring of the server: each room's parts, made once and handed on.

`flask --app reference_server.app run` serves the whole API for development; `maas-server serve` puts the
front of `http/front.py` before the same endpoints.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from flask import Flask

from maas_client._package import Package, open_package
from reference_server.housekeeping import Housekeeping
from reference_server.http import (
    accounts,
    aliases,
    keys,
    models,
    open_inference,
    predict,
    service,
    sessions,
    uploads,
    versions,
)
from reference_server.http.authenticate import Authenticator
from reference_server.http.blueprints import mount
from reference_server.http.request_log import RequestLog
from reference_server.http.targets import Targets
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.database import Database, upgrade
from reference_server.runtime.execution_providers import choose
from reference_server.runtime.pool import LoadedModel, ModelPool
from reference_server.security.passwords import Passwords
from reference_server.security.rate_limits import RateLimit
from reference_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reference_server.http.endpoints import Endpoint
    from reference_server.registry.versions import ServingTarget

ROUTES = (
    service.routes,
    accounts.routes,
    sessions.routes,
    keys.routes,
    models.routes,
    versions.routes,
    uploads.routes,
    aliases.routes,
    predict.routes,
    open_inference.routes,
)


class Flag(Protocol):
    """An event of a thread or of a process."""

    def is_set(self) -> bool:
        """Tell whether it happened."""


@dataclass(slots=True)
class Services:
    """Everything that the endpoints use."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    pool: ModelPool
    passwords: Passwords
    authenticate: Authenticator
    targets: Targets
    logins: RateLimit
    registrations: RateLimit
    request_log: RequestLog
    endpoints: tuple[Endpoint, ...]
    draining: Flag
    timer: Callable[[], float]
    instance: str
    random: Callable[[], str] = lambda: secrets.token_hex(12)

    def new_request_id(self) -> str:
        """Return the id by which a request is found in the log."""
        return f"req_{self.random()}"

    def new_prediction_id(self) -> str:
        """Return the id of a prediction."""
        return f"pred_{self.random()}"

    def load(self, target: ServingTarget) -> LoadedModel:
        """Return the model behind a serving target, loading it if need be."""
        return self.pool.get(target.digest, lambda: self._package(target))

    def forget_targets(self) -> None:
        """Resolve names and aliases again, as after a change to a model."""
        self.targets.forget()

    @contextmanager
    def _package(self, target: ServingTarget) -> Iterator[Package]:
        with self.artifacts.open_reader(target.artifact) as file, open_package(file) as package:
            yield package

    def close(self) -> None:
        """Release the models and the database."""
        self.pool.close()
        self.database.dispose()


def open_services(
    settings: Settings,
    *,
    draining: Flag | None = None,
    instance: str | None = None,
    timer: Callable[[], float] = time.monotonic,
) -> Services:
    """Open the stores, bringing their schema up to date, and make every part.

    Args:
        draining: Set from outside when the server is about to stop.
        instance: What `/healthz` shows, so that a supervisor knows its own workers.
        timer: The clock of durations and deadlines; the runtime's is `time.monotonic`.
    """
    upgrade(settings.database)
    database = Database(settings.database)
    pool = ModelPool(provider=choose(settings.provider), memory_budget_bytes=settings.memory_budget_bytes)
    return Services(
        settings=settings,
        database=database,
        artifacts=ArtifactStore(settings.artifacts),
        pool=pool,
        passwords=Passwords(),
        authenticate=Authenticator(database, timer=timer),
        targets=Targets(database, timer=timer),
        logins=_throttle(settings.logins_per_minute, "log-in tries"),
        registrations=_throttle(settings.registrations_per_minute, "registrations"),
        request_log=RequestLog(timer=timer),
        endpoints=tuple(endpoint for routes in ROUTES for endpoint in routes.endpoints),
        draining=draining or threading.Event(),
        timer=timer,
        instance=instance or secrets.token_hex(12),
    )


def create_app(settings: Settings | None = None, *, services: Services | None = None) -> Flask:
    """Make the Flask application.

    Args:
        settings: Where everything is; from the environment when left out.
        services: Parts made already, by whoever also closes them.
    """
    if services is None:
        services = open_services(settings or Settings())
        Housekeeping(services.database, services.artifacts, services.authenticate).start()
    app = Flask(__name__, static_folder=None)
    # A path is what it says: no redirects that clean it up.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False
    mount(app, services, services.endpoints)
    return app


def _throttle(per_minute: float, what: str) -> RateLimit:
    return RateLimit(per_minute=per_minute, burst=max(1, round(per_minute)), what=what)
