"""Alembic migrations of the registry; `database.upgrade` runs them."""
