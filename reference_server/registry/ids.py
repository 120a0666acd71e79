"""Identifiers of accounts, keys, models and replies."""

from __future__ import annotations

import os
import time

_RANDOM_BYTES = 10


def new_id(prefix: str) -> str:
    """Make an identifier such as `acc_0199…`: 48 bits of Unix milliseconds, then 80 random bits.

    The layout is that of a ULID, so identifiers sort by the time they were made, and an index over them grows
    at its end. Written in hexadecimal, which Python makes several times faster than ULID's base 32.
    """
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{os.urandom(_RANDOM_BYTES).hex()}"
