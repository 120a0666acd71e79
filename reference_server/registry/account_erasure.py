"""Erasing an account: what is its goes, and what it did to things of others stays without its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, or_, select, update

from maas_client.types import ErasurePlan
from reference_server.registry import accounts, captured, erasures, idempotency
from reference_server.registry.tables import (
    AccountKeyRow,
    AccountRow,
    AliasRow,
    Base,
    CapturedRow,
    JobRow,
    KeyRow,
    ModelRow,
    SessionRow,
    ShareRow,
    UploadChunkRow,
    UploadRow,
    UsageRow,
    VersionRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Column, Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from reference_server.registry.database import Database

# Who has done what an erased account did. The brackets keep the name from being anybody's.
TOMBSTONE_ID, TOMBSTONE_NAME = "acc_erased", "(erased)"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTED: dict[str, InstrumentedAttribute[str]] = {
    "models": ModelRow.account_id,
    "sessions": SessionRow.account_id,
    "keys": KeyRow.account_id,
    "uploads": UploadRow.account_id,
    "jobs": JobRow.account_id,
    "usage_days": UsageRow.account_id,
}


@dataclass(frozen=True, slots=True)
class Erased:
    """What is left to do after an account's rows are gone.

    Args:
        erasure: The id of the erasure, to be finished.
        digests: Contents that may be in memory.
    """

    erasure: str
    digests: Sequence[str]


def plan(db: Database, account_id: str) -> ErasurePlan:
    """Return what erasing an account would take along; changes nothing.

    Raises:
        NotFound: When there is no such account.
    """
    with db.read() as session:
        row = accounts.row_of(session, account_id)
        models = session.scalars(_models(account_id).order_by(ModelRow.name)).all()
        return ErasurePlan(
            models=[f"{row.name}~{model.name}" for model in models],
            public_models=[f"{row.name}~{model.name}" for model in models if model.public_name],
            shared_models=[f"{row.name}~{model.name}" for model in models if _is_shared(session, model.id)],
            counts=_counts(session, account_id),
            left_to_others=_left_to_others(session, account_id),
            not_covered=erasures.not_covered(db),
        )


def erase(db: Database, account_id: str) -> Erased:
    """Destroy an account's keys and delete its rows, in one transaction.

    Raises:
        NotFound: When there is no such account.
    """
    with db.write() as session:
        row = accounts.row_of(session, account_id)
        owned = select(ModelRow.id).where(ModelRow.account_id == account_id)
        digests = session.scalars(select(VersionRow.digest).where(VersionRow.model_id.in_(owned))).all()
        erasure = erasures.begin(
            session,
            "account",
            account_id,
            name=row.email,
            counts=_counts(session, account_id),
            artifacts=_artifacts(session, account_id),
        )
        session.execute(delete(AccountKeyRow).where(AccountKeyRow.account_id == account_id))
        # Aliases refer to versions: they go first. Everything else that is a model's goes with its row.
        session.execute(delete(AliasRow).where(AliasRow.model_id.in_(owned)))
        session.execute(delete(ModelRow).where(ModelRow.account_id == account_id))
        captured.forget_caller(session, account_id)
        idempotency.forget(session, account_id=account_id, email=row.email)
        _take_name_from_others(session, row)
        session.execute(delete(AccountRow).where(AccountRow.id == account_id))
    return Erased(erasure, digests)


def _is_shared(session: Session, model_id: str) -> bool:
    return session.scalar(select(ShareRow.role).where(ShareRow.model_id == model_id).limit(1)) is not None


def _models(account_id: str) -> Select[ModelRow]:
    return select(ModelRow).where(ModelRow.account_id == account_id)


def _counts(session: Session, account_id: str) -> dict[str, int]:
    owned = select(ModelRow.id).where(ModelRow.account_id == account_id)
    counts = {
        name: session.scalar(select(func.count()).where(column == account_id)) or 0
        for name, column in _COUNTED.items()
    }
    versions = select(func.count()).select_from(VersionRow).where(VersionRow.model_id.in_(owned))
    # Those of its models, whoever called, and its own calls of others' models.
    calls = (
        select(func.count())
        .select_from(CapturedRow)
        .where(or_(CapturedRow.model_id.in_(owned), CapturedRow.account_id == account_id))
    )
    return {
        **counts,
        "versions": session.scalar(versions) or 0,
        "captured_calls": session.scalar(calls) or 0,
    }


def _artifacts(session: Session, account_id: str) -> Iterator[str]:
    """Give the names of everything of the account in the artifact store."""
    owned = select(ModelRow.id).where(ModelRow.account_id == account_id)
    yield from session.scalars(select(VersionRow.artifact).where(VersionRow.model_id.in_(owned)))
    uploads = select(UploadRow.id).where(UploadRow.account_id == account_id)
    yield from session.scalars(select(UploadChunkRow.artifact).where(UploadChunkRow.upload_id.in_(uploads)))
    for column in (JobRow.input, JobRow.checkpoint):
        theirs = select(column).where(JobRow.account_id == account_id, column.is_not(None))
        yield from filter(None, session.scalars(theirs))


def _left_to_others(session: Session, account_id: str) -> int:
    count = 0
    for column in _columns_that_name_accounts():
        table = column.table
        mine = select(func.count()).select_from(table).where(column == account_id)
        if "model_id" in table.c:
            owned = select(ModelRow.id).where(ModelRow.account_id == account_id)
            mine = mine.where(table.c.model_id.not_in(owned))
        count += session.scalar(mine) or 0
    return count


def _take_name_from_others(session: Session, row: AccountRow) -> None:
    """Let a tombstone stand for the account wherever others' things tell who did something."""
    columns = list(_columns_that_name_accounts())
    if session.get(AccountRow, TOMBSTONE_ID) is None:
        session.add(
            AccountRow(
                id=TOMBSTONE_ID,
                name=TOMBSTONE_NAME,
                email="",
                password_hash="",
                role="user",
                disabled=True,
                policy_version="",
                created_at=_NEVER,
            )
        )
        session.flush()
    for column in columns:
        session.execute(update(column.table).where(column == row.id).values({column.name: TOMBSTONE_ID}))
    # Others' jobs on its models name those, and the account with them.
    theirs = JobRow.model.startswith(f"{row.name}~", autoescape=True)
    session.execute(update(JobRow).where(theirs).values(model=None, version=None))


def _columns_that_name_accounts() -> Iterator[Column[str]]:
    """Give the columns by which others' rows refer to accounts: those that do not go with the account."""
    for table in Base.metadata.sorted_tables:
        for key in table.foreign_keys:
            names_account = key.column.table.name == AccountRow.__tablename__ and key.ondelete is None
            if names_account and table.name != ModelRow.__tablename__:
                yield key.parent
