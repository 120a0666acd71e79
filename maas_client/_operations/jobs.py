"""Calls about jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_client._events import EVENT_STREAM
from maas_client._operations import _names
from maas_client._operations._contract import build, reader
from maas_client._operations._operation import Operation, fill, nothing
from maas_client.types import JobLine, JobQuery, JobReply, Page, PageQuery

if TYPE_CHECKING:
    from maas_client.types import JobState

_JOBS = "/v1/jobs"
_JOB = "/v1/jobs/{job}"
_CANCEL = "/v1/jobs/{job}/cancel"
_LOG = "/v1/jobs/{job}/log"
_EVENTS = "/v1/jobs/{job}/events"


def list_page(
    *,
    state: JobState | None = None,
    kind: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page[JobReply]]:
    """Ask for a page of one's jobs, newest first."""
    query = build(JobQuery, state=state, kind=kind, limit=limit, cursor=cursor)
    return Operation(method="GET", template=_JOBS, path=fill(_JOBS, query), read=reader(Page[JobReply]))


def get(job: str) -> Operation[JobReply]:
    """Ask for one job."""
    path = fill(_JOB, job=_names.identifier(job))
    return Operation(method="GET", template=_JOB, path=path, read=reader(JobReply))


def cancel(job: str) -> Operation[JobReply]:
    """Ask a job to stop; asking twice does no more than asking once."""
    path = fill(_CANCEL, job=_names.identifier(job))
    return Operation(method="POST", template=_CANCEL, path=path, read=reader(JobReply), repeatable=True)


def delete(job: str) -> Operation[None]:
    """Erase a job that has ended."""
    path = fill(_JOB, job=_names.identifier(job))
    return Operation(method="DELETE", template=_JOB, path=path, read=nothing)


def log_page(job: str, *, limit: int | None = None, cursor: str | None = None) -> Operation[Page[JobLine]]:
    """Ask for a page of a job's log, oldest lines first."""
    path = fill(_LOG, build(PageQuery, limit=limit, cursor=cursor), job=_names.identifier(job))
    return Operation(method="GET", template=_LOG, path=path, read=reader(Page[JobLine]))


def events(job: str, *, after: int) -> Operation[None]:
    """Ask for the events of a job after a revision; the answer is a stream."""
    headers = {"Accept": EVENT_STREAM, "Accept-Encoding": "identity"}
    if after:
        headers["Last-Event-ID"] = str(after)
    path = fill(_EVENTS, job=_names.identifier(job))
    return Operation(method="GET", template=_EVENTS, path=path, read=nothing, headers=headers)
