"""Rows by day of those who have a quota: what each worker used, and what it may use by now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, tuple_

from reference_server.registry.tables import RowCountRow
from reference_server.security.quotas import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import JsonValue
    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.quotas import Claim, Key

_KEPT_DAYS = 2
# Under this number stands what jobs gave back, less than 0. No worker has it, so that it counts for all.
_JOBS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows of a day that were counted for a job before it began.

    Args:
        subjects: Whose they are.
        day: Of which day, in UTC.
        rows: How many of each.
    """

    subjects: tuple[str, ...]
    day: date
    rows: int

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as it stands in a job's row."""
        return {"subjects": list(self.subjects), "day": self.day.isoformat(), "rows": self.rows}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Taken:
        """Return what stands in a job's row."""
        return cls(tuple(told["subjects"]), date.fromisoformat(told["day"]), int(told["rows"]))


def claim(db: Database, claims: Sequence[Claim], *, worker: int, workers: int) -> list[Grant]:
    """Add what a worker used, and grant it a share of what no worker has claimed.

    Grants are never taken back while they may be in use, so that they never add up to more than the quota.

    Args:
        db: The store.
        claims: Each of another subject or day.
        worker: The worker's number, from 0.
        workers: How many there are; of numbers beyond that, which an earlier run had, only what was used
            counts.

    Raises:
        Unavailable: When another writer holds the store for too long.
    """
    if workers == 1 and not any(each.used for each in claims):
        # A single worker has nobody to tell.
        with db.read() as session:
            known = _known(session, claims)
        return [_grant(each, known.get((each.subject, each.day), []), worker, workers) for each in claims]
    with db.write() as session:
        known = _known(session, claims)
        grants = []
        for each in claims:
            rows = known.get((each.subject, each.day), [])
            grant = _grant(each, rows, worker, workers)
            session.merge(
                RowCountRow(
                    subject=each.subject,
                    day=each.day,
                    worker=worker,
                    used=grant.used,
                    granted=grant.granted,
                )
            )
            grants.append(grant)
        return grants


def give_back(session: Session, taken: Taken, *, spent: int) -> None:
    """Return what a job that has ended did not need; workers hear of it within a second."""
    unused = taken.rows - spent
    if unused <= 0:
        return
    for subject in taken.subjects:
        row = session.get(RowCountRow, (subject, taken.day, _JOBS))
        if row is None:
            session.add(RowCountRow(subject=subject, day=taken.day, worker=_JOBS, used=-unused, granted=0))
        else:
            row.used -= unused


def take_given_back(db: Database, today: date) -> dict[str, int]:
    """Return what jobs gave back by subject, for who counts elsewhere; it is told once."""
    given = (RowCountRow.worker == _JOBS, RowCountRow.day == today)
    with db.read() as session:
        if session.scalar(select(RowCountRow.subject).where(*given).limit(1)) is None:
            return {}
    with db.write() as session:
        rows = session.execute(
            delete(RowCountRow).where(*given).returning(RowCountRow.subject, RowCountRow.used)
        )
        return {row.subject: -row.used for row in rows}


def purge(session: Session, today: date) -> None:
    """Forget days that are past."""
    session.execute(delete(RowCountRow).where(RowCountRow.day < today - timedelta(days=_KEPT_DAYS)))


def _known(session: Session, claims: Iterable[Claim]) -> dict[Key, list[RowCountRow]]:
    keys = [(each.subject, each.day) for each in claims]
    wanted = tuple_(RowCountRow.subject, RowCountRow.day).in_(keys)
    known: dict[Key, list[RowCountRow]] = {}
    for row in session.scalars(select(RowCountRow).where(wanted)):
        known.setdefault((row.subject, row.day), []).append(row)
    return known


def _grant(claim: Claim, rows: Sequence[RowCountRow], worker: int, workers: int) -> Grant:
    own = next((row for row in rows if row.worker == worker), None)
    others = [row for row in rows if row.worker != worker]
    claimed = sum(row.granted if row.worker < workers else row.used for row in others)
    used = max(0, claim.used + (0 if own is None else own.used))
    left = max(0, claim.most - used - sum(row.used for row in others))
    if claim.is_over:
        return Grant(used, used, left)
    room = max(0, claim.most - claimed - used)
    share = claim.needed if room // workers < claim.needed <= room else room // workers
    before = 0 if own is None or workers == 1 else own.granted
    return Grant(used, max(before, used + share), left)
