"""A worker, from its start to its end; what answers in between is in `answering.py`."""

from __future__ import annotations

import gc
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reference_server.processes import end_with_parent, listen_to_signals

if TYPE_CHECKING:
    import socket
    from multiprocessing.synchronize import Event
    from pathlib import Path

    from reference_server.pulse import Pulse
    from reference_server.settings import Settings

# Requests make no cycles; looking for some after every 700 objects took 5 % of their time.
_GC_ALLOCATIONS = 50_000
BACKLOG = 2048
# The status of a worker that would fail again.
CANNOT_START = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is given by its supervisor.

    Args:
        listener: The socket that all workers accept from.
        draining: Set when the server is about to stop.
        instance: What `/healthz` shows.
        metrics_folder: Where several workers share what they count.
        pulse: Where it says that it goes on.
    """

    listener: socket.socket
    draining: Event
    instance: str
    metrics_folder: Path | None
    pulse: Pulse


def work(settings: Settings, post: Post) -> None:
    """Answer requests in this process until SIGTERM: what a worker does.

    Raises:
        SystemExit: With `CANNOT_START` if what the settings ask for is not there.
    """
    listen_to_signals()
    from reference_server.answering import Answering
    from reference_server.app import create_app, open_services
    from reference_server.housekeeping import Housekeeping
    from reference_server.http.front import Front
    from reference_server.http.request_log import start_logging
    from reference_server.runtime.memory import limit_arenas
    from reference_server.runtime.probe_processes import close as end_trials
    from reference_server.runtime.runner import ExecutionProviderError

    limit_arenas()
    log = start_logging(settings.log_level)
    end_with_parent()
    try:
        services = open_services(
            settings,
            draining=post.draining,
            instance=post.instance,
            metrics_folder=post.metrics_folder,
            has_job_processes=settings.job_processes > 0,
        )
    except ExecutionProviderError as error:
        _log.error("the worker cannot start: %s", error)
        log.stop()
        sys.exit(CANNOT_START)
    except Exception:  # noqa: BLE001 - logged whole before the worker exits
        _log.exception("the worker cannot start")
        log.stop()
        sys.exit(CANNOT_START)
    housekeeping = Housekeeping(services)
    housekeeping.start()
    front = Front(services, create_app(services=services))
    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS)
    try:
        Answering(settings, post, services, front).run(sockets=[post.listener])
    finally:
        front.close()
        housekeeping.stop()
        services.close()
        # A forked process ends without what was registered for the interpreter's end.
        end_trials()
        log.stop()
