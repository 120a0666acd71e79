"""Accounts, credentials, models, versions and their packages: what the server remembers.

Every query function takes a `Database` first, opens its own transaction and returns wire types. Rows never
leave this room, and neither Flask nor ONNX Runtime enters it.
"""
