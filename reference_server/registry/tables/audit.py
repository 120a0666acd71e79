"""The audit log, and the places in it that the store vouches for."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class AuditRow(Base):
    """An entry of the audit log (`security/audit_chain.py`); never changed, and deleted only by pruning.

    Its ids refer to nothing: what they name may be erased, and the entry stays.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "account", "seq"), Index(None, "actor", "seq"))

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    at: Mapped[datetime] = mapped_column(index=True)
    act: Mapped[str] = mapped_column(String(32))
    outcome: Mapped[str] = mapped_column(String(16))
    account: Mapped[str | None] = mapped_column(String(64))
    actor: Mapped[str | None] = mapped_column(String(64))
    credential: Mapped[str | None] = mapped_column(String(64))
    subject: Mapped[str | None] = mapped_column(String(64))
    version: Mapped[int | None]
    status: Mapped[int | None]
    count: Mapped[int] = mapped_column(BigInteger)
    origin: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    sealed: Mapped[bytes | None]
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    mac: Mapped[str] = mapped_column(String(64))


class AuditMarkRow(Base):
    """A place in the audit log that the store vouches for: `head`, its end, or `start`, the last pruned."""

    __tablename__ = "audit_marks"

    name: Mapped[str] = mapped_column(String(8), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    mac: Mapped[str] = mapped_column(String(64))
