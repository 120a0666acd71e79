"""The tables. `migrations/` builds the same ones step by step; a test keeps the two equal."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from pydantic import JsonValue
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

if TYPE_CHECKING:
    from sqlalchemy import Dialect


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored as UTC: SQLite forgets the offset, PostgreSQL answers in its own zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """What a column of this type holds; SQLAlchemy tells it of its own types only."""
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn an aware datetime into UTC; a naive one is our own defect."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; the registry takes aware datetimes only")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give back an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The root of the tables; constraints get names, so that later migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        datetime: UTCDateTime,
        dict[str, JsonValue]: JSON,
        list[dict[str, JsonValue]]: JSON,
        list[str]: JSON,
        list[int]: JSON,
        list[list[int]]: JSON,
        list[list[float]]: JSON,
        list[dict[str, float]]: JSON,
        bytes: LargeBinary,
    }


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


class StoreKeyRow(Base):
    """A key of the store itself, sealed by a master key; which one does tells which seals what is new."""

    __tablename__ = "store_keys"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    master: Mapped[str] = mapped_column(String(32), index=True)
    wrapped: Mapped[bytes]


class AuditRow(Base):
    """An entry of the audit log (`security/audit_chain.py`); never changed, and deleted only by pruning.

    Its ids refer to nothing: what they name may be erased, and the entry stays.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "account", "seq"), Index(None, "actor", "seq"))

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    at: Mapped[datetime] = mapped_column(index=True)
    act: Mapped[str] = mapped_column(String(32))
    outcome: Mapped[str] = mapped_column(String(16))
    account: Mapped[str | None] = mapped_column(String(64))
    actor: Mapped[str | None] = mapped_column(String(64))
    credential: Mapped[str | None] = mapped_column(String(64))
    subject: Mapped[str | None] = mapped_column(String(64))
    version: Mapped[int | None]
    status: Mapped[int | None]
    count: Mapped[int] = mapped_column(BigInteger)
    origin: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    sealed: Mapped[bytes | None]
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    mac: Mapped[str] = mapped_column(String(64))


class AuditMarkRow(Base):
    """A place in the audit log that the store vouches for: `head`, its end, or `start`, the last pruned."""

    __tablename__ = "audit_marks"

    name: Mapped[str] = mapped_column(String(8), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    mac: Mapped[str] = mapped_column(String(64))


class SessionRow(Base):
    """A log-in session; an ended one is deleted."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class KeyRow(Base):
    """An API key; a revoked one is deleted. A limit of null is none.

    `counted_with` holds the budgets of the key that made it, and of the one that made that.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(32))
    last4: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    last_used_from: Mapped[str | None] = mapped_column(String(64))
    models: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    networks: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    requests_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    rows_per_day: Mapped[int | None] = mapped_column(BigInteger)
    counted_with: Mapped[list[dict[str, JsonValue]] | None] = mapped_column(JSON(none_as_null=True))


class KeySecretRow(Base):
    """A secret that opens a key: the present one, or an old one until its overlap ends."""

    __tablename__ = "api_key_secrets"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), index=True)
    valid_until: Mapped[datetime | None] = mapped_column(index=True)


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


class UploadRow(Base):
    """A package that comes in chunks: the first `received` bytes are there; a finished one is deleted."""

    __tablename__ = "uploads"
    __table_args__ = (UniqueConstraint("account_id", "sha256", "size"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    data_key: Mapped[str | None] = mapped_column(String(64), index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class UploadChunkRow(Base):
    """Where a chunk of an upload lies in the artifact store."""

    __tablename__ = "upload_chunks"

    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    artifact: Mapped[str] = mapped_column(String(200))


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


class JobExplanationsRow(Base):
    """Explanations that a job made, until a worker counts them among its own: `[seconds, rows]` of each."""

    __tablename__ = "job_explanations"

    job_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(200))
    version: Mapped[int]
    device: Mapped[str] = mapped_column(String(64))
    made: Mapped[list[list[float]]]


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
