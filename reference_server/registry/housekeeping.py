"""What time has made useless: ended sessions, uploads and jobs, captured calls, old replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete

from reference_server.registry import captured, data_keys, idempotency, row_counts, uploads
from reference_server.registry.tables import JobRow, KeySecretRow, SessionRow

if TYPE_CHECKING:
    from reference_server.registry.database import Database


def purge(db: Database) -> None:
    """Delete it. Keys stay after they expire, so that their owner can see why they stopped."""
    now = db.clock()
    with db.write() as session:
        session.execute(delete(SessionRow).where(SessionRow.expires_at <= now))
        uploads.forget_expired(session)
        old = delete(JobRow).where(JobRow.expires_at <= now, JobRow.state != "running")
        data_keys.destroy(session, list(filter(None, session.scalars(old.returning(JobRow.data_key)))))
        session.execute(delete(KeySecretRow).where(KeySecretRow.valid_until <= now))
        captured.purge(session)
        row_counts.purge(session, now.date())
    idempotency.purge(db)
