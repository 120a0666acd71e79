"""The set of a model's captured calls: each sealed by itself under the set's key, the oldest first to go."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import and_, delete, func, insert, select

from maas_client.types import CapturedCall
from reference_server.errors import Unavailable
from reference_server.registry import capture, data_keys
from reference_server.registry.data_keys import KeyDestroyedError
from reference_server.registry.tables import AccountRow, Base, CapturedRow, CaptureRow
from reference_server.security.encryption import NONCE_BYTES, TAG_BYTES, SealBrokenError
from reference_server.security.master_keys import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.encryption import DataKey

# How many of the oldest are looked at a time for room.
_OLDEST = 1000
_SEAL_BYTES = NONCE_BYTES + TAG_BYTES
_TABLE = Base.metadata.tables[CapturedRow.__tablename__]
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


def key_of(session: Session, row: CaptureRow) -> DataKey:
    """Return the key of a set.

    Raises:
        Unavailable: With code `captured_damaged`.
    """
    try:
        return data_keys.get(session, row.data_key or "", thing=capture.thing(row.model_id))
    except (KeyDestroyedError, MasterKeyError) as error:
        _log.error("the captured calls of %s do not open: %s", row.model_id, error)
        raise Unavailable(
            "the key of the captured calls does not open; the fault is the server's, its operator finds it "
            "in the log. DELETE /v1/models/{model}/captured erases them and begins anew",
            code="captured_damaged",
            should_retry=False,
        ) from error


def opened(row: CapturedRow, key: DataKey) -> CapturedCall:
    """Return a call as it was; one whose seal does not open says so in its `fault`."""
    told: dict[str, Any]
    try:
        told = orjson.loads(key.open(row.sealed, bound_to=_place(row.model_id, row.seq, row)))
    except SealBrokenError:
        _log.error("the captured call %d of %s does not open: it was changed", row.seq, row.model_id)
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


def remove(session: Session, row: CaptureRow, condition: ColumnElement[bool]) -> None:
    """Delete calls of a model, and count them off; in a writer's session."""
    which = and_(CapturedRow.model_id == row.model_id, condition)
    number, size = session.execute(
        select(func.count(), func.coalesce(func.sum(CapturedRow.size), 0)).where(which)
    ).one()
    if number:
        session.execute(delete(CapturedRow).where(which))
        row.records -= number
        row.bytes -= int(size)


def _is_due(call: NewCall, row: CaptureRow) -> bool:
    is_this_set = (call.model_id, call.key_id) == (row.model_id, row.data_key)
    return row.since is not None and is_this_set


def _store(session: Session, row: CaptureRow, calls: Sequence[NewCall], most_bytes: int) -> None:
    fitting = [call for call in calls if len(call.content) + _SEAL_BYTES <= most_bytes]
    try:
        key = key_of(session, row)
    except Unavailable:
        # Told in the log; other models' calls are stored all the same.
        fitting = []
    row.dropped += len(calls) - len(fitting)
    if not fitting:
        return
    values = [
        _values(row.model_id, seq, call, key) for seq, call in enumerate(fitting, start=row.last_seq + 1)
    ]
    # By the table: the mapped class would take twice the time for each.
    session.execute(insert(_TABLE), values)
    row.last_seq += len(values)
    row.records += len(values)
    row.bytes += sum(len(each["sealed"]) for each in values)
    if row.bytes > most_bytes:
        _make_room(session, row, row.bytes - most_bytes)


def _values(model_id: str, seq: int, call: NewCall, key: DataKey) -> dict[str, Any]:
    sealed = key.seal(call.content, bound_to=_place(model_id, seq, call))
    return {
        "model_id": model_id,
        "seq": seq,
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
        remove(session, row, CapturedRow.seq <= last)


def _place(model_id: str, seq: int, call: NewCall | CapturedRow) -> str:
    """Return what a call is sealed to: which record it is, and all that stands beside it in clear."""
    at = call.at.isoformat()
    return (
        f"captured call {seq} of {model_id}: {call.route} of version {call.version} by {call.account_id} at "
        f"{at} as {call.request_id}"
    )
