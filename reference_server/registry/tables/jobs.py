"""Long work."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.registry.tables.base import Base


class JobRow(Base):
    """Long work, from its request to its result.

    While it runs, `owner` is the process that runs it and `leased_until` when that counts as dead unless it
    says otherwise before. `input` and `checkpoint` are names in the artifact store, gone when it has ended.
    What was asked, the result and the message of an error are together in `sealed`; `request`, `result` and
    `error_message` hold them in rows of before that, and nothing now. `taken` are the rows of a day that were
    counted for it when it was asked for (`row_counts.Taken`), until it has ended.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "account_id", "created_at"), Index(None, "state", "created_at"))

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int]
    data_key: Mapped[str | None] = mapped_column(String(64), index=True)
    sealed: Mapped[bytes | None]
    model: Mapped[str | None] = mapped_column(String(200))
    version: Mapped[int | None]
    request: Mapped[dict[str, JsonValue]]
    input: Mapped[str | None] = mapped_column(String(200))
    checkpoint: Mapped[str | None] = mapped_column(String(200))
    resumable: Mapped[bool]
    cancel_requested: Mapped[bool]
    attempts: Mapped[int]
    done: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int | None] = mapped_column(BigInteger)
    unit: Mapped[str] = mapped_column(String(32))
    remaining_seconds: Mapped[float | None] = mapped_column(Double)
    result: Mapped[dict[str, JsonValue] | None] = mapped_column(JSON(none_as_null=True))
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    lines: Mapped[int]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    kept_seconds: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    owner: Mapped[str | None] = mapped_column(String(128))
    leased_until: Mapped[datetime | None]
    taken: Mapped[dict[str, JsonValue] | None] = mapped_column(JSON(none_as_null=True))


class JobLineRow(Base):
    """A line of a job's log, sealed; `text` has it in rows of before. Of many the last ones are kept."""

    __tablename__ = "job_lines"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text, default="")
    sealed: Mapped[bytes | None]


class JobProcessRow(Base):
    """A process that takes jobs of this store, and when it was last seen."""

    __tablename__ = "job_processes"

    owner: Mapped[str] = mapped_column(String(128), primary_key=True)
    seen_at: Mapped[datetime]


class JobExplanationsRow(Base):
    """Explanations that a job made, until a worker counts them among its own: `[seconds, rows]` of each."""

    __tablename__ = "job_explanations"

    job_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(200))
    version: Mapped[int]
    device: Mapped[str] = mapped_column(String(64))
    made: Mapped[list[list[float]]]
