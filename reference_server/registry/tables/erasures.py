"""Erasures and their receipts."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class ErasureRow(Base):
    """An erasure and its receipt. It outlives what it erased, and tells of it by opaque ids alone.

    `artifacts` are the names of those that are still to be removed; `receipt` is a signed envelope as JSON.
    """

    __tablename__ = "erasures"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    what: Mapped[str] = mapped_column(String(16))
    object: Mapped[str] = mapped_column(String(100))
    name_sha256: Mapped[str] = mapped_column(String(64))
    counts: Mapped[dict[str, JsonValue]]
    artifacts: Mapped[list[str]]
    requested_at: Mapped[datetime]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)
    receipt: Mapped[str | None] = mapped_column(Text)
