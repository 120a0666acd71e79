"""What was asked for, and how fast it was answered."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, Double, ForeignKey, ForeignKeyConstraint, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class UsageRow(Base):
    """What an account asked of a version on one day, in UTC; a deleted version's stays, it was asked for."""

    __tablename__ = "usage"
    __table_args__ = (Index(None, "model_id", "day"),)

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    calls: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(BigInteger)


class RowCountRow(Base):
    """Rows that one worker predicted on one day, in UTC, for all who are counted under a subject.

    `granted` is up to how much the worker may by now.
    """

    __tablename__ = "row_counts"

    subject: Mapped[str] = mapped_column(String(128), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    worker: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    used: Mapped[int] = mapped_column(BigInteger)
    granted: Mapped[int] = mapped_column(BigInteger)


class VersionPerformanceRow(Base):
    """What a version was measured to do on one device, by all workers since `since`.

    `latencies` is a sketch of whole calls (`sketches.py`); `run_seconds` counts a run once, however many
    calls shared it.
    """

    __tablename__ = "version_performance"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model_id", "version"], ["versions.model_id", "versions.number"], ondelete="CASCADE"
        ),
    )

    model_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(BigInteger)
    run_seconds: Mapped[float] = mapped_column(Double)
    latencies: Mapped[dict[str, JsonValue]]
    since: Mapped[datetime]
    updated_at: Mapped[datetime]
