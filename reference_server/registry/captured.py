"""The calls that were captured: sealed one by one, bounded in bytes and days, read and erased by owners."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import and_, delete, func, insert, or_, select

from maas_client.types import CapturedCall, Page
from reference_server.errors import Unavailable
from reference_server.registry import capture, data_keys, erasures, names
from reference_server.registry.data_keys import KeyDestroyedError
from reference_server.registry.database import now
from reference_server.registry.pages import read_cursor, write_cursor
from reference_server.registry.tables import AccountRow, CapturedRow, CaptureRow, ModelRow
from reference_server.security.encryption import SealBrokenError
from reference_server.security.master_keys import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from maas_client.types import CapturedQuery, Erasure
    from reference_server.registry.artifacts import ArtifactStore
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller
    from reference_server.security.encryption import DataKey

_LISTING = "captured"
# A page is made in memory: one of large calls has fewer than were asked for.
_PAGE_BYTES = 8 * 2**20
# How many of the oldest are looked at a time for room.
_OLDEST = 1000
FAULT = "what is stored of this call was changed, or is another call's: its seal does not open"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call on its way into the store.

    Args:
        model_id: Of which model.
        key_id: The key of the set that it was answered for; into another set it does not go.
        days: How long its caller was told that it is kept.
        at: When it was answered.
        version: Which version answered.
        account_id: Who called.
        request_id: The request's id.
        route: What was called.
        content: Inputs, parameters and predictions, as JSON.
    """

    model_id: str
    key_id: str
    days: int
    at: datetime
    version: int
    account_id: str
    request_id: str
    route: str
    content: bytes


def add(db: Database, calls: Sequence[NewCall], dropped: Mapping[str, int], *, most_bytes: int) -> None:
    """Seal and store calls, all in one transaction; beyond `most_bytes` the oldest of a model go.

    Calls whose set was erased or switched off since, or whose caller's account was erased, are not stored.

    Args:
        db: The store.
        calls: In the order in which they were answered.
        dropped: How many calls were not held, by the model's id.
        most_bytes: What the sealed calls of one model may take.

    Raises:
        Unavailable, StorageFull: When the store cannot be written now; then nothing was.
    """
    wanted = {call.model_id for call in calls} | dropped.keys()
    if not wanted:
        return
    with db.write() as session:
        rows = session.scalars(select(CaptureRow).where(CaptureRow.model_id.in_(wanted))).all()
        callers = {call.account_id for call in calls}
        known = set(session.scalars(select(AccountRow.id).where(AccountRow.id.in_(callers))))
        for row in rows:
            row.dropped += dropped.get(row.model_id, 0)
            due = [call for call in calls if _is_due(call, row) and call.account_id in known]
            if due:
                _store(session, row, due, most_bytes)


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
        key = _key(session, row)
        listed = [_opened(each, key) for each in session.scalars(statement)]
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
        _remove(session, row, CapturedRow.account_id == account_id)


def purge(session: Session) -> None:
    """Delete the calls whose days have ended, in a writer's session."""
    for row in session.scalars(select(CaptureRow).where(CaptureRow.records > 0)).all():
        _remove(session, row, _is_over(session, row))


def _is_due(call: NewCall, row: CaptureRow) -> bool:
    is_this_set = (call.model_id, call.key_id) == (row.model_id, row.data_key)
    return row.since is not None and is_this_set


def _store(session: Session, row: CaptureRow, calls: Iterable[NewCall], most_bytes: int) -> None:
    try:
        key = _key(session, row)
    except Unavailable:
        # Told in the log; other models' calls are stored all the same.
        row.dropped += len(list(calls))
        return
    values = []
    for call in calls:
        content = key.seal(call.content, bound_to=_place(row.model_id, row.last_seq + 1, call))
        if len(content) > most_bytes:
            row.dropped += 1
            continue
        row.last_seq += 1
        row.records += 1
        row.bytes += len(content)
        values.append(_values(row, call, content))
    if values:
        session.execute(insert(CapturedRow), values)
    if row.bytes > most_bytes:
        _make_room(session, row, row.bytes - most_bytes)


def _values(row: CaptureRow, call: NewCall, sealed: bytes) -> dict[str, object]:
    return {
        "model_id": row.model_id,
        "seq": row.last_seq,
        "at": call.at,
        "expires_at": call.at + timedelta(days=call.days),
        "version": call.version,
        "account_id": call.account_id,
        "request_id": call.request_id,
        "route": call.route,
        "size": len(sealed),
        "sealed": sealed,
    }


def _make_room(session: Session, row: CaptureRow, wanted: int) -> None:
    """Delete as many of the oldest as free some bytes."""
    while wanted > 0:
        oldest = session.execute(
            select(CapturedRow.seq, CapturedRow.size)
            .where(CapturedRow.model_id == row.model_id)
            .order_by(CapturedRow.seq)
            .limit(_OLDEST)
        ).all()
        if not oldest:
            return
        last = oldest[-1].seq
        for seq, size in oldest:
            wanted -= size
            if wanted <= 0:
                last = seq
                break
        _remove(session, row, CapturedRow.seq <= last)


def _remove(session: Session, row: CaptureRow, condition: ColumnElement[bool]) -> None:
    """Delete calls of a model, and count them off."""
    which = and_(CapturedRow.model_id == row.model_id, condition)
    number, size = session.execute(
        select(func.count(), func.coalesce(func.sum(CapturedRow.size), 0)).where(which)
    ).one()
    if number:
        session.execute(delete(CapturedRow).where(which))
        row.records -= number
        row.bytes -= int(size)


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


def _key(session: Session, row: CaptureRow) -> DataKey:
    try:
        return data_keys.get(session, row.data_key or "", thing=capture.thing(row.model_id))
    except (KeyDestroyedError, MasterKeyError) as error:
        _log.error("the captured calls of %s do not open: %s", row.model_id, error)  # noqa: TRY400 - its cause is told
        raise Unavailable(
            "the key of the captured calls does not open; the fault is the server's, its operator finds it in "
            "the log. DELETE /v1/models/{model}/captured erases them and begins anew",
            code="captured_damaged",
            should_retry=False,
        ) from error


def _place(model_id: str, seq: int, call: NewCall | CapturedRow) -> str:
    """Return what a call is sealed to: which record it is, and all that stands beside it in clear."""
    at = call.at.isoformat()
    return (
        f"captured call {seq} of {model_id}: {call.route} of version {call.version} by {call.account_id} at "
        f"{at} as {call.request_id}"
    )


def _opened(row: CapturedRow, key: DataKey) -> CapturedCall:
    told: dict[str, Any]
    try:
        told = orjson.loads(key.open(row.sealed, bound_to=_place(row.model_id, row.seq, row)))
    except SealBrokenError:
        _log.error("the captured call %d of %s does not open: it was changed", row.seq, row.model_id)  # noqa: TRY400 - as above
        told = {"fault": FAULT}
    return CapturedCall(
        seq=row.seq,
        at=row.at,
        version=row.version,
        account=row.account_id,
        request_id=row.request_id,
        route=row.route,
        **told,
    )
