"""Versions, and the aliases that point to them."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class VersionRow(Base):
    """A version: immutable but for its state, from `state` on.

    `search` holds description and tags, case-folded, for the catalogue's filter. `artifact_sha256` is that of
    the package before it was sealed; null in rows of before it was kept, until somebody downloads it.
    `batch_invariant` is null in rows of before it was measured. `parent` may name a version that was deleted
    since; `measured_metrics` is what the owner measured after the publish, null for nothing.
    `withheld_by` names models by their ids: those whose weights it holds, and without the right to download
    which nobody gets its package; null for none.
    """

    __tablename__ = "versions"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(71), index=True)
    artifact: Mapped[str] = mapped_column(String(200), index=True)
    data_key: Mapped[str | None] = mapped_column(String(64), index=True)
    artifact_sha256: Mapped[str | None] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    task: Mapped[str] = mapped_column(String(64), index=True)
    search: Mapped[str] = mapped_column(Text)
    notes: Mapped[str] = mapped_column(Text)
    author_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    created_at: Mapped[datetime]
    manifest: Mapped[dict[str, JsonValue]]
    signature: Mapped[dict[str, JsonValue]]
    tensors: Mapped[dict[str, JsonValue]]
    batch_invariant: Mapped[bool | None]
    measured_metrics: Mapped[list[dict[str, JsonValue]] | None]
    origin: Mapped[str] = mapped_column(String(32))
    parent: Mapped[int | None]
    lineage: Mapped[dict[str, JsonValue]]
    withheld_by: Mapped[list[str] | None]
    state: Mapped[str] = mapped_column(String(16), default="active")
    state_since: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(Text, default="")
    replacement: Mapped[str | None] = mapped_column(String(200))
    sunset: Mapped[datetime | None]
    documentation: Mapped[str | None] = mapped_column(Text)


class AliasRow(Base):
    """Where an alias points now: the newest of its changes, kept apart because predictions read it."""

    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(["model_id", "version"], ["versions.model_id", "versions.number"]),
    )

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int]
    revision: Mapped[int]
    note: Mapped[str] = mapped_column(Text)
    moved_by: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    moved_at: Mapped[datetime]


class AliasChangeRow(Base):
    """One move of an alias; never changed, never deleted."""

    __tablename__ = "alias_changes"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    alias: Mapped[str] = mapped_column(String(64), primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    from_version: Mapped[int | None]
    to_version: Mapped[int]
    note: Mapped[str] = mapped_column(Text)
    moved_by: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    moved_at: Mapped[datetime]
