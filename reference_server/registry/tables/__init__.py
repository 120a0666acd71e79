"""The tables, a file for each noun. `migrations/` builds them step by step; a test keeps the two equal."""

from __future__ import annotations

from reference_server.registry.tables.accounts import AccountRow, InvitationRow
from reference_server.registry.tables.audit import AuditMarkRow, AuditRow
from reference_server.registry.tables.base import Base, UTCDateTime
from reference_server.registry.tables.capture import CapturedRow, CaptureRow
from reference_server.registry.tables.credentials import KeyRow, KeySecretRow, SessionRow
from reference_server.registry.tables.data_keys import AccountKeyRow, DataKeyRow, StoreKeyRow
from reference_server.registry.tables.erasures import ErasureRow
from reference_server.registry.tables.idempotency import IdempotencyRow
from reference_server.registry.tables.jobs import JobExplanationsRow, JobLineRow, JobProcessRow, JobRow
from reference_server.registry.tables.models import CATALOGUE_KEYS, ModelEventRow, ModelRow, ShareRow
from reference_server.registry.tables.traffic import TrafficChangeRow, TrafficComparisonRow, TrafficCountRow
from reference_server.registry.tables.uploads import UploadChunkRow, UploadRow
from reference_server.registry.tables.usage import RowCountRow, UsageRow, VersionPerformanceRow
from reference_server.registry.tables.versions import AliasChangeRow, AliasRow, VersionRow

__all__ = [
    "CATALOGUE_KEYS",
    "AccountKeyRow",
    "AccountRow",
    "AliasChangeRow",
    "AliasRow",
    "AuditMarkRow",
    "AuditRow",
    "Base",
    "CaptureRow",
    "CapturedRow",
    "DataKeyRow",
    "ErasureRow",
    "IdempotencyRow",
    "InvitationRow",
    "JobExplanationsRow",
    "JobLineRow",
    "JobProcessRow",
    "JobRow",
    "KeyRow",
    "KeySecretRow",
    "ModelEventRow",
    "ModelRow",
    "RowCountRow",
    "SessionRow",
    "ShareRow",
    "StoreKeyRow",
    "TrafficChangeRow",
    "TrafficComparisonRow",
    "TrafficCountRow",
    "UTCDateTime",
    "UploadChunkRow",
    "UploadRow",
    "UsageRow",
    "VersionPerformanceRow",
    "VersionRow",
]
