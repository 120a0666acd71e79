"""Backups of the embedded store: made while servers use it, and made a store again."""
