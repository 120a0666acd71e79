"""Whether calls of a model are captured: switched on by its owners, told to everybody who sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from maas_client.types import Capture, CaptureNotice
from reference_server.errors import Forbidden
from reference_server.registry import data_keys, events, names
from reference_server.registry.database import now
from reference_server.registry.splits import BUCKETS, bucket
from reference_server.registry.tables import CapturedRow, CaptureRow, ModelRow

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from maas_client.types import CaptureUpdate
    from reference_server.registry.database import Database
    from reference_server.registry.names import Found
    from reference_server.security.callers import Caller

CHANGED = "capture_changed"
_DAYS, _SAMPLE = 7, 1.0
# What a query over models selects of its capture; `capturing` reads it.
COLUMNS = (
    CaptureRow.since.label("capture_since"),
    CaptureRow.days.label("capture_days"),
    CaptureRow.sample.label("capture_sample"),
    CaptureRow.data_key.label("capture_key"),
)
OF_MODEL = CaptureRow.model_id == ModelRow.id


@dataclass(frozen=True, slots=True)
class Capturing:
    """What a worker needs to know to capture the calls of a version.

    Args:
        model_id: The model's own id.
        version: The version's number.
        key_id: The key of the set that a call goes into: after an erasure that is another one.
        days: How long a record is kept.
        below: Of 2³² buckets, those below this one are captured.
        header: What callers are told, as a dictionary of RFC 9651.
    """

    model_id: str
    version: int
    key_id: str
    days: int
    below: int
    header: str

    def takes(self, request_id: str) -> bool:
        """Tell whether a call is one of the sample; the same answer for the same id."""
        return self.below >= BUCKETS or bucket(self.model_id.encode(), request_id) < self.below


def capturing(row: Row[*tuple[Any, ...]], version: int) -> Capturing | None:
    """Return what a row with `COLUMNS` and a `model_id` says; None where nothing is captured."""
    if row.capture_since is None or row.capture_key is None:
        return None
    sampled = "" if row.capture_sample >= 1 else f", sample={row.capture_sample:.3f}"
    return Capturing(
        model_id=row.model_id,
        version=version,
        key_id=row.capture_key,
        days=row.capture_days,
        below=round(row.capture_sample * BUCKETS),
        header=f"days={row.capture_days}{sampled}",
    )


def notice_of(row: Row[*tuple[Any, ...]]) -> CaptureNotice | None:
    """Return what the catalogue tells of a row with `COLUMNS`; None where nothing is captured."""
    if row.capture_since is None:
        return None
    return CaptureNotice(since=row.capture_since, days=row.capture_days, sample=row.capture_sample)


def get(db: Database, caller: Caller, model: str, *, most_bytes: int) -> Capture:
    """Return whether calls of a model are captured, and to its owners what there is.

    Raises:
        NotFound: When the model is not there.
    """
    with db.read() as session:
        return _read(session, names.visible(session, caller, model), most_bytes)


def change(db: Database, caller: Caller, model: str, update: CaptureUpdate, *, most_bytes: int) -> Capture:
    """Switch the capture of a model's calls on or off; a repeat changes nothing.

    Args:
        db: The store.
        caller: Who asks; an owner of the model.
        model: The model's name.
        update: What is to hold from now on.
        most_bytes: What a model's set may take; 0 where the operator wants no capture.

    Raises:
        NotFound: When the model is not there.
        Forbidden: With code `not_owner` or `missing_role`, or `capture_not_allowed`.
    """
    with db.write() as session:
        found = names.allowed(session, caller, model, names.OWNER)
        if update.enabled and not most_bytes:
            raise Forbidden(
                "this server captures no calls: its operator has set capture_bytes to 0",
                code="capture_not_allowed",
                param="enabled",
            )
        row = session.get(CaptureRow, found.row.id) or _new(session, found.row.id)
        before = (row.since is not None, row.days, row.sample)
        row.days, row.sample = update.days or row.days, update.sample or row.sample
        row.since = (row.since or now(session)) if update.enabled else None
        if update.enabled and row.data_key is None:
            make_key(session, row, found.row.account_id)
        if before != (update.enabled, row.days, row.sample):
            events.record(
                session,
                found.row.id,
                CHANGED,
                by=caller,
                at=now(session),
                enabled=update.enabled,
                days=row.days,
                sample=row.sample,
            )
        session.flush()
        return _read(session, found, most_bytes)


def make_key(session: Session, row: CaptureRow, account_id: str) -> None:
    """Give a set a new key; `account_id` is the model's."""
    row.data_key = data_keys.make(session, account_id, "capture", thing=thing(row.model_id)).id


def thing(model_id: str) -> str:
    """Return what the key of a model's set is bound to."""
    return f"{model_id} captured"


def read_all(session: Session, account_id: str) -> dict[str, Capture]:
    """Return the captures of an account's own models by their names, of those that ever had one."""
    statement = (
        select(ModelRow.name, CaptureRow)
        .join(CaptureRow, OF_MODEL)
        .where(ModelRow.account_id == account_id)
        .order_by(ModelRow.name)
    )
    return {name: _told(session, row, None) for name, row in session.execute(statement)}


def _new(session: Session, model_id: str) -> CaptureRow:
    row = CaptureRow(
        model_id=model_id,
        since=None,
        days=_DAYS,
        sample=_SAMPLE,
        data_key=None,
        last_seq=0,
        records=0,
        bytes=0,
        dropped=0,
    )
    session.add(row)
    return row


def _read(session: Session, found: Found, most_bytes: int) -> Capture:
    row = session.get(CaptureRow, found.row.id)
    is_owner = found.allows(names.OWNER)
    if row is None:
        nothing = {"records": 0, "bytes": 0, "most_bytes": most_bytes, "dropped": 0} if is_owner else {}
        return Capture(enabled=False, days=_DAYS, sample=_SAMPLE, notice=_OFF, **nothing)
    if is_owner:
        return _told(session, row, most_bytes)
    return Capture(
        enabled=row.since is not None,
        since=row.since,
        days=row.days,
        sample=row.sample,
        notice=_in_words(row, records=0),
    )


def _told(session: Session, row: CaptureRow, most_bytes: int | None) -> Capture:
    oldest = select(func.min(CapturedRow.at)).where(CapturedRow.model_id == row.model_id)
    return Capture(
        enabled=row.since is not None,
        since=row.since,
        days=row.days,
        sample=row.sample,
        notice=_in_words(row, records=row.records),
        records=row.records,
        bytes=row.bytes,
        most_bytes=most_bytes,
        oldest_at=session.scalar(oldest),
        dropped=row.dropped,
    )


_OFF = "calls are not captured: their inputs and outputs are not stored"


def _in_words(row: CaptureRow, *, records: int) -> str:
    if row.since is not None:
        part = "" if row.sample >= 1 else f" of {row.sample:.1%} of the calls"
        return (
            f"inputs and outputs{part} are stored, encrypted, for the model's owners; each for "
            f"{row.days} day{'s' if row.days > 1 else ''}, or until they erase them"
        )
    if not records:
        return _OFF
    return (
        f"{_OFF} any more; {records:,} that were captured before stay until their days end, or until "
        "DELETE /v1/models/{model}/captured erases them"
    )
