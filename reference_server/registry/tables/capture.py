"""Calls that are captured."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Double, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class CaptureRow(Base):
    """Whether a model's calls are captured, and what there is of them; `since` is null while it is off.

    `records` and `bytes` are sums over the calls, `last_seq` is the number of the newest that there ever was,
    `dropped` counts those that were not written.
    """

    __tablename__ = "captures"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    since: Mapped[datetime | None]
    days: Mapped[int]
    sample: Mapped[float] = mapped_column(Double)
    data_key: Mapped[str | None] = mapped_column(String(64), index=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    records: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    dropped: Mapped[int] = mapped_column(BigInteger)


class CapturedRow(Base):
    """A captured call, its contents sealed under the set's key and bound to all that stands here in clear."""

    __tablename__ = "captured_calls"
    __table_args__ = (Index(None, "model_id", "at"), Index(None, "model_id", "expires_at"))

    model_id: Mapped[str] = mapped_column(
        ForeignKey("captures.model_id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    expires_at: Mapped[datetime]
    version: Mapped[int]
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    request_id: Mapped[str] = mapped_column(String(64))
    route: Mapped[str] = mapped_column(String(16))
    size: Mapped[int] = mapped_column(BigInteger)
    sealed: Mapped[bytes]
