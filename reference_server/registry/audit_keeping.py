"""Keeping the audit log: looking whether it is whole, copying it out, and pruning what is old."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, func, select
from sqlalchemy.exc import DBAPIError

from reference_server.errors import Unprocessable
from reference_server.registry import audit
from reference_server.registry.audit import OPERATOR, START, Act
from reference_server.registry.tables import AuditRow
from reference_server.security import audit_chain
from reference_server.security.audit_chain import Chained, Entry, Mark
from reference_server.security.encryption import DataKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database
    from reference_server.security.audit_chain import Anchor, Verified

_ROWS_AT_ONCE = 1000
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
# What comes of a row in which somebody wrote what no column of its type can hold.
_UNREADABLE = (TypeError, ValueError, AttributeError, DBAPIError)


def verify(db: Database, *, anchors: Iterable[Anchor] = ()) -> Verified:
    """Look at the whole log, and tell everything that was removed, altered, moved or put in.

    What it cannot tell by itself: that the whole store was put back to an older state, or written anew by
    somebody who has the master key. A head that was written down elsewhere tells that.

    Args:
        db: The store.
        anchors: Such heads.
    """
    with db.read() as session:
        return _verified(session, anchors)


def verify_export(lines: Iterable[bytes], *, anchors: Iterable[Anchor] = ()) -> Verified:
    """Look at an export: the chain alone, because the key of the HMACs is the store's.

    Raises:
        Unprocessable: With code `not_an_export`, naming the line.
    """
    numbered = enumerate(lines, start=1)
    first = next(numbered, None)
    if first is None:
        raise _not_an_export(1, "it is empty")
    begun = _parsed(*first)
    if set(begun) != {"export", "start", "start_hash"}:
        raise _not_an_export(1, "it does not say where the log starts")
    start = Mark(START, begun["start"], begun["start_hash"], _time(1, begun["export"]), "")
    entries = (_to_chained(number, line) for number, line in numbered)
    return audit_chain.verify(entries, key=None, start=start, anchors=anchors)


def export(db: Database) -> Iterator[bytes]:
    """Yield the whole log as lines of JSON: first where it starts, then each entry with its hashes.

    Personal fields stay sealed, so that an erasure holds for every copy of the log too.
    """
    with db.read() as session:
        start = audit.read_mark(session, START)
        yield orjson.dumps(
            {
                "export": db.clock().isoformat(),
                "start": start.seq if start else 0,
                "start_hash": start.hash if start else audit_chain.FIRST_PREVIOUS,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for each in _entries(session):
            line = {**each.entry.as_json(), "previous": each.previous, "hash": each.hash}
            yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def prune(db: Database, *, before: datetime) -> int:
    """Delete the entries up to the last one before which all are older than a moment; return how many.

    The store vouches for the hash of the last one that goes, so that what is left can be verified from there
    on, and the log itself tells of the pruning.

    Raises:
        Unprocessable: With code `audit_log_broken`, when what would go is not whole: it is evidence.
    """
    with db.write() as session:
        last = _last_before(session, before)
        if last is None:
            return 0
        if faults := _verified(session, ()).faults:
            raise Unprocessable(
                f"the log is not whole ({faults[0].told}), so nothing of it was deleted; "
                "maas-server audit verify tells all that is wrong",
                code="audit_log_broken",
            )
        gone = session.scalar(select(func.count()).where(AuditRow.seq <= last.seq)) or 0
        audit.set_mark(session, START, last.seq, last.hash)
        session.execute(delete(AuditRow).where(AuditRow.seq <= last.seq))
        audit.record(session, Act("audit_pruned", actor=OPERATOR, count=gone))
        return gone


def _verified(session: Session, anchors: Iterable[Anchor]) -> Verified:
    key = audit.chain_key(session)
    return audit_chain.verify(
        _entries(session),
        # Where no key was ever made, no entry can be a true one: any other key tells that.
        key=key or DataKey.random(),
        # The key is made in the transaction of the first entry.
        is_begun=key is not None,
        start=_mark(session, START),
        head=_mark(session, audit.HEAD),
        anchors=anchors,
    )


def _last_before(session: Session, before: datetime) -> AuditRow | None:
    # Only a beginning goes, whatever clocks said: the chain has no holes.
    kept = select(func.min(AuditRow.seq)).where(AuditRow.at >= before)
    first_kept = session.scalar(kept)
    older = select(AuditRow).order_by(AuditRow.seq.desc()).limit(1)
    return session.scalar(older if first_kept is None else older.where(AuditRow.seq < first_kept))


def _mark(session: Session, name: str) -> Mark | None:
    try:
        return audit.read_mark(session, name)
    except _UNREADABLE:
        # One that vouches for nothing, and so is told as altered.
        return Mark(name, 0, audit_chain.FIRST_PREVIOUS, _NO_TIME, "")


def _entries(session: Session) -> Iterator[Chained]:
    """Yield all entries by number; one that cannot even be read as what it has no hash of."""
    last: int | None = None
    while True:
        numbers = select(AuditRow.seq).order_by(AuditRow.seq).limit(_ROWS_AT_ONCE)
        page = list(session.scalars(numbers if last is None else numbers.where(AuditRow.seq > last)))
        # Held, so that each is found in the session.
        held = _all_at_once(session, page)
        for seq in page:
            yield _entry(session, seq)
        del held
        if len(page) < _ROWS_AT_ONCE:
            return
        last = page[-1]


def _all_at_once(session: Session, page: list[int]) -> Sequence[AuditRow]:
    if not page:
        return ()
    try:
        return session.scalars(select(AuditRow).where(AuditRow.seq.between(page[0], page[-1]))).all()
    except _UNREADABLE:
        return ()


def _entry(session: Session, seq: int) -> Chained:
    try:
        chained = audit.to_chained(session.get_one(AuditRow, seq))
        # SQLite takes any type in any column.
        (chained.previous + chained.hash + (chained.mac or "")).encode()
        chained.entry.canonical()
    except _UNREADABLE:
        number = seq if type(seq) is int else 0
        return Chained(Entry(number, "", _NO_TIME, "", ""), audit_chain.FIRST_PREVIOUS, "", "")
    if type(seq) is not int:
        return replace(chained, entry=replace(chained.entry, seq=0))
    return chained


def _to_chained(number: int, line: bytes) -> Chained:
    fields = _parsed(number, line)
    try:
        previous, hash_ = str(fields.pop("previous")), str(fields.pop("hash"))
        fields["at"] = _time(number, fields["at"])
        fields["sealed"] = None if fields["sealed"] is None else bytes.fromhex(fields["sealed"])
        return Chained(Entry(**fields), previous, hash_, None)
    except (KeyError, TypeError, ValueError) as error:
        raise _not_an_export(number, f"it is no entry ({error})") from error


def _parsed(number: int, line: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _not_an_export(number, f"it is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise _not_an_export(number, "it is no JSON object")
    return found


def _time(number: int, text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise _not_an_export(number, f"{str(text)[:40]!r} is no time") from error
    if moment.tzinfo is None:
        raise _not_an_export(number, f"{str(text)[:40]!r} has no offset from UTC")
    return moment


def _not_an_export(number: int, why: str) -> Unprocessable:
    return Unprocessable(
        f"line {number} is not of an export of maas-server audit export: {why}", code="not_an_export"
    )
