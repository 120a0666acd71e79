"""One job from its claim to its end, every outcome written down."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from reference_server.errors import ServiceError
from reference_server.jobs.context import Cancelled, Context, Lost, Stopping
from reference_server.jobs.kinds import KINDS
from reference_server.jobs.lease import Lease
from reference_server.registry import job_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.jobs.context import Services
    from reference_server.jobs.kinds import Kind
    from reference_server.registry.job_runs import Claim

_log = logging.getLogger(__name__)


def run(
    claim: Claim,
    services: Services,
    *,
    stopping: Callable[[], bool],
    timer: Callable[[], float] = time.monotonic,
) -> None:
    """Run a job and write down how it ended.

    Args:
        claim: The job, which is this process's.
        services: What it works with.
        stopping: Tells whether the process is to end.
        timer: Seconds, monotonic.
    """
    database, artifacts = services.database, services.artifacts
    if (kind := KINDS.get(claim.kind)) is None:
        message = f"this server knows no jobs of the kind {claim.kind!r}; it may be older than the one asked"
        job_runs.fail(database, artifacts, claim, code="unknown_kind", message=message)
        return
    with Lease(claim, database, timer=timer) as lease:
        _run(Context(claim, services, lambda: lease.verdict, stopping, timer), kind)


def _run(context: Context, kind: Kind) -> None:
    database, artifacts, claim = context.services.database, context.services.artifacts, context.claim
    try:
        context.log(_beginning(claim))
        result = kind.run(context)
        job_runs.succeed(
            database,
            artifacts,
            claim,
            result.model_dump(mode="json"),
            counted=context.counted,
            explained=context.explained,
            spent=context.spent,
        )
    except Cancelled:
        job_runs.cancel(database, artifacts, claim, spent=context.spent)
    except Stopping:
        job_runs.hand_back(database, artifacts, claim)
    except Lost:
        _log.warning("the job %s was taken over by another process", claim.job_id)
    except ServiceError as error:
        job_runs.fail(database, artifacts, claim, code=error.code, message=error.message, spent=context.spent)
    except Exception:  # noqa: BLE001 - logged whole, shown to nobody
        _log.exception("the job failed", extra={"fields": {"job_id": claim.job_id}})
        message = "the job failed; the fault is the server's and has been logged"
        # Nobody pays for that.
        job_runs.fail(database, artifacts, claim, code="internal_error", message=message)


def _beginning(claim: Claim) -> str:
    return "begun" if claim.checkpoint is None else "begun again, from a checkpoint"
