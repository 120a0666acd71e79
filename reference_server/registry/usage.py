"""Usage: what each account asked of each version by day, in UTC; of a model as a whole only the totals."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from maas_client.types import ModelUsage, Page, UsageEntry, UsageQuery
from reference_server.registry import names
from reference_server.registry.database import now
from reference_server.registry.pages import Keyset
from reference_server.registry.tables import AccountRow, ModelRow, UsageRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy import Row, Select
    from sqlalchemy.orm import Session

    from reference_server.metrics import Asked
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

RECENT_DAYS = 30
# Thirteen months, so that a month can be held against that of a year before.
_KEPT_DAYS = 400
_MOST_NAMED = 500
_NEWEST_FIRST = Keyset("usage", (UsageRow.day, UsageRow.model_id, UsageRow.version), descending=True)
_ENTRIES: Select[*tuple[Any, ...]] = (
    select(UsageRow, ModelRow.name.label("model"), AccountRow.name.label("owner"))
    .join(ModelRow, ModelRow.id == UsageRow.model_id)
    .join(AccountRow, AccountRow.id == ModelRow.account_id)
)


def list_usage(db: Database, caller: Caller, query: UsageQuery) -> Page[UsageEntry]:
    """Return a page of what the caller's account asked for, the newest day first.

    Raises:
        NotFound: When `model` names none that they may see.
        InvalidRequest: With code `bad_cursor`.
    """
    statement = _ENTRIES.where(UsageRow.account_id == caller.account_id)
    if (condition := names.permitted(caller)) is not None:
        statement = statement.where(condition).params(caller=caller.account_id)
    if query.version is not None:
        statement = statement.where(UsageRow.version == query.version)
    if query.since is not None:
        statement = statement.where(UsageRow.day >= query.since)
    if query.until is not None:
        statement = statement.where(UsageRow.day <= query.until)
    with db.read() as session:
        if query.model is not None:
            model_id = names.visible(session, caller, query.model).row.id
            statement = statement.where(UsageRow.model_id == model_id)
        return _NEWEST_FIRST.page(session, statement, query, _to_entries)


def of_account(session: Session, account_id: str) -> list[UsageEntry]:
    """Return everything that an account asked for and that is still kept, the newest day first."""
    statement = _ENTRIES.where(UsageRow.account_id == account_id).order_by(
        UsageRow.day.desc(), UsageRow.model_id.desc(), UsageRow.version.desc()
    )
    return _to_entries(session.execute(statement))


def of_versions(session: Session, model_id: str) -> dict[int, ModelUsage]:
    """Return what all accounts together asked of each version lately, by its number."""
    sums = (
        select(UsageRow.version, func.sum(UsageRow.calls), func.sum(UsageRow.rows))
        .where(UsageRow.model_id == model_id, UsageRow.day > _before_recent(now(session)))
        .group_by(UsageRow.version)
    )
    return {version: total(calls, rows) for version, calls, rows in session.execute(sums)}


def total(calls: int, rows: int) -> ModelUsage:
    """Return the wire form of what all accounts together asked for lately."""
    return ModelUsage(calls=int(calls), rows=int(rows), days=RECENT_DAYS)


def add(session: Session, more: Mapping[tuple[str, str, int], Asked], *, at: datetime) -> None:
    """Add what was asked lately.

    Args:
        session: The writer's.
        more: What was asked for, by account, model and version; each of them is there.
        at: Now.
    """
    day = at.astimezone(UTC).date()
    known = _known(session, day, more.keys())
    made: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for key, asked in more.items():
        before = known.get(key, (0, 0, 0))
        counts = (before[0] + asked.calls, before[1] + asked.rows, before[2] + asked.failures)
        (changed if key in known else made).append(_values(day, key, counts))
    # The writer is alone, so that nothing came in between; one statement each, however many accounts.
    if made:
        session.execute(insert(UsageRow), made)
    if changed:
        session.execute(update(UsageRow), changed)


def roll(db: Database) -> None:
    """Forget days that are too old, and count anew what models were asked for lately; once a day."""
    at = db.clock()
    recent = [
        select(func.coalesce(func.sum(column), 0))
        .where(UsageRow.model_id == ModelRow.id, UsageRow.day > _before_recent(at))
        .scalar_subquery()
        for column in (UsageRow.calls, UsageRow.rows)
    ]
    with db.write() as session:
        session.execute(delete(UsageRow).where(UsageRow.day < at.date() - timedelta(days=_KEPT_DAYS)))
        session.execute(
            update(ModelRow)
            .where(ModelRow.recent_calls > 0)
            .values(recent_calls=recent[0], recent_rows=recent[1])
            .execution_options(synchronize_session=False)
        )


def _before_recent(at: datetime) -> date:
    return at.astimezone(UTC).date() - timedelta(days=RECENT_DAYS)


def _known(
    session: Session, day: date, keys: Collection[tuple[str, str, int]]
) -> dict[tuple[str, str, int], tuple[int, int, int]]:
    """Return what is stored of a day, for these accounts and models at least."""
    columns = (UsageRow.account_id, UsageRow.model_id, UsageRow.version)
    statement = select(*columns, UsageRow.calls, UsageRow.rows, UsageRow.failures).where(
        UsageRow.day == day, UsageRow.model_id.in_({model_id for _, model_id, _ in keys})
    )
    accounts = {account_id for account_id, _, _ in keys}
    # Of a popular model thousands of accounts have rows, and few of them called in the last second.
    if len(accounts) <= _MOST_NAMED:
        statement = statement.where(UsageRow.account_id.in_(accounts))
    return {(row[0], row[1], row[2]): (row[3], row[4], row[5]) for row in session.execute(statement)}


def _values(day: date, key: tuple[str, str, int], counts: tuple[int, int, int]) -> dict[str, Any]:
    account_id, model_id, version = key
    calls, rows, failures = counts
    return {
        "account_id": account_id,
        "day": day,
        "model_id": model_id,
        "version": version,
        "calls": calls,
        "rows": rows,
        "failures": failures,
    }


def _to_entries(rows: Iterable[Row[*tuple[Any, ...]]]) -> list[UsageEntry]:
    return [
        UsageEntry(
            day=row.UsageRow.day,
            model=f"{row.owner}~{row.model}",
            version=row.UsageRow.version,
            calls=row.UsageRow.calls,
            rows=row.UsageRow.rows,
            failures=row.UsageRow.failures,
        )
        for row in rows
    ]
