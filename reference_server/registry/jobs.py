"""Jobs as their accounts see them: made, listed, cancelled, deleted. What runs them is in `job_runs.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, func, not_, or_, select

from maas_client.types import ENDED_JOB_STATES, JobFault, JobLine, JobProgress, JobReply
from reference_server.errors import Conflict, NotFound
from reference_server.registry import data_keys, job_contents, names, row_counts
from reference_server.registry.ids import new_id
from reference_server.registry.job_contents import Contents, JobDamagedError
from reference_server.registry.pages import Keyset
from reference_server.registry.row_counts import Taken
from reference_server.registry.tables import AccountRow, JobLineRow, JobProcessRow, JobRow, ModelRow
from reference_server.security.limits import models_expression

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from pydantic import JsonValue
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from maas_client.types import JobQuery, Page, PageQuery
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.data_keys import Fresh
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

_NEWEST_FIRST = Keyset("jobs", (JobRow.created_at, JobRow.id), descending=True)
_LINES = Keyset("job-lines", (JobLineRow.number,))
_UNDER_WAY = ("queued", "running")
_DAMAGED = "what is stored of this job is damaged; its operator finds the reason in the log"
# A process that takes jobs says so several times in this time.
_SEEN_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a job is to do.

    Args:
        kind: By whom it is done; one of `reference_server.jobs.kinds`.
        request: What was asked, small.
        model: The exact name of the model that it is about.
        version: The version that it is about.
        input: The artifact that holds what was asked and is large; the job's own from here on.
        key: What sealed that artifact, and will seal whatever else is the job's.
        total: How many units of work there are.
        unit: What those are.
        taken: Rows of a day that were counted for it; those that it does not run are given back at its end.
    """

    kind: str
    request: Mapping[str, JsonValue] = field(default_factory=dict)
    model: str | None = None
    version: int | None = None
    input: str | None = None
    key: Fresh = field(default_factory=data_keys.fresh)
    total: int | None = None
    unit: str = ""
    taken: Taken | None = None


def create(
    db: Database,
    account_id: str,
    new: NewJob,
    *,
    resumable: bool,
    most_under_way: int,
    kept: timedelta,
) -> JobReply:
    """Queue a job.

    Args:
        db: The store.
        account_id: Whose it is.
        new: What it is to do.
        resumable: Whether it can go on from a checkpoint after its process has died.
        most_under_way: How many jobs of the account there may be that have not ended, this one included.
        kept: How long it is kept after its end, and how long it may wait for its beginning.

    Raises:
        Conflict: With code `too_many_jobs`.
    """
    now = db.clock()
    with db.write() as session:
        check_room(session, account_id, most_under_way)
        row = JobRow(
            id=new_id("job"),
            account_id=account_id,
            kind=new.kind,
            state="queued",
            revision=1,
            data_key=new.key.id,
            model=new.model,
            version=new.version,
            input=new.input,
            resumable=resumable,
            cancel_requested=False,
            attempts=0,
            done=0,
            total=new.total,
            unit=new.unit,
            lines=0,
            created_at=now,
            kept_seconds=round(kept.total_seconds()),
            expires_at=now + kept,
            taken=None if new.taken is None else new.taken.as_json(),
        )
        data_keys.keep(session, account_id, "job", new.key, thing=row.id)
        job_contents.write(session, row, Contents(dict(new.request)))
        session.add(row)
        return to_job(session, row)


def check_room(session: Session, account_id: str, most: int) -> None:
    """Refuse one job more than an account may have under way.

    Raises:
        Conflict: With code `too_many_jobs`.
    """
    theirs = select(func.count()).where(JobRow.account_id == account_id, JobRow.state.in_(_UNDER_WAY))
    count = session.scalar(theirs) or 0
    if count >= most:
        raise Conflict(
            f"you have {count} jobs queued or running, the most that one account may; wait for one to end, "
            "or cancel one with POST /v1/jobs/{job}/cancel",
            code="too_many_jobs",
        )


def are_served(db: Database) -> bool:
    """Tell whether any process has looked for jobs of this store a moment ago."""
    since = db.clock() - timedelta(seconds=_SEEN_SECONDS)
    with db.read() as session:
        return session.scalar(select(JobProcessRow.owner).where(JobProcessRow.seen_at > since)) is not None


def get(db: Database, account_id: str, job_id: str) -> JobReply:
    """Return one of an account's jobs.

    Raises:
        NotFound: When the account has none of this id, or no longer.
    """
    with db.read() as session:
        return to_job(session, _row(session, account_id, job_id))


def require_permitted(db: Database, caller: Caller, job_id: str) -> None:
    """Refuse a job about a model that the caller's key is not to touch, like one that is not there.

    Raises:
        NotFound: When it is.
    """
    condition = _permitted(caller)
    if condition is None:
        return
    with db.read() as session:
        permitted = select(JobRow.id).where(JobRow.id == job_id, condition)
        if session.scalar(permitted, {"caller": caller.account_id}) is None:
            raise _not_found(job_id)


def list_jobs(db: Database, caller: Caller, query: JobQuery) -> Page[JobReply]:
    """Return a page of the jobs of the caller's account, newest first.

    Raises:
        InvalidRequest: With code `bad_cursor`.
    """
    statement = select(JobRow).where(JobRow.account_id == caller.account_id)
    if (condition := _permitted(caller)) is not None:
        statement = statement.where(condition).params(caller=caller.account_id)
    if query.state is not None:
        statement = statement.where(JobRow.state == query.state)
    if query.kind is not None:
        statement = statement.where(JobRow.kind == query.kind)
    with db.read() as session:
        return _NEWEST_FIRST.page(
            session, statement, query, lambda rows: [to_job(session, row.JobRow) for row in rows]
        )


def all_of(session: Session, account_id: str) -> list[JobReply]:
    """Return every job of an account, newest first."""
    theirs = select(JobRow).where(JobRow.account_id == account_id).order_by(JobRow.created_at.desc())
    return [to_job(session, row) for row in session.scalars(theirs)]


def read_log(db: Database, account_id: str, job_id: str, query: PageQuery) -> Page[JobLine]:
    """Return a page of a job's log, oldest lines first.

    Raises:
        NotFound: When the account has no such job.
        InvalidRequest: With code `bad_cursor`.
    """
    with db.read() as session:
        row = _row(session, account_id, job_id)
        return _LINES.page(
            session,
            select(JobLineRow).where(JobLineRow.job_id == row.id),
            query,
            lambda rows: [_to_line(session, row, each.JobLineRow) for each in rows],
        )


def _to_line(session: Session, job: JobRow, row: JobLineRow) -> JobLine:
    try:
        text = job_contents.line_text(session, job, row)
    except JobDamagedError:
        text = f"({_DAMAGED})"
    return JobLine(number=row.number, at=row.at, text=text)


def cancel(db: Database, store: ArtifactStore, account_id: str, job_id: str) -> JobReply:
    """Ask a job to stop: one that waits has ended then, one that runs ends at its next step.

    One that was asked before, or has ended, stays as it is.

    Raises:
        NotFound: When the account has no such job.
    """
    useless: list[str] = []
    with db.write() as session:
        row = _row(session, account_id, job_id)
        if row.state not in ENDED_JOB_STATES and not row.cancel_requested:
            row.cancel_requested = True
            row.revision += 1
            if row.state == "queued":
                useless = end(session, row, "cancelled", at=db.clock())
        found = to_job(session, row)
    discard(store, useless)
    return found


def delete(db: Database, store: ArtifactStore, account_id: str, job_id: str) -> None:
    """Erase a job that has ended, its log and its result.

    Raises:
        NotFound: When the account has no such job.
        Conflict: With code `job_under_way`, when it has not ended.
    """
    with db.write() as session:
        row = _row(session, account_id, job_id)
        if row.state not in ENDED_JOB_STATES:
            raise Conflict(
                f"the job is {row.state}; cancel it with POST /v1/jobs/{row.id}/cancel, and delete it when "
                "it has ended",
                code="job_under_way",
            )
        useless = [name for name in (row.input, row.checkpoint) if name is not None]
        session.delete(row)
        data_keys.destroy(session, [row.data_key] if row.data_key else [])
    discard(store, useless)


def revisions(db: Database, ids: Collection[str]) -> dict[str, int]:
    """Return the revision of each job that is still there, for whoever watches them."""
    with db.read() as session:
        rows = session.execute(select(JobRow.id, JobRow.revision).where(JobRow.id.in_(ids)))
        return {row.id: row.revision for row in rows}


def end(
    session: Session,
    row: JobRow,
    state: str,
    *,
    at: datetime,
    code: str | None = None,
    message: str | None = None,
    spent: int = 0,
) -> list[str]:
    """Give a job its end; return the artifacts that nobody needs any more once that is committed.

    Of the rows that were taken from a day for it those are given back that it has not `spent`.
    """
    useless = [name for name in (row.input, row.checkpoint) if name is not None]
    if row.taken is not None:
        row_counts.give_back(session, Taken.of(row.taken), spent=spent)
        row.taken = None
    row.state, row.ended_at, row.expires_at = state, at, at + timedelta(seconds=row.kept_seconds)
    row.error_code = code
    if message is not None:
        try:
            job_contents.change(session, row, error_message=message)
        except JobDamagedError:
            # Nobody reads the message either.
            row.error_code = job_contents.DAMAGED
    row.input = row.checkpoint = row.owner = row.leased_until = row.remaining_seconds = None
    row.revision += 1
    return useless


def discard(store: ArtifactStore, names: Collection[str]) -> None:
    """Delete artifacts; should the process die before, they are swept with the other orphans."""
    for name in names:
        store.delete(name)


def to_job(session: Session, row: JobRow) -> JobReply:
    """Return the wire form of a job."""
    code = row.error_code
    try:
        contents = job_contents.read(session, row)
    except JobDamagedError:
        # One that is damaged hides no other in a list.
        contents, code = Contents({}, error_message=_DAMAGED), job_contents.DAMAGED
    fault = None if code is None else JobFault(code=code, message=contents.error_message or "")
    return JobReply(
        id=row.id,
        kind=row.kind,
        state=row.state,
        revision=row.revision,
        model=row.model,
        version=row.version,
        request=dict(contents.request),
        progress=JobProgress(
            done=row.done, total=row.total, unit=row.unit, remaining_seconds=row.remaining_seconds
        ),
        cancel_requested=row.cancel_requested,
        attempts=row.attempts,
        interim=None if contents.interim is None else dict(contents.interim),
        result=None if contents.result is None else dict(contents.result),
        error=fault,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        expires_at=row.expires_at,
    )


def _row(session: Session, account_id: str, job_id: str) -> JobRow:
    row = session.get(JobRow, job_id)
    if row is None or row.account_id != account_id:
        raise _not_found(job_id)
    return row


def _permitted(caller: Caller) -> ColumnElement[bool] | None:
    """Return the condition over `JobRow` that a key's limits add; its parameter is `caller`."""
    condition = names.permitted(caller)
    if condition is None:
        return None
    about = and_(AccountRow.id == ModelRow.account_id, AccountRow.name + "~" + ModelRow.name == JobRow.model)
    return or_(exists().where(about, condition), and_(_of_own_name(caller), not_(exists().where(about))))


def _of_own_name(caller: Caller) -> ColumnElement[bool]:
    """Return the condition that a job is to make a model of a name that a key's limits allow."""
    own = f"{caller.account_name}~"
    expression = models_expression(caller.limits.models or ())
    named = func.substr(JobRow.model, len(own) + 1).regexp_match(expression)
    return and_(
        JobRow.model.startswith(own, autoescape=True), or_(named, JobRow.model.regexp_match(expression))
    )


def _not_found(job_id: str) -> NotFound:
    return NotFound(
        f"you have no job {job_id[:100]!r}: it was deleted or forgotten, or is another account's; "
        "GET /v1/jobs lists yours",
        code="job_not_found",
        param="job",
    )
