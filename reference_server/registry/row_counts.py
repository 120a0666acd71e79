"""Rows by day of those who have a quota: what workers add to once a second, and read back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, tuple_, update

from reference_server.registry.tables import RowCountRow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date

    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.quotas import Counted

_KEPT_DAYS = 2


def read(db: Database, subject: str, day: date) -> int:
    """Return the rows that were asked for by all who are counted under a subject."""
    with db.read() as session:
        return _read(session, [(subject, day)]).get((subject, day), 0)


def add(db: Database, more: Mapping[Counted, int]) -> dict[Counted, int]:
    """Add rows, and return what is there then, for each subject and day.

    Raises:
        Unavailable: When another writer holds the store for too long.
    """
    if not any(more.values()):
        with db.read() as session:
            known = _read(session, more)
        return {key: known.get(key, 0) for key in more}
    with db.write() as session:
        known = _read(session, more)
        sums = {key: max(0, known.get(key, 0) + rows) for key, rows in more.items()}
        for (subject, day), rows in sums.items():
            values = {"subject": subject, "day": day, "rows": rows}
            session.execute(update(RowCountRow) if (subject, day) in known else insert(RowCountRow), [values])
        return sums


def purge(session: Session, today: date) -> None:
    """Forget days that are past."""
    session.execute(delete(RowCountRow).where(RowCountRow.day < today - timedelta(days=_KEPT_DAYS)))


def _read(session: Session, keys: Collection[Counted]) -> dict[Counted, int]:
    known = tuple_(RowCountRow.subject, RowCountRow.day).in_(list(keys))
    rows = session.execute(select(RowCountRow.subject, RowCountRow.day, RowCountRow.rows).where(known))
    return {(subject, day): count for subject, day, count in rows}
