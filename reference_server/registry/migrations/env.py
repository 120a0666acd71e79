"""What Alembic runs: the revisions, over the connection and inside the transaction that `upgrade` holds."""

from __future__ import annotations

from alembic import context

from reference_server.registry.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
