"""Jobs: long work that the server does by itself, watched, cancelled and deleted by whoever asked for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from maas_client.types import JobLine, JobQuery, JobReply, Page, PageQuery
from reference_server.errors import Unavailable
from reference_server.http.endpoints import Routes
from reference_server.http.exchange import Answer, Call
from reference_server.http.job_events import EVENT_STREAM, JobStream, last_seen
from reference_server.jobs.kinds import KINDS
from reference_server.registry import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.registry.jobs import NewJob

routes = Routes("jobs")


@routes.route("GET", "/v1/jobs", access="jobs")
def list_jobs(call: Call, query: JobQuery) -> Page[JobReply]:
    """List the account's jobs, newest first; they are kept for some days after they have ended."""
    return jobs.list_jobs(call.services.database, call.by, query)


@routes.route("GET", "/v1/jobs/<job>", access="jobs")
def get(call: Call, job: str) -> JobReply:
    """Return a job: its state, how far it has come, and its result or why there is none."""
    jobs.require_permitted(call.services.database, call.by, job)
    return jobs.get(call.services.database, call.by.account_id, job)


@routes.route("POST", "/v1/jobs/<job>/cancel", access="jobs", audit="job_cancelled")
def cancel(call: Call, job: str) -> JobReply:
    """Ask a job to stop; one that runs stops at its next step. One that has ended stays as it is."""
    jobs.require_permitted(call.services.database, call.by, job)
    return jobs.cancel(call.services.database, call.services.artifacts, call.by.account_id, job)


@routes.route("DELETE", "/v1/jobs/<job>", access="jobs", audit="job_deleted")
def delete(call: Call, job: str) -> None:
    """Erase a job that has ended, with its log and its result."""
    jobs.require_permitted(call.services.database, call.by, job)
    jobs.delete(call.services.database, call.services.artifacts, call.by.account_id, job)


@routes.route("GET", "/v1/jobs/<job>/log", access="jobs")
def read_log(call: Call, job: str, query: PageQuery) -> Page[JobLine]:
    """Return a job's log, oldest lines first; of a long one the last 1,000."""
    jobs.require_permitted(call.services.database, call.by, job)
    return jobs.read_log(call.services.database, call.by.account_id, job, query)


@routes.route("GET", "/v1/jobs/<job>/events", access="jobs", produces=EVENT_STREAM)
def events(call: Call, job: str) -> Answer:
    """Follow a job by server-sent events until it has ended.

    Each event is of the type `job`, its `data` the job as JSON and its `id` the job's `revision`; after
    `Last-Event-ID` only later ones are sent. There are a limited number of such streams: beyond it the answer
    is 503, and the job is asked for from time to time instead.
    """
    services, headers = call.services, {"content-type": EVENT_STREAM, "cache-control": "no-store"}
    jobs.require_permitted(services.database, call.by, job)
    found = jobs.get(services.database, call.by.account_id, job)
    if call.request.method == "HEAD":
        return Answer(200, headers)
    after, address = last_seen(call.request.headers), call.request.address
    authorization = call.request.headers.get("authorization")
    stream = JobStream(
        services,
        call.by.account_id,
        job,
        found,
        after=after,
        holds=lambda: services.authenticate.holds(authorization, address),
    )
    return Answer(200, headers, chunks=stream)


def queued(call: Call, describe: Callable[[], NewJob]) -> JobReply:
    """Queue a job for a call.

    Args:
        call: Whose account asks for it.
        describe: Makes what it is to do, storing its input; called once it is known that it may be queued.

    Raises:
        Unavailable: With code `jobs_not_served`, when nothing takes jobs of this store.
        Conflict: With code `too_many_jobs`.
    """
    services, settings = call.services, call.services.settings
    if not services.has_job_processes and not jobs.are_served(services.database):
        raise Unavailable(
            "no process takes jobs here: start the server by `maas-server serve` with job_processes of at "
            "least 1, or send less at once so that no job is needed",
            code="jobs_not_served",
            should_retry=False,
        )
    with services.database.read() as session:
        jobs.check_room(session, call.by.account_id, settings.jobs_per_account)
    new = describe()
    try:
        return jobs.create(
            services.database,
            call.by.account_id,
            new,
            resumable=KINDS[new.kind].resumable,
            most_under_way=settings.jobs_per_account,
            kept=timedelta(days=settings.job_days),
        )
    except BaseException:
        if new.input is not None:
            services.artifacts.delete(new.input)
        raise
