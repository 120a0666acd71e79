"""Models: what they are called, who may use them, and what happened to them."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base

# What the catalogue is sorted by; each has an index of one's own models and one of the public ones.
CATALOGUE_KEYS = (
    "folded_name",
    "created_at",
    "updated_at",
    "accuracy",
    "latency_ms",
    "size",
    "recent_calls",
)
_PUBLIC = text("public_name IS NOT NULL")


class ModelRow(Base):
    """A model. `public_name` repeats the name while it is public, so that its uniqueness is the claim.

    The columns after `updated_at` repeat what the catalogue sorts and filters by, so that a page of it is a
    range of an index; `facts.py` keeps them. `folded_name`, `license`, `tags` and `search` are case-folded,
    tags stand between line feeds. `latency_ms` is that of the listed version on its quickest device.
    """

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("account_id", "name"),
        *(Index(f"ix_models_mine_{key}", "account_id", key, "id") for key in CATALOGUE_KEYS),
        *(
            Index(f"ix_models_public_{key}", key, "id", sqlite_where=_PUBLIC, postgresql_where=_PUBLIC)
            for key in CATALOGUE_KEYS
        ),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(128))
    public_name: Mapped[str | None] = mapped_column(String(128), unique=True)
    versions_made: Mapped[int] = mapped_column(default=0)
    unloaded: Mapped[bool] = mapped_column(default=False)
    downloadable: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    folded_name: Mapped[str] = mapped_column(String(128))
    listed_version: Mapped[int | None]
    task: Mapped[str | None] = mapped_column(String(64))
    license: Mapped[str | None] = mapped_column(Text)
    accuracy: Mapped[float | None] = mapped_column(Double)
    latency_ms: Mapped[float | None] = mapped_column(Double)
    size: Mapped[int | None] = mapped_column(BigInteger)
    recent_calls: Mapped[int] = mapped_column(BigInteger, default=0)
    recent_rows: Mapped[int] = mapped_column(BigInteger, default=0)
    tags: Mapped[str] = mapped_column(Text, default="")
    search: Mapped[str] = mapped_column(Text, default="", deferred=True)


class ShareRow(Base):
    """What another account than the owning one may do with a model.

    `bare_name` repeats the model's name where that, written bare, means this model to the account; its
    uniqueness is the claim, as that of a public name is.
    """

    __tablename__ = "shares"
    __table_args__ = (UniqueConstraint("account_id", "bare_name"),)

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[str] = mapped_column(
        ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str] = mapped_column(String(16))
    bare_name: Mapped[str | None] = mapped_column(String(128))
    shared_at: Mapped[datetime]


class ModelEventRow(Base):
    """Something that happened to a model; never changed, and deleted only with the model."""

    __tablename__ = "model_events"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    version: Mapped[int | None]
    details: Mapped[dict[str, JsonValue]]
