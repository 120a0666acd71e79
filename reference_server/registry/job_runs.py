"""Jobs as the processes see them that run them: taken under a lease, renewed, ended, taken over.

Who runs a job must say every few seconds that it still does. A process that died says nothing: when its lease
has run out the job is queued again where it can go on, and `interrupted` where it cannot. Whatever a process
writes about a job holds only while the job is still its own.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from sqlalchemy import case, delete, func, or_, select
from sqlalchemy.orm import aliased

from reference_server.registry import job_contents, measurements
from reference_server.registry.job_contents import JobDamagedError, sealed_line
from reference_server.registry.jobs import discard, end
from reference_server.registry.tables import (
    AccountRow,
    JobExplanationsRow,
    JobLineRow,
    JobProcessRow,
    JobRow,
)
from reference_server.security.callers import ALL_SCOPES, Caller

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import JsonValue
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from reference_server.metrics import Measured, ModelKey
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.security.encryption import DataKey

# One that was begun so often and never ended most likely kills whoever runs it.
MOST_ATTEMPTS = 3
MOST_LINES = 1000
MOST_LINE_CHARACTERS = 1000
# Processes that have said nothing for so long are gone for good.
_PROCESSES_KEPT = timedelta(hours=1)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

Verdict: TypeAlias = Literal["go on", "cancel", "lost"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a process has taken.

    Args:
        job_id: Its id.
        owner: The process.
        caller: Its account; it may see what that may see.
        kind: What is to be done.
        request: What was asked.
        model: The exact name of the model that it is about.
        version: The version that it is about.
        input: The artifact with what was asked and is large.
        checkpoint: The artifact from which to go on.
        key: What seals both.
        done: Units that were done before.
        total: Units in all.
        unit: What they are.
    """

    job_id: str
    owner: str
    caller: Caller
    kind: str
    request: Mapping[str, JsonValue]
    model: str | None
    version: int | None
    input: str | None
    checkpoint: str | None
    key: DataKey
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True, slots=True)
class Explanations:
    """Explanations that a job made.

    Args:
        key: The exact name of the model, the version and the device.
        made: What each took in seconds, and the rows that it ran.
    """

    key: ModelKey
    made: tuple[tuple[float, int], ...]


def claim(db: Database, owner: str, *, lease: timedelta) -> Claim | None:
    """Take the next job, or return None where none waits.

    It is the oldest one of the account that has the least running and, of those, has waited longest for a job
    of its own to begin: many jobs of one account do not hold up the single one of another.
    """
    with db.read() as session:
        if session.scalar(select(JobRow.id).where(JobRow.state == "queued").limit(1)) is None:
            return None
    now = db.clock()
    with db.write() as session:
        row = session.scalar(_next())
        if row is None:
            return None
        row.state, row.owner, row.leased_until = "running", owner, now + lease
        row.started_at = now
        row.attempts += 1
        row.revision += 1
        account = session.get_one(AccountRow, row.account_id)
        try:
            return _claimed(session, row, owner, account)
        except JobDamagedError:
            # It must not keep the next one waiting; its artifacts go when it is forgotten.
            end(session, row, "failed", at=now, code=job_contents.DAMAGED)
            return None


def renew(db: Database, claim: Claim, *, lease: timedelta) -> Verdict:
    """Say that a job still runs; return what is to become of it."""
    with db.write() as session:
        row = _own(session, claim)
        if row is None:
            return "lost"
        row.leased_until = db.clock() + lease
        return "cancel" if row.cancel_requested else "go on"


def verdict(db: Database, claim: Claim) -> Verdict:
    """Return what is to become of a job, without a word about it."""
    with db.read() as session:
        row = _own(session, claim)
        if row is None:
            return "lost"
        return "cancel" if row.cancel_requested else "go on"


def report(
    db: Database,
    claim: Claim,
    *,
    done: int,
    total: int | None,
    remaining_seconds: float | None,
    unit: str | None = None,
    interim: Mapping[str, JsonValue] | None = None,
) -> None:
    """Write how far a job has come, its unit and what is known of its result where those are given."""
    with db.write() as session:
        if (row := _own(session, claim)) is not None:
            row.done, row.total, row.remaining_seconds = done, total, remaining_seconds
            row.unit = row.unit if unit is None else unit
            row.revision += 1
            if interim is not None:
                job_contents.change(session, row, interim=dict(interim))


def add_lines(db: Database, claim: Claim, lines: Sequence[tuple[datetime, str]]) -> None:
    """Append lines to a job's log; of many the last ones are kept."""
    with db.write() as session:
        row = _own(session, claim)
        if row is None:
            return
        for at, text in lines:
            row.lines += 1
            sealed = sealed_line(claim.key, row.id, row.lines, text[:MOST_LINE_CHARACTERS])
            session.add(JobLineRow(job_id=row.id, number=row.lines, at=at, sealed=sealed))
        session.execute(
            delete(JobLineRow).where(JobLineRow.job_id == row.id, JobLineRow.number <= row.lines - MOST_LINES)
        )


def save(db: Database, store: ArtifactStore, claim: Claim, *, artifact: str, done: int) -> None:
    """Let a job go on from an artifact should its process die; the one before is deleted."""
    before = None
    with _writing(db, claim) as row:
        if row is not None:
            before, row.checkpoint, row.done = row.checkpoint, artifact, done
        else:
            before = artifact
    discard(store, [before] if before else [])


def succeed(
    db: Database,
    store: ArtifactStore,
    claim: Claim,
    result: Mapping[str, JsonValue],
    *,
    counted: Mapping[ModelKey, Measured] = MappingProxyType({}),
    explained: Explanations | None = None,
    spent: int = 0,
) -> None:
    """Give a job its result, and count once, however often it was resumed, what it asked of versions.

    Args:
        db: The store.
        store: Where its artifacts are.
        claim: The job.
        result: What it made.
        counted: What it asked, for its account's usage.
        explained: Explanations that it made, for the workers' metrics.
        spent: How many of the rows that were taken for it from a day it has run.
    """
    useless: list[str] = []
    with db.write() as session:
        if (row := _own(session, claim)) is not None:
            job_contents.change(session, row, result=dict(result))
            row.done = row.done if row.total is None else row.total
            useless = end(session, row, "succeeded", at=db.clock(), spent=spent)
            if counted:
                measurements.add(session, counted, at=db.clock())
            if explained is not None:
                model, version, device = explained.key
                made = [list(each) for each in explained.made]
                session.add(
                    JobExplanationsRow(
                        job_id=claim.job_id, model=model, version=version, device=device, made=made
                    )
                )
    discard(store, useless)


def take_explanations(db: Database) -> list[Explanations]:
    """Return the explanations that jobs made since this was called last, in whichever worker."""
    with db.read() as session:
        if session.scalar(select(JobExplanationsRow.job_id).limit(1)) is None:
            return []
    with db.write() as session:
        rows = session.scalars(delete(JobExplanationsRow).returning(JobExplanationsRow)).all()
        return [
            Explanations(
                (row.model, row.version, row.device),
                tuple((seconds, int(count)) for seconds, count in row.made),
            )
            for row in rows
        ]


def fail(
    db: Database, store: ArtifactStore, claim: Claim, *, code: str, message: str, spent: int = 0
) -> None:
    """End a job for reasons of its own; `spent` is as in `succeed`."""
    _end(db, store, claim, "failed", code=code, message=message, spent=spent)


def cancel(db: Database, store: ArtifactStore, claim: Claim, *, spent: int = 0) -> None:
    """End a job because it was asked to stop; `spent` is as in `succeed`."""
    _end(db, store, claim, "cancelled", code=None, message=None, spent=spent)


def hand_back(db: Database, store: ArtifactStore, claim: Claim) -> None:
    """Give up a job because this process ends: another goes on with it if that can be."""
    useless: list[str] = []
    with db.write() as session:
        if (row := _own(session, claim)) is not None:
            # It ended in peace: that is no attempt on anybody's life.
            row.attempts -= 1
            useless = _leave(session, row, db.clock(), "the server was stopped")
    discard(store, useless)


def recover(db: Database, store: ArtifactStore, *, dead: str | None = None) -> int:
    """Take jobs from processes that have died, and return how many.

    Args:
        db: The store.
        store: Where their artifacts are.
        dead: What the names of processes begin with that are known to be dead, whatever their leases say.
    """
    now = db.clock()
    orphaned = [JobRow.leased_until <= now]
    if dead is not None:
        orphaned.append(JobRow.owner.startswith(dead, autoescape=True))
    found = select(JobRow).where(JobRow.state == "running", or_(*orphaned))
    with db.read() as session:
        if session.scalar(found.limit(1)) is None:
            return 0
    useless: list[str] = []
    with db.write() as session:
        rows = session.scalars(found).all()
        for row in rows:
            useless += _leave(session, row, now, "the process that ran it died")
    discard(store, useless)
    return len(rows)


def sign_in(db: Database, owner: str) -> None:
    """Say that a process takes jobs."""
    now = db.clock()
    with db.write() as session:
        session.merge(JobProcessRow(owner=owner, seen_at=now))
        session.execute(delete(JobProcessRow).where(JobProcessRow.seen_at < now - _PROCESSES_KEPT))


def sign_out(db: Database, owner: str) -> None:
    """Say that a process takes no more jobs."""
    with db.write() as session:
        session.execute(delete(JobProcessRow).where(JobProcessRow.owner == owner))


def _leave(session: Session, row: JobRow, now: datetime, why: str) -> list[str]:
    """Make of a job that nobody runs any more what can be made of it; return artifacts of no use."""
    if row.cancel_requested:
        return end(session, row, "cancelled", at=now)
    if row.resumable and row.attempts < MOST_ATTEMPTS:
        row.state, row.owner, row.leased_until, row.remaining_seconds = "queued", None, None, None
        if row.checkpoint is None:
            row.done = 0
        row.revision += 1
        return []
    message = _why_not(row, why)
    return end(session, row, "interrupted", at=now, code="interrupted", message=message)


def _why_not(row: JobRow, why: str) -> str:
    if row.resumable:
        return f"it was begun {row.attempts} times, and each time {why}; see its log, and try it with less"
    return f"{why}, and a job of the kind {row.kind!r} cannot go on from there; create it again"


def _end(
    db: Database,
    store: ArtifactStore,
    claim: Claim,
    state: str,
    *,
    code: str | None,
    message: str | None,
    spent: int,
) -> None:
    useless: list[str] = []
    with db.write() as session:
        if (row := _own(session, claim)) is not None:
            useless = end(session, row, state, at=db.clock(), code=code, message=message, spent=spent)
    discard(store, useless)


@contextmanager
def _writing(db: Database, claim: Claim) -> Iterator[JobRow | None]:
    with db.write() as session:
        yield _own(session, claim)


def _own(session: Session, claim: Claim) -> JobRow | None:
    row = session.get(JobRow, claim.job_id)
    return row if row is not None and row.state == "running" and row.owner == claim.owner else None


def _next() -> Select[JobRow]:
    others = aliased(JobRow)
    running = case((others.state == "running", 1), else_=0)
    of_account = (
        select(
            others.account_id,
            func.sum(running).label("running"),
            func.max(others.started_at).label("begun"),
        )
        .group_by(others.account_id)
        .subquery()
    )
    return (
        select(JobRow)
        .join(of_account, of_account.c.account_id == JobRow.account_id)
        .join(AccountRow, AccountRow.id == JobRow.account_id)
        .where(
            JobRow.state == "queued",
            AccountRow.disabled.is_(False),
            # Of before things were sealed: `sealing_up.py` gives it a key first.
            JobRow.data_key.is_not(None),
        )
        .order_by(
            of_account.c.running,
            func.coalesce(of_account.c.begun, _NEVER),
            JobRow.created_at,
            JobRow.id,
        )
        .limit(1)
    )


def _claimed(session: Session, row: JobRow, owner: str, account: AccountRow) -> Claim:
    return Claim(
        job_id=row.id,
        owner=owner,
        caller=Caller(account.id, account.name, account.role, "", "session", ALL_SCOPES),
        kind=row.kind,
        request=job_contents.read(session, row).request,
        model=row.model,
        version=row.version,
        input=row.input,
        checkpoint=row.checkpoint,
        key=job_contents.key_of(session, row),
        done=row.done,
        total=row.total,
        unit=row.unit,
    )
