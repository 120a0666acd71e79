"""Jobs: what was asked for, how far it is, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import orjson

from maas_client.types import ENDED_JOB_STATES, JobLine, JobReply, JobState, Page
from reference_server.console import advice, evaluations, fine_tunes
from reference_server.console.table import Pages
from reference_server.http.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reference_server.console.languages import Texts
    from reference_server.console.visits import Visit

pages = Pages()

_ON_A_PAGE = 50
# Kinds of jobs whose page shows more than their result as JSON.
_SHOWN: Mapping[str, Callable[[Visit, JobReply], dict[str, Any]]] = {
    fine_tunes.KIND: fine_tunes.shown,
    evaluations.KIND: evaluations.shown,
    advice.KIND: advice.shown,
    advice.APPLYING: advice.shown_applied,
}
_TEMPLATES = {
    fine_tunes.KIND: "fine_tune.html",
    evaluations.KIND: "evaluation.html",
    advice.KIND: "advice.html",
    advice.APPLYING: "applied.html",
}
_JSON = {"content-type": "application/json", "cache-control": "no-store"}


@pages.get("/jobs")
def list_jobs(visit: Visit) -> Answer:
    """Show the account's jobs, newest first."""
    query = {name: visit.query.get(name) for name in ("state", "kind", "cursor")}
    found = visit.api.ask("jobs.list_jobs", Page[JobReply], query={**query, "limit": _ON_A_PAGE})
    return visit.render("jobs.html", found=found, given=query, states=get_args(JobState))


@pages.get("/jobs/<job>")
def show(visit: Visit, job: str) -> Answer:
    """Show a job with its log and its result."""
    found = visit.api.ask("jobs.get", JobReply, job=job)
    lines = visit.api.ask("jobs.read_log", Page[JobLine], job=job).data
    result = None if found.result is None else orjson.dumps(found.result, option=orjson.OPT_INDENT_2).decode()
    return visit.render(
        _TEMPLATES.get(found.kind, "job.html"),
        job=found,
        lines=lines,
        result=result,
        ended=_has_ended(found),
        is_told=found.kind in _SHOWN,
        **(_SHOWN[found.kind](visit, found) if found.kind in _SHOWN else {}),
    )


@pages.get("/jobs/<job>/progress")
def progress(visit: Visit, job: str) -> Answer:
    """Tell how far a job is, for the script that keeps its page up to date."""
    found = visit.api.ask("jobs.get", JobReply, job=job)
    done, total = found.progress.done, found.progress.total
    told = {
        "state": visit.texts.or_else(f"job_state.{found.state}", found.state),
        "ended": _has_ended(found),
        "done": done,
        "total": total,
        "text": progress_text(found),
        **_live(found, visit.texts),
    }
    return Answer(200, _JSON, orjson.dumps(told))


@pages.get("/jobs/<job>/events")
def events(visit: Visit, job: str) -> Answer:
    """Follow a job as the API's stream does; our own server hands it on to that before it comes here."""
    return visit.api.send("jobs.events", job=job)


@pages.post("/jobs/<job>/cancel")
def cancel(visit: Visit, job: str) -> Answer:
    """Ask a job to stop."""
    visit.api.send("jobs.cancel", job=job)
    return visit.go("jobs", job, said="job_cancelled")


@pages.post("/jobs/<job>/delete")
def delete(visit: Visit, job: str) -> Answer:
    """Erase a job that has ended."""
    visit.api.send("jobs.delete", job=job)
    return visit.go("jobs", said="job_deleted")


def progress_text(job: JobReply) -> str:
    """Return how far a job is, in numbers."""
    of = f" / {job.progress.total:,}" if job.progress.total is not None else ""
    return f"{job.progress.done:,}{of} {job.progress.unit}".strip()


def _live(job: JobReply, texts: Texts) -> dict[str, object]:
    """Return what else the page of a job under way changes: texts and lines by name, a table's rows."""
    told: dict[str, object] = {"texts": {}, "points": {}, "rows": []}
    if job.kind == fine_tunes.KIND:
        drawn = fine_tunes.picture(job)
        told |= {"texts": drawn.texts, "points": drawn.points}
    elif job.kind == advice.KIND:
        told |= {"rows": advice.rows(job, texts)}
    return told


def _has_ended(job: JobReply) -> bool:
    return job.state in ENDED_JOB_STATES
