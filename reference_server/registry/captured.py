"""The calls that were captured: read and erased by a model's owners, and gone when their days have ended."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, or_, select

from maas_client.types import CapturedCall, Page
from reference_server.registry import capture, capture_set, data_keys, erasures, names
from reference_server.registry.database import now
from reference_server.registry.pages import read_cursor, write_cursor
from reference_server.registry.tables import CapturedRow, CaptureRow, ModelRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from maas_client.types import CapturedQuery, Erasure
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

_LISTING = "captured"
# A page is made in memory: one of large calls has fewer than were asked for.
_PAGE_BYTES = 8 * 2**20


def check(db: Database, caller: Caller, model: str) -> None:
    """Refuse early who may not read the captured calls of a model.

    Raises:
        NotFound: When the model is not there.
        Forbidden: With code `not_owner` or `missing_role`.
    """
    with db.read() as session:
        names.allowed(session, caller, model, names.OWNER)


def list_calls(db: Database, caller: Caller, model: str, query: CapturedQuery) -> Page[CapturedCall]:
    """Return a page of the captured calls, oldest first; one of large calls is shorter than its limit.

    A call whose seal does not open has a `fault` in the place of its contents.

    Raises:
        NotFound: When the model is not there.
        Forbidden: With code `not_owner` or `missing_role`.
        InvalidRequest: With code `bad_cursor`.
        Unavailable: With code `captured_damaged`, when the key of all does not open.
    """
    with db.read() as session:
        model_id = names.allowed(session, caller, model, names.OWNER).row.id
        row = session.get(CaptureRow, model_id)
        if row is None:
            return Page(data=[])
        where = _listed(session, row, query)
        sizes = session.execute(
            select(CapturedRow.seq, CapturedRow.size)
            .where(where)
            .order_by(CapturedRow.seq)
            .limit(query.limit + 1)
        ).all()
        taken = _fitting([(seq, size) for seq, size in sizes[: query.limit]])
        if not taken:
            return Page(data=[])
        statement = select(CapturedRow).where(where, CapturedRow.seq <= taken[-1]).order_by(CapturedRow.seq)
        key = capture_set.key_of(session, row)
        listed = [capture_set.opened(each, key) for each in session.scalars(statement)]
    more = len(taken) < len(sizes)
    cursor = write_cursor(_LISTING, [taken[-1]]) if more else None
    return Page(data=listed, has_more=more, next_cursor=cursor)


def erase(db: Database, store: ArtifactStore, caller: Caller, model: str) -> Erasure:
    """Destroy the key of a model's captured calls and delete them; capture itself stays as it is set.

    Returns:
        The erasure, which may be pending.

    Raises:
        NotFound: When the model is not there.
        Forbidden: With code `not_owner` or `missing_role`.
    """
    with db.write() as session:
        found = names.allowed(session, caller, model, names.OWNER).row
        row = session.get(CaptureRow, found.id)
        erasure = erasures.begin(
            session,
            "captured",
            capture.thing(found.id),
            name=f"{names.exact_name(session, found)} captured",
            counts={"captured_calls": count(session, found.id)},
        )
        if row is not None:
            _begin_anew(session, row, found)
    return erasures.finish(db, store, erasure)


def count(session: Session, model_id: str) -> int:
    """Return how many captured calls a model has."""
    calls = select(func.count()).select_from(CapturedRow).where(CapturedRow.model_id == model_id)
    return session.scalar(calls) or 0


def key_of(session: Session, model_id: str) -> str | None:
    """Return the id of the key of a model's captured calls."""
    return session.scalar(select(CaptureRow.data_key).where(CaptureRow.model_id == model_id))


def forget_caller(session: Session, account_id: str) -> None:
    """Delete the calls of an account from the sets of all models, in a writer's session."""
    theirs = select(CapturedRow.model_id).where(CapturedRow.account_id == account_id).distinct()
    for row in session.scalars(select(CaptureRow).where(CaptureRow.model_id.in_(theirs))).all():
        capture_set.remove(session, row, CapturedRow.account_id == account_id)


def purge(session: Session) -> None:
    """Delete the calls whose days have ended, in a writer's session."""
    for row in session.scalars(select(CaptureRow).where(CaptureRow.records > 0)).all():
        capture_set.remove(session, row, _is_over(session, row))


def _begin_anew(session: Session, row: CaptureRow, model: ModelRow) -> None:
    session.execute(delete(CapturedRow).where(CapturedRow.model_id == row.model_id))
    if row.data_key is not None:
        data_keys.destroy(session, [row.data_key])
        row.data_key = None
    row.records = row.bytes = row.dropped = 0
    if row.since is not None:
        capture.make_key(session, row, model.account_id)


def _is_over(session: Session, row: CaptureRow) -> ColumnElement[bool]:
    """Return which calls' days have ended: those their callers were told of, or fewer by now."""
    at = now(session)
    return or_(CapturedRow.expires_at <= at, CapturedRow.at <= at - timedelta(days=row.days))


def _listed(session: Session, row: CaptureRow, query: CapturedQuery) -> ColumnElement[bool]:
    # What has ended is told no more, also before housekeeping comes to it.
    listed = and_(CapturedRow.model_id == row.model_id, ~_is_over(session, row))
    if query.version is not None:
        listed = and_(listed, CapturedRow.version == query.version)
    if query.cursor is not None:
        (after,) = read_cursor(query.cursor, _LISTING, (CapturedRow.seq,))
        listed = and_(listed, CapturedRow.seq > after)
    return listed


def _fitting(sizes: Iterable[tuple[int, int]]) -> list[int]:
    """Return the numbers of the calls that fit into a page: at least one."""
    taken: list[int] = []
    left = _PAGE_BYTES
    for seq, size in sizes:
        left -= size
        if taken and left < 0:
            break
        taken.append(seq)
    return taken
