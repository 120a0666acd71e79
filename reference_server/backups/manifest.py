"""What a backup says that it holds."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it at run time
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

MANIFEST = "backup.json"
DATABASE = "maas.db"
ARTIFACTS = "artifacts"
TAR = ".tar"
# The layout's own names, so that a backup that somebody altered reaches nothing outside its folder.
_NAME = r"^(maas\.db|artifacts/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199})$"


class BackupError(Exception):
    """A backup cannot be made or restored; the message says why and what to do."""


class BackedUpFile(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(pattern=_NAME)
    size: NonNegativeInt
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What a backup holds.

    Args:
        format: The layout of backups.
        made_at: When.
        made_by: The release that made it.
        schema_revision: Of the database's tables.
        files: Every file but this one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    made_at: datetime
    made_by: str
    schema_revision: str | None
    files: tuple[BackedUpFile, ...]

    @property
    def bytes(self) -> int:
        """How much all files hold together."""
        return sum(file.size for file in self.files)
