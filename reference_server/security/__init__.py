"""Passwords, credentials, scopes, sealing and throttling. Nothing here knows HTTP or the database."""
