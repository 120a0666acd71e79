"""The audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import AwareDatetime, Field

from maas_client.types.base import PageQuery, Reply

AuditAct: TypeAlias = Literal[
    "account_registered",
    "account_made",
    "account_disabled",
    "account_enabled",
    "account_erased",
    "account_exported",
    "password_changed",
    "role_changed",
    "master_key_rotated",
    "limits_changed",
    "session_started",
    "session_ended",
    "key_made",
    "key_rotated",
    "key_revoked",
    "invitation_made",
    "invitation_revoked",
    "model_made",
    "model_changed",
    "model_deleted",
    "model_loaded",
    "model_unloaded",
    "version_published",
    "version_changed",
    "version_deleted",
    "package_downloaded",
    "alias_moved",
    "alias_rolled_back",
    "traffic_changed",
    "traffic_withdrawn",
    "share_changed",
    "share_removed",
    "capture_changed",
    "captured_read",
    "captured_deleted",
    "fine_tune_asked",
    "advice_asked",
    "advice_applied",
    "job_cancelled",
    "job_deleted",
    "audit_read",
    "audit_exported",
    "audit_pruned",
    "backup_made",
    "store_restored",
    "prediction",
    "request",
]
AuditOutcome: TypeAlias = Literal["succeeded", "denied", "failed", "hidden"]


class AuditQuery(PageQuery):
    """Filters of `GET /v1/audit`."""

    act: AuditAct | None = Field(None, description="Only entries of this act.")
    outcome: AuditOutcome | None = Field(None, description="Only entries that ended so.")
    since: AwareDatetime | None = Field(None, description="The first moment, with an offset from UTC.")
    until: AwareDatetime | None = Field(None, description="The moment before which all must lie.")


class AdminAuditQuery(AuditQuery):
    """Filters of `GET /v1/admin/audit`."""

    account: str | None = Field(
        None, max_length=64, description="Only entries that the account of this id did, or that concern it."
    )


class AuditEntry(Reply):
    """One security-relevant act, or several like ones of one minute; never what it was about.

    Args:
        id: The entry's id.
        seq: Its number in the log, from 1 without gaps; for operators alone.
        at: When, in UTC; of several the beginning of their minute.
        act: What was done, such as `key_made`. `prediction` and `request` stand for denied calls that change
            nothing.
        outcome: `succeeded`, `denied`, or `failed` when the server did not get to its end. `hidden`, for
            operators alone: a denial of something that its caller was not to know of.
        account: Whose affair it is, by id; None where no account is known.
        actor: Who did it: an account's id, `operator` for commands on the server's machine, None for
            strangers.
        credential: The id of the session or key that spoke for them.
        subject: The id of what it was done to.
        version: The number of the version it was done to.
        status: The HTTP status that was answered; None for commands.
        count: How many like acts it stands for.
        request_id: Of the request, as in `X-Request-Id`; None where several are counted.
        address: From where the actor came; only the actor and operators see this and what follows.
        user_agent: The actor's program, as it called itself.
        email: The e-mail that was given.
        model: The name by which the model was meant.
        alias: The alias's name.
        shared_with: The name of the account that a share is for, and as what: `bob as reader`.
        origin: For strangers, a keyed hash that tells two addresses apart on one day.
        hash: The entry's place in the chain: SHA-256 in hexadecimal.
        unreadable: Whether there were personal fields that do not open any more, as after an erasure.
    """

    id: str
    seq: int | None = None
    at: datetime
    act: str
    outcome: str
    account: str | None = None
    actor: str | None = None
    credential: str | None = None
    subject: str | None = None
    version: int | None = None
    status: int | None = None
    count: int = 1
    request_id: str | None = None
    address: str | None = None
    user_agent: str | None = None
    email: str | None = None
    model: str | None = None
    alias: str | None = None
    shared_with: str | None = None
    origin: str | None = None
    hash: str
    unreadable: bool = False


class AuditHead(Reply):
    """The end of the audit log; written down elsewhere, it tells later whether the log was cut or rewritten.

    Args:
        seq: The number of the last entry; 0 for an empty log.
        hash: Its hash.
        at: When it was written.
    """

    seq: int
    hash: str
    at: datetime | None = None
