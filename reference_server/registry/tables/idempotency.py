"""Requests that may be repeated."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class IdempotencyRow(Base):
    """A request that carried an Idempotency-Key: under way while `status` is null, then its stored reply."""

    __tablename__ = "idempotency"

    owner: Mapped[str] = mapped_column(Text, primary_key=True)
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(index=True)
    leased_until: Mapped[datetime]
    status: Mapped[int | None]
    body: Mapped[bytes | None]
    sealed: Mapped[bool] = mapped_column(default=False)
