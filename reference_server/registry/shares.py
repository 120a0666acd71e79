"""With whom a model is shared, and as what; only its owners know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from maas_client.types import ACCOUNT_NAME, Page, Share, SharedModel
from reference_server.errors import Conflict, NotFound, Unprocessable
from reference_server.registry import events, names
from reference_server.registry.pages import Keyset
from reference_server.registry.tables import AccountRow, ModelRow, ShareRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from maas_client.types import PageQuery, ShareRole
    from reference_server.registry.database import Database
    from reference_server.security.callers import Caller

# A catalogue for everybody is what public models are for.
MOST_SHARES = 1000
# Nobody asked the account whether it wants them: one giver cannot fill its catalogue, nor use up for all
# others what may be shared with it.
MOST_OF_ONE_GIVER = 100
_MOST_CHARACTERS_SHOWN = 100
_SHARES = select(ShareRow, AccountRow.name.label("account")).join(
    AccountRow, AccountRow.id == ShareRow.account_id
)
_BY_ACCOUNT = Keyset("shares", (AccountRow.name,))


def list_shares(db: Database, caller: Caller, model: str, query: PageQuery) -> Page[Share]:
    """Return a page of the accounts that a model is shared with, by name.

    Raises:
        NotFound: When the model is not there.
        Forbidden: With code `not_owner` or `missing_role`.
        InvalidRequest: With code `bad_cursor`.
    """
    with db.read() as session:
        found = names.allowed(session, caller, model, names.OWNER)
        statement = _SHARES.where(ShareRow.model_id == found.row.id)
        return _BY_ACCOUNT.page(session, statement, query, _to_shares)


def put(db: Database, caller: Caller, model: str, account: str, *, role: ShareRole) -> Share:
    """Share a model with an account, or change as what; a repeat changes nothing.

    Raises:
        NotFound: When the model is not there, or with code `account_not_found`.
        Forbidden: With code `not_owner` or `missing_role`.
        Unprocessable: With code `already_owner`, for the account whose model it is.
        Conflict: With code `too_many_shares`.
    """
    with db.write() as session:
        found = names.allowed(session, caller, model, names.OWNER)
        account_id = _account_id(session, account)
        if account_id == found.row.account_id:
            raise Unprocessable(
                f"the model is {account!r}'s own; share it with another account",
                code="already_owner",
                param="account",
            )
        row = session.get(ShareRow, (account_id, found.row.id))
        if row is None:
            row = _add(session, found.row, account_id)
            _set(session, caller, row, account, role, kind=events.SHARED, db=db)
        elif row.role != role:
            _set(session, caller, row, account, role, kind=events.SHARE_CHANGED, db=db)
        return Share(account=account, role=row.role, shared_at=row.shared_at)


def remove(db: Database, caller: Caller, model: str, account: str) -> None:
    """Withdraw a share; an owner any, everybody else their own.

    Raises:
        NotFound: When the model is not there, or with code `share_not_found`.
        Forbidden: With code `not_owner` or `missing_role`.
    """
    with db.write() as session:
        found = names.visible(session, caller, model)
        if account != caller.account_name:
            found = names.allowed(session, caller, model, names.OWNER)
        row = session.scalar(
            select(ShareRow)
            .join(AccountRow, AccountRow.id == ShareRow.account_id)
            .where(ShareRow.model_id == found.row.id, AccountRow.name == account)
        )
        if row is None:
            raise NotFound(
                f"the model is not shared with {account[:_MOST_CHARACTERS_SHOWN]!r}",
                code="share_not_found",
                param="account",
            )
        session.delete(row)
        _tell(session, caller, row, account, kind=events.SHARE_WITHDRAWN, db=db)


def read_all(session: Session, model_id: str) -> list[Share]:
    """Return everybody that a model is shared with, by name."""
    statement = _SHARES.where(ShareRow.model_id == model_id).order_by(AccountRow.name)
    return _to_shares(session.execute(statement))


def shared_with(session: Session, account_id: str) -> list[SharedModel]:
    """Return every model that others share with an account, by its exact name."""
    statement = (
        select(ShareRow, ModelRow.name.label("model"), AccountRow.name.label("owner"))
        .join(ModelRow, ModelRow.id == ShareRow.model_id)
        .join(AccountRow, AccountRow.id == ModelRow.account_id)
        .where(ShareRow.account_id == account_id)
        .order_by(AccountRow.name, ModelRow.name)
    )
    return [
        SharedModel(
            model=f"{row.owner}~{row.model}", role=row.ShareRow.role, shared_at=row.ShareRow.shared_at
        )
        for row in session.execute(statement)
    ]


def _account_id(session: Session, account: str) -> str:
    known = None
    if re.fullmatch(ACCOUNT_NAME, account):
        known = session.scalar(select(AccountRow.id).where(AccountRow.name == account))
    if known is None:
        raise NotFound(
            f"there is no account {account[:_MOST_CHARACTERS_SHOWN]!r}; give the name that stands before "
            "the `~` of its models",
            code="account_not_found",
            param="account",
        )
    return known


def _add(session: Session, model: ModelRow, account_id: str) -> ShareRow:
    there = select(func.count()).where(ShareRow.model_id == model.id)
    if (session.scalar(there) or 0) >= MOST_SHARES:
        raise Conflict(
            f"the model is shared with {MOST_SHARES:,} accounts, which is the most; withdraw one, or make it "
            "public",
            code="too_many_shares",
        )
    given = (
        select(func.count())
        .select_from(ShareRow)
        .join(ModelRow, ModelRow.id == ShareRow.model_id)
        .where(ShareRow.account_id == account_id, ModelRow.account_id == model.account_id)
    )
    if (session.scalar(given) or 0) >= MOST_OF_ONE_GIVER:
        raise Conflict(
            f"{MOST_OF_ONE_GIVER} of this account's models are shared with that one already, which is the "
            "most; withdraw one, or make the model public",
            code="too_many_shares",
        )
    bare_name = model.name if _is_free(session, model, account_id) else None
    row = ShareRow(account_id=account_id, model_id=model.id, bare_name=bare_name)
    session.add(row)
    return row


def _is_free(session: Session, model: ModelRow, account_id: str) -> bool:
    """Tell whether a bare name means no other public or shared model to an account.

    What an account calls by a bare name must not become another's because that other shares something.
    """
    public = select(ModelRow.id).where(ModelRow.public_name == model.name, ModelRow.id != model.id)
    shared = select(ShareRow.model_id).where(
        ShareRow.account_id == account_id, ShareRow.bare_name == model.name
    )
    return session.scalar(public) is None and session.scalar(shared) is None


def _set(
    session: Session, caller: Caller, row: ShareRow, account: str, role: ShareRole, *, kind: str, db: Database
) -> None:
    row.role, row.shared_at = role, db.clock()
    _tell(session, caller, row, account, kind=kind, db=db)


def _tell(session: Session, caller: Caller, row: ShareRow, account: str, *, kind: str, db: Database) -> None:
    events.record(
        session, row.model_id, kind, by=caller, at=db.clock(), version=None, account=account, role=row.role
    )


def _to_shares(rows: Iterable[Row[*tuple[Any, ...]]]) -> list[Share]:
    return [
        Share(account=row.account, role=row.ShareRow.role, shared_at=row.ShareRow.shared_at) for row in rows
    ]
