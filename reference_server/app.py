"""The wiring of the server: each room's parts, made once and handed on.

`flask --app reference_server.app run` serves the whole API for development; `maas-server serve` puts the
front of `http/front.py` before the same endpoints.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from flask import Flask

from reference_server.console.mount import mount as mount_console
from reference_server.errors import Unavailable
from reference_server.housekeeping import Housekeeping
from reference_server.http import (
    accounts,
    advice,
    aliases,
    audit,
    capture,
    embeddings,
    erasures,
    evaluate,
    events,
    explain,
    fine_tunes,
    jobs,
    keys,
    models,
    open_inference,
    open_inference_models,
    predict,
    service,
    sessions,
    shares,
    traffic,
    uploads,
    usage,
    versions,
)
from reference_server.http import metrics as metrics_routes
from reference_server.http.audit_trail import Trail
from reference_server.http.authenticate import Authenticator
from reference_server.http.blueprints import mount
from reference_server.http.capturing import Captures
from reference_server.http.exchange import Call, Cold, Loading
from reference_server.http.idempotency import Claims
from reference_server.http.job_events import Streams
from reference_server.http.live_traffic import LiveTraffic, routed
from reference_server.http.request_log import RequestLog
from reference_server.http.rules import MatchedRule
from reference_server.http.targets import Targets
from reference_server.limit_counters import LimitCounters, open_limits
from reference_server.loadables import loadable, operators_options
from reference_server.metrics import Gauge, Metrics
from reference_server.registry import receipts
from reference_server.registry import versions as versions_registry
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.callers import Defaults
from reference_server.runtime.lanes import Lanes
from reference_server.runtime.pool import LoadedModel, ModelPool, model_unloaded
from reference_server.runtime.turns import Turns
from reference_server.security.limits import parse_networks
from reference_server.security.passwords import Passwords
from reference_server.settings import Settings
from reference_server.stores import open_database
from reference_server.tracing import Tracing, open_tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from maas_client.types import Manifest, Serving
    from reference_server.http.endpoints import Endpoint
    from reference_server.registry.database import Database
    from reference_server.registry.versions import ServingTarget
    from reference_server.runtime.pool import Loadable
    from reference_server.security.limits import Network

ROUTES = (
    service.routes,
    accounts.routes,
    erasures.routes,
    sessions.routes,
    keys.routes,
    models.routes,
    versions.routes,
    uploads.routes,
    aliases.routes,
    events.routes,
    shares.routes,
    capture.routes,
    traffic.routes,
    predict.routes,
    evaluate.routes,
    explain.routes,
    fine_tunes.routes,
    advice.routes,
    jobs.routes,
    open_inference.routes,
    open_inference_models.routes,
    embeddings.routes,
    metrics_routes.routes,
    usage.routes,
    audit.routes,
)


# Two trials at their longest, and a little.
_TRIAL_WAIT_SECONDS = 130.0


class Flag(Protocol):
    """An event of a thread or of a process."""

    def is_set(self) -> bool:
        """Tell whether it happened."""


def _unique_ids() -> Callable[[], str]:
    """Return what makes ids that no other worker makes; they tell nothing but need not be secret either.

    Asking the system for random bytes twice a request took 3 % of a small one.
    """
    prefix, numbers = secrets.token_hex(8), itertools.count(secrets.randbits(24))
    return lambda: f"{prefix}{next(numbers):08x}"


@dataclass(slots=True)
class Services:
    """Everything that the endpoints use."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    pool: ModelPool
    lanes: Lanes
    explainers: Lanes
    metrics: Metrics
    tracing: Tracing | None
    passwords: Passwords
    authenticate: Authenticator
    claims: Claims
    trail: Trail
    targets: Targets
    limits: LimitCounters
    request_log: RequestLog
    trials: Turns
    endpoints: tuple[Endpoint, ...]
    draining: Flag
    has_job_processes: bool
    streams: Streams
    timer: Callable[[], float]
    instance: str
    receipt_key: str
    trusted_proxies: tuple[Network, ...] = ()
    random: Callable[[], str] = field(default_factory=_unique_ids)
    traffic: LiveTraffic = field(init=False)
    captures: Captures = field(init=False)

    def __post_init__(self) -> None:
        """Make what needs other parts of this."""
        self.traffic = LiveTraffic(
            self.pool,
            self.lanes,
            most_busy=self.settings.lanes,
            loadable=self.loadable,
            timer=self.timer,
        )
        self.captures = Captures(
            self.database,
            model_bytes=self.settings.capture_bytes,
            body_bytes=self.settings.max_body_bytes,
        )

    def new_request_id(self) -> str:
        """Return the id by which a request is found in the log."""
        return f"req_{self.random()}"

    def new_prediction_id(self) -> str:
        """Return the id of a prediction."""
        return f"pred_{self.random()}"

    def new_explanation_id(self) -> str:
        """Return the id of an explanation."""
        return f"expl_{self.random()}"

    def serve(self, call: Call, model: str, selector: str | None) -> tuple[ServingTarget, LoadedModel]:
        """Return the version that a call means, in memory.

        Raises:
            NotFound, Conflict: There is none that the caller can see.
            Unavailable: It cannot be loaded now.
            Cold, Loading: The call may not wait for what is needed.
        """
        target = self.targets.known(call.by, model, selector)
        if target is None:
            if call.may_wait == "nothing":
                raise Cold
            target = self.targets(call.by, model, selector)
        if selector is None:
            target = routed(call, target)
        if target.unloaded:
            raise model_unloaded()
        loaded = self.pool.find(target.digest)
        if call.may_wait == "nothing":
            if loaded is None:
                raise Cold
            return target, loaded
        if loaded is None and (earlier := self._earlier(call, model, selector, target)) is not None:
            return earlier
        if loaded is None and call.may_wait == "store":
            raise Loading(self.pool.load(self.loadable(target)))
        loaded = loaded or self.load(target)
        self.targets.ran(call.by, model, selector, target)
        return target, loaded

    def _earlier(
        self, call: Call, model: str, selector: str | None, target: ServingTarget
    ) -> tuple[ServingTarget, LoadedModel] | None:
        """Return what served the call until another worker moved the alias, while its successor is loaded."""
        before = self.targets.before(call.by, model, selector, target)
        loaded = None if before is None else self.pool.find(before.digest)
        if before is None or loaded is None:
            return None
        with suppress(Unavailable):
            self.pool.load(self.loadable(target))
        return before, loaded

    def load(self, target: ServingTarget) -> LoadedModel:
        """Return a version in memory, loading it first if need be; for threads that may wait."""
        return self.pool.get(self.loadable(target))

    def loadable(self, target: ServingTarget) -> Loadable:
        """Return what the pool needs to load a version."""
        return loadable(target, self.database, self.artifacts, operators_options(self.settings, target))

    def serving_options(self, target: ServingTarget, manifest: Manifest) -> Serving:
        """Return how a version is run: the operator's options over the manifest's."""
        return manifest.serving.model_copy(update=operators_options(self.settings, target))

    def forget_targets(self) -> None:
        """Resolve names and aliases again, as after a change to a model."""
        self.database.when_committed(self.targets.forget)

    def forget_contents(self, digests: Iterable[str]) -> None:
        """Take what was deleted or retired out of memory, unless another version has the same content.

        Other workers do so within a second (`housekeeping.py`).
        """
        gone = set(digests)

        def forget() -> None:
            for digest in gone - versions_registry.digests_in_use(self.database, gone):
                self.pool.drop(digest)

        self.database.when_committed(forget)
        self.forget_targets()

    def close(self) -> None:
        """Release the models and the database."""
        self.traffic.close()
        # Before the lanes, which its runs go through.
        self.explainers.close()
        self.lanes.close()
        self.pool.close()
        self.metrics.close()
        if self.tracing is not None:
            self.tracing.close()
        self.request_log.flush()
        self.limits.close()
        self.database.dispose()


def open_services(
    settings: Settings,
    *,
    draining: Flag | None = None,
    instance: str | None = None,
    metrics_folder: Path | None = None,
    has_job_processes: bool = False,
    timer: Callable[[], float] = time.monotonic,
) -> Services:
    """Open the stores, bringing their schema up to date, and make every part.

    Args:
        draining: Set from outside when the server is about to stop.
        instance: What `/healthz` shows, so that a supervisor knows its own workers.
        metrics_folder: Where several workers share what they count (`serving.metrics_folder`).
        has_job_processes: Whether processes that take jobs were started beside this one.
        timer: The clock of durations and deadlines; the runtime's is `time.monotonic`.
    """
    # With it comes ONNX Runtime, and with that a thread, before which processes are forked (`loaded.py`).
    from reference_server.runtime.execution_providers import Providers

    database = open_database(settings)
    pool = ModelPool(
        providers=Providers(
            settings.provider, devices=settings.cuda_devices, gpu_memory_bytes=settings.gpu_memory_bytes
        ),
        memory_budget_bytes=settings.memory_budget_bytes,
        lanes=settings.lanes,
        threads=settings.intra_op_threads,
    )
    lanes = Lanes(settings.lanes, most_seconds=settings.queue_seconds, timer=timer)
    metrics = Metrics(
        _gauges(settings, pool, lanes),
        {"version": version("maas-client")},
        loads=pool.counts,
        folder=metrics_folder,
    )
    return Services(
        settings=settings,
        database=database,
        artifacts=ArtifactStore(settings.artifacts),
        pool=pool,
        lanes=lanes,
        explainers=Lanes(settings.lanes, name="explainer", most_seconds=settings.queue_seconds, timer=timer),
        metrics=metrics,
        tracing=_tracing(settings, timer),
        passwords=Passwords(),
        authenticate=Authenticator(
            database,
            defaults=Defaults(settings.account_requests_per_minute, settings.account_rows_per_day),
            timer=timer,
        ),
        claims=Claims(database, timer=timer),
        trail=Trail(database),
        targets=Targets(database, timer=timer),
        limits=open_limits(settings, database, worker=metrics.number, timer=timer),
        trusted_proxies=parse_networks(settings.trusted_proxies),
        request_log=RequestLog(),
        trials=Turns("packages of others are being tried", wait_seconds=_TRIAL_WAIT_SECONDS),
        endpoints=tuple(endpoint for routes in ROUTES for endpoint in routes.endpoints),
        draining=draining or threading.Event(),
        has_job_processes=has_job_processes,
        streams=Streams(settings.job_streams, settings.job_streams_per_account),
        timer=timer,
        instance=instance or secrets.token_hex(12),
        receipt_key=receipts.signer(database).public_key,
    )


def create_app(settings: Settings | None = None, *, services: Services | None = None) -> Flask:
    """Make the Flask application.

    Args:
        settings: Where everything is; from the environment when left out.
        services: Parts made already, by whoever also closes them.
    """
    if services is None:
        services = open_services(settings or Settings())
        Housekeeping(services).start()
    app = Flask(__name__, static_folder=None)
    app.url_rule_class = MatchedRule
    # A path is what it says: no redirects that clean it up.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False
    mount(app, services, services.endpoints)
    mount_console(app, services)
    return app


def _gauges(settings: Settings, pool: ModelPool, lanes: Lanes) -> list[Gauge]:
    return [
        Gauge("maas_models_loaded", "Models in memory.", lambda: pool.memory[0]),
        Gauge("maas_models_loading", "Models on their way into memory.", lambda: pool.loading),
        Gauge("maas_models_memory_bytes", "What loaded models count in the budget.", lambda: pool.memory[1]),
        Gauge("maas_models_memory_budget_bytes", "What they may count together.", lambda: pool.memory[2]),
        Gauge("maas_lanes", "Runs of models that there may be at a time.", lambda: settings.lanes),
        Gauge("maas_lanes_busy", "Runs of models under way in lanes.", lambda: lanes.busy),
        Gauge("maas_queue_length", "Calls that wait for a lane.", lambda: lanes.waiting),
    ]


def _tracing(settings: Settings, timer: Callable[[], float]) -> Tracing | None:
    if not settings.telemetry:
        return None
    return open_tracing(timer=timer, scheme="https" if settings.tls_cert else "http")
