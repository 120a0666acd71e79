"""Accounts, and how they are got."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class AccountRow(Base):
    """An account; the e-mail is kept in lower case and serves log-in only.

    Of its limits null is the server's default, and 0 none.
    """

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(16))
    disabled: Mapped[bool] = mapped_column(default=False)
    policy_version: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    requests_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    rows_per_day: Mapped[int | None] = mapped_column(BigInteger)


class InvitationRow(Base):
    """An invitation to register; a used one stays, so that the operator sees what became of it."""

    __tablename__ = "invitations"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(32))
    email: Mapped[str | None] = mapped_column(String(254))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_by: Mapped[str | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
