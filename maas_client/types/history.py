"""What happened to a model."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, JsonValue

from maas_client.types.base import PageQuery, Reply


class HistoryQuery(PageQuery):
    """Filters of a model's history."""

    kind: str | None = Field(None, max_length=32, description="Only events of this kind.")
    after: int | None = Field(None, ge=0, lt=2**31, description="Only events after the one of this number.")


class ModelEvent(Reply):
    """Something that happened to a model: one entry of its history.

    Args:
        seq: Its number in the model's history, from 1 in the order of what happened.
        kind: `published`, `alias_moved`, `alias_rolled_back`, `deprecated`, `restored`, `retired`,
            `version_deleted`; of the traffic `traffic_changed`, `promoted`, `withdrawn`; to owners alone
            `shared`, `share_changed`, `share_withdrawn`, whose numbers others find left out; or another
            that a newer server tells of.
        at: When it happened.
        by: The name of the account that did it.
        version: The version that it is about; None where it is about none.
        details: What else is known, by kind: the alias and `from_version` of a move, the reason and the
            replacement of a deprecation, the digest of what was published or deleted, the splits, the shadows
            and the revision of the traffic, the account and the role of a share.
    """

    seq: int
    kind: str
    at: datetime
    by: str
    version: int | None = None
    details: dict[str, JsonValue] = {}
