"""Aliases, and how they move."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from maas_client.types.base import Reply, Request
from maas_client.types.fields import Notes, VersionNumber


class Alias(Reply):
    """A name that points to a version. `latest` is computed and cannot be moved."""

    name: str
    version: int
    revision: int = Field(description="Counts the moves; sent as the ETag, compared with `If-Match`.")
    note: str = ""
    moved_by: str | None = None
    moved_at: datetime


class AliasMove(Request):
    """Where an alias is to point, and why."""

    version: VersionNumber
    note: Notes = ""
    force: bool = Field(
        False, description="Move `default` even if the signature breaks that of the version before."
    )


class AliasRollback(Request):
    """Why an alias goes back to the version it pointed to before."""

    note: Notes = ""
    force: bool = Field(
        False, description="Move `default` even if the signature breaks that of the version before."
    )


class AliasChange(Reply):
    """One entry of an alias's history, newest first."""

    alias: str
    from_version: int | None
    to_version: int
    revision: int
    note: str = ""
    moved_by: str
    moved_at: datetime
