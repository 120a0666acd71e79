"""What an account used."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from maas_client.types.base import PageQuery, Reply
from maas_client.types.fields import VersionNumber


class UsageQuery(PageQuery):
    """Filters of `GET /v1/usage`."""

    model: str | None = Field(None, max_length=200, description="Only calls of this model.")
    version: VersionNumber | None = Field(None, description="Only calls of versions of this number.")
    since: date | None = Field(None, description="The first day, in UTC.")
    until: date | None = Field(None, description="The last day, in UTC.")


class UsageEntry(Reply):
    """What one's own account asked of one version on one day.

    Args:
        day: The day, in UTC.
        model: The model, `account~name`.
        version: The version's number.
        calls: Calls that were answered.
        rows: Their rows.
        failures: Calls whose run failed.
    """

    day: date
    model: str
    version: int
    calls: int
    rows: int
    failures: int


class Usage(Reply):
    """What a call counted as."""

    instances: int
