"""Which artifacts the rows name: exactly these belong to the store, and every one of them must be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, select

from reference_server.registry.tables import JobRow, UploadChunkRow, VersionRow
from reference_server.security.streams import sealed_size

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def named_artifacts(session: Session) -> set[str]:
    """Return the names of the artifacts of every version, unfinished upload and job.

    A store that an older server made may lack some of these tables.
    """
    there = inspect(session.connection())
    return {
        name
        for column in (VersionRow.artifact, UploadChunkRow.artifact, JobRow.input, JobRow.checkpoint)
        if there.has_table(column.class_.__tablename__)
        for name in session.scalars(select(column).where(column.is_not(None)))
        if name is not None
    }


def package_sizes(session: Session) -> dict[str, int]:
    """Return the bytes of each version's package as it lies in the store, by the artifact's name."""
    stored = select(VersionRow.artifact, VersionRow.size, VersionRow.data_key)
    return {
        row.artifact: row.size if row.data_key is None else sealed_size(row.size)
        for row in session.execute(stored)
    }
