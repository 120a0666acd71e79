"""The keys that things are sealed with."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class AccountKeyRow(Base):
    """The key above all keys of an account, sealed by a master key; deleted first when the account is."""

    __tablename__ = "account_keys"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    master: Mapped[str] = mapped_column(String(32), index=True)
    wrapped: Mapped[bytes]


class DataKeyRow(Base):
    """The key of one thing, sealed by its account's; whoever deletes the row erases the thing.

    Things name their keys in `data_key`; where that is null, an older server stored the thing in clear, and
    `sealing_up.py` has not come to it yet.
    """

    __tablename__ = "data_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    wrapped: Mapped[bytes]
    created_at: Mapped[datetime]


class StoreKeyRow(Base):
    """A key of the store itself, sealed by a master key; which one does tells which seals what is new."""

    __tablename__ = "store_keys"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    master: Mapped[str] = mapped_column(String(32), index=True)
    wrapped: Mapped[bytes]
