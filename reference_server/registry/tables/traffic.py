"""Who serves unversioned calls, and how those compare."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Double, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class TrafficChangeRow(Base):
    """Who serves unversioned calls from then on; the newest is in force; never changed, never deleted.

    `segments` are pairs of an end and a version: whose bucket lies below the first end that is larger gets
    that version. They are empty where the alias `default` serves alone.
    """

    __tablename__ = "traffic_changes"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(32))
    splits: Mapped[list[dict[str, float]]]
    segments: Mapped[list[list[int]]]
    shadows: Mapped[list[int]]
    note: Mapped[str] = mapped_column(Text)
    changed_by: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    changed_at: Mapped[datetime]


class TrafficCountRow(Base):
    """What a version did with callers while a revision of the traffic was in force; sums of `VersionSums`."""

    __tablename__ = "traffic_counts"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    calls: Mapped[int] = mapped_column(BigInteger)
    errors: Mapped[int] = mapped_column(BigInteger)
    timed: Mapped[int] = mapped_column(BigInteger)
    log_sum: Mapped[float] = mapped_column(Double)
    log_squares: Mapped[float] = mapped_column(Double)


class TrafficComparisonRow(Base):
    """What a shadow made of copies of another version's calls; sums of `PairSums`."""

    __tablename__ = "traffic_comparisons"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    a: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    b: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    measure: Mapped[str | None] = mapped_column(String(16))
    calls: Mapped[int] = mapped_column(BigInteger)
    dropped: Mapped[int] = mapped_column(BigInteger)
    errors_a: Mapped[int] = mapped_column(BigInteger)
    errors_b: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    agreed: Mapped[int] = mapped_column(BigInteger)
    difference_sum: Mapped[float] = mapped_column(Double)
    difference_squares: Mapped[float] = mapped_column(Double)
    difference_max: Mapped[float] = mapped_column(Double)
    timed: Mapped[int] = mapped_column(BigInteger)
    log_sum: Mapped[float] = mapped_column(Double)
    log_squares: Mapped[float] = mapped_column(Double)
