"""The audit log: who did what to what, from where, when, and how it ended; never what it was about.

Entries are written in the transaction of what they tell, by the one writer, so that their numbers have no
gaps. They name opaque ids. What is personal is sealed under the account's key, and erased with that key;
`security/audit_chain.py` is the chain over it all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import orjson
from sqlalchemy import and_, or_, select

from maas_client.types import AuditEntry, AuditHead, AuditQuery, Page
from reference_server.errors import InvalidRequest
from reference_server.registry import data_keys
from reference_server.registry.data_keys import KeyDestroyedError
from reference_server.registry.database import now
from reference_server.registry.ids import new_id
from reference_server.registry.pages import Keyset, read_cursor, write_cursor
from reference_server.registry.tables import AccountRow, AuditMarkRow, AuditRow
from reference_server.security.audit_chain import (
    FIRST_PREVIOUS,
    Chained,
    Entry,
    Mark,
    chain,
    origin_of,
)
from reference_server.security.encryption import SealBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.orm import Session

    from maas_client.types import Account, AuditAct, Invitation, Key
    from reference_server.registry.database import Database
    from reference_server.security.encryption import DataKey

OPERATOR = "operator"
HEAD, START = "head", "start"
ChangedT = TypeVar("ChangedT", "Account", "Invitation", "Key")
Outcome: TypeAlias = Literal["succeeded", "denied", "failed", "hidden"]
_KEY = "audit"
_CHAIN, _ORIGINS = "audit chain", "audit origins"
_FIELDS = tuple(Entry.__dataclass_fields__)
_MINE = "audit"
_EVERYTHING = Keyset("admin-audit", (AuditRow.seq,), descending=True)


@dataclass(frozen=True, slots=True)
class Personal:
    """What of an act is somebody's own, and is sealed.

    Args:
        address: From where it came.
        user_agent: By what program, as that said.
        email: The e-mail that was given.
        model: The model's name, as it was given.
        alias: The alias's name.
        shared_with: The name of the account that a share is for, and as what.
    """

    address: str | None = None
    user_agent: str | None = None
    email: str | None = None
    model: str | None = None
    alias: str | None = None
    shared_with: str | None = None


_NOTHING_PERSONAL = Personal()


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be written.

    Args:
        act: What was done.
        outcome: How it ended; `hidden` is told to operators alone.
        account: Whose affair it is: the owner of what was changed, else who did it.
        actor: Who did it: an account's id, `OPERATOR` for the server's own commands, None for strangers.
        credential: The id of the session or key that spoke for them.
        subject: The id of what it was done to.
        version: The version that it was done to.
        status: The HTTP status.
        count: How many like acts it stands for.
        request_id: Of the request.
        at: When; now when left out.
        personal: What is sealed, for the actor if it is an account, else for `account`. Of nobody known only
            a keyed hash of the address is kept, which tells two addresses apart on one day.
    """

    act: AuditAct
    outcome: Outcome = "succeeded"
    account: str | None = None
    actor: str | None = None
    credential: str | None = None
    subject: str | None = None
    version: int | None = None
    status: int | None = None
    count: int = 1
    request_id: str | None = None
    at: datetime | None = None
    personal: Personal = field(default=_NOTHING_PERSONAL, repr=False)


def record(session: Session, act: Act) -> None:
    """Write an entry, in the transaction of the one writer that makes it true."""
    own = data_keys.of_store(session, _KEY)
    before = session.get(AuditMarkRow, HEAD)
    entry_id, at = new_id("aud"), act.at or now(session)
    keeper = _keeper(act.actor, act.account)
    has_account = keeper is not None and session.get(AccountRow, keeper) is not None
    stranger = act.personal.address if keeper is None else None
    entry = Entry(
        seq=1 if before is None else before.seq + 1,
        id=entry_id,
        at=at,
        act=act.act,
        outcome=act.outcome,
        account=act.account,
        actor=act.actor,
        credential=act.credential,
        subject=act.subject,
        version=act.version,
        status=act.status,
        count=act.count,
        origin=stranger and origin_of(own.derive(_ORIGINS), stranger, at=at),
        request_id=act.request_id,
        # Of an account that is erased nothing personal is written any more: no key could be destroyed for it.
        sealed=_sealed(session, str(keeper), entry_id, act.personal) if has_account else None,
    )
    chained = chain(entry, FIRST_PREVIOUS if before is None else before.hash, own.derive(_CHAIN))
    session.add(_to_row(chained))
    set_mark(session, HEAD, entry.seq, chained.hash)


def by_operator(
    db: Database,
    act: AuditAct,
    change: Callable[[], ChangedT],
    *,
    account: str | None = None,
    concerns_account: bool = True,
) -> ChangedT:
    """Make a change that a command on the server's own machine asks for, and write it in its transaction.

    Args:
        db: The store.
        act: What is done.
        change: Does it, and returns what was made or changed.
        account: Whose affair it is; what was changed itself when left out.
        concerns_account: Whether it is any account's affair.
    """
    with db.together():
        changed = change()
        with db.write() as session:
            whose = (account or changed.id) if concerns_account else None
            record(session, Act(act, account=whose, actor=OPERATOR, subject=changed.id))
    return changed


def list_own(db: Database, account_id: str, query: AuditQuery) -> Page[AuditEntry]:
    """Return a page of the entries that an account did or that concern it, newest first.

    Their numbers stay out, because those of all accounts are one series and would tell how much others do.

    Raises:
        InvalidRequest: With code `bad_cursor`.
    """
    own = or_(
        AuditRow.account == account_id, and_(AuditRow.actor == account_id, AuditRow.outcome != "hidden")
    )
    with db.read() as session:
        statement = _filtered(select(AuditRow).where(own), query)
        if query.cursor is not None:
            statement = statement.where(AuditRow.seq < _place_of(session, query.cursor, own))
        rows = list(session.scalars(statement.order_by(AuditRow.seq.desc()).limit(query.limit + 1)))
        shown = rows[: query.limit]
        cursor = write_cursor(_MINE, [shown[-1].id]) if len(rows) > query.limit else None
        data = [_shown(session, row, to=account_id) for row in shown]
    return Page(data=data, has_more=cursor is not None, next_cursor=cursor)


def list_all(db: Database, query: AuditQuery, *, account_id: str | None = None) -> Page[AuditEntry]:
    """Return a page of everybody's entries, or of those that concern one account; for operators.

    Raises:
        InvalidRequest: With code `bad_cursor`.
    """
    statement = _filtered(select(AuditRow), query)
    if account_id is not None:
        statement = statement.where(or_(AuditRow.account == account_id, AuditRow.actor == account_id))

    def build(rows: list[Row[*tuple[Any, ...]]]) -> list[AuditEntry]:
        return [_shown(session, row.AuditRow, to=None) for row in rows]

    with db.read() as session:
        return _EVERYTHING.page(session, statement, query, build)


def head(db: Database) -> AuditHead:
    """Return the number and hash of the last entry, to be written down where this store cannot reach."""
    with db.read() as session:
        mark = read_mark(session, HEAD)
        if mark is None:
            return AuditHead(seq=0, hash=FIRST_PREVIOUS, at=None)
        return AuditHead(seq=mark.seq, hash=mark.hash, at=mark.at)


def chain_key(session: Session) -> DataKey | None:
    """Return the key of the chain; None while nothing was ever written."""
    own = data_keys.known_of_store(session, _KEY)
    return None if own is None else own.derive(_CHAIN)


def read_mark(session: Session, name: str) -> Mark | None:
    """Return a place that the store vouches for, as it stands in the store; it may have been altered."""
    row = session.get(AuditMarkRow, name)
    return None if row is None else Mark(row.name, row.seq, row.hash, row.at, row.mac)


def set_mark(session: Session, name: str, seq: int, hash_: str) -> None:
    """Vouch for a place, instead of the one before; in a writer's session."""
    key = data_keys.of_store(session, _KEY).derive(_CHAIN)
    session.merge(AuditMarkRow(**asdict(Mark.make(key, name, seq, hash_, at=now(session)))))
    # So that the next entry of this transaction finds this one.
    session.flush()


def to_chained(row: AuditRow) -> Chained:
    """Return a row as the chain has it."""
    entry = Entry(**{name: getattr(row, name) for name in _FIELDS})
    return Chained(entry, row.previous, row.hash, row.mac)


def _to_row(chained: Chained) -> AuditRow:
    fields = {name: getattr(chained.entry, name) for name in _FIELDS}
    return AuditRow(**fields, previous=chained.previous, hash=chained.hash, mac=chained.mac)


def _filtered(statement: Select[*tuple[AuditRow]], query: AuditQuery) -> Select[*tuple[AuditRow]]:
    if query.act is not None:
        statement = statement.where(AuditRow.act == query.act)
    if query.outcome is not None:
        statement = statement.where(AuditRow.outcome == query.outcome)
    if query.since is not None:
        statement = statement.where(AuditRow.at >= query.since)
    if query.until is not None:
        statement = statement.where(AuditRow.at < query.until)
    return statement


def _place_of(session: Session, cursor: str, own: ColumnElement[bool]) -> int:
    (entry_id,) = read_cursor(cursor, _MINE, (AuditRow.id,))
    seq = session.scalar(select(AuditRow.seq).where(AuditRow.id == entry_id, own))
    if seq is None:
        raise InvalidRequest(
            "the entry that this cursor comes after is not in the log any more; begin again without a cursor",
            code="bad_cursor",
            param="cursor",
        )
    return seq


def _shown(session: Session, row: AuditRow, *, to: str | None) -> AuditEntry:
    """Return the wire form of a row: to an account what is its own, to operators (None) everything."""
    keeper = _keeper(row.actor, row.account)
    personal, unreadable = _NOTHING_PERSONAL, False
    if row.sealed is not None and keeper is not None and to in (None, keeper):
        opened = _opened(session, keeper, row.id, row.sealed)
        personal, unreadable = opened or _NOTHING_PERSONAL, opened is None
    return AuditEntry(
        id=row.id,
        seq=row.seq if to is None else None,
        at=row.at,
        act=row.act,
        outcome=row.outcome,
        account=row.account,
        actor=row.actor,
        credential=row.credential,
        subject=row.subject,
        version=row.version,
        status=row.status,
        count=row.count,
        origin=row.origin,
        request_id=row.request_id,
        hash=row.hash,
        unreadable=unreadable,
        **asdict(personal),
    )


def _keeper(actor: str | None, account: str | None) -> str | None:
    """Return under whose key the personal fields of an act are sealed: they are the actor's."""
    return account if actor in (None, OPERATOR) else actor


def _sealed(session: Session, account_id: str, entry_id: str, personal: Personal) -> bytes | None:
    given = {name: value for name, value in asdict(personal).items() if value is not None}
    if not given:
        return None
    key = data_keys.of_account(session, account_id).derive(_KEY)
    return key.seal(orjson.dumps(given), bound_to=_place(entry_id))


def _opened(session: Session, account_id: str, entry_id: str, sealed: bytes) -> Personal | None:
    """Return what was sealed, or None when its key is destroyed, or it was altered."""
    try:
        key = data_keys.known_of_account(session, account_id).derive(_KEY)
        return Personal(**orjson.loads(key.open(sealed, bound_to=_place(entry_id))))
    except (KeyDestroyedError, SealBrokenError):
        # An altered one is what `verify` tells of; the others on its page are to be read meanwhile.
        return None


def _place(entry_id: str) -> str:
    return f"audit entry {entry_id}"
