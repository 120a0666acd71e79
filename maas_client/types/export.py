"""What an account takes with it."""

from __future__ import annotations

from pydantic import Field

from maas_client.types.accounts import Account, Key, Session
from maas_client.types.aliases import AliasChange
from maas_client.types.base import Reply
from maas_client.types.capture import Capture
from maas_client.types.history import ModelEvent
from maas_client.types.jobs import JobReply
from maas_client.types.models import Model
from maas_client.types.shares import Share, SharedModel
from maas_client.types.traffic import Traffic
from maas_client.types.usage import UsageEntry
from maas_client.types.versions import Version


class AccountExport(Reply):
    """Everything that the service holds about an account, without secrets."""

    account: Account
    sessions: list[Session]
    keys: list[Key]
    models: list[Model]
    versions: list[Version]
    alias_changes: dict[str, list[AliasChange]]
    jobs: list[JobReply] = []
    events: dict[str, list[ModelEvent]] = {}
    traffic_changes: dict[str, list[Traffic]] = {}
    usage: list[UsageEntry] = []
    shares: dict[str, list[Share]] = Field({}, description="With whom each of its models is shared.")
    shared_with_me: list[SharedModel] = []
    captures: dict[str, Capture] = Field(
        {},
        description="Of which of its models calls are captured; the calls: GET /v1/models/{model}/captured.",
    )
