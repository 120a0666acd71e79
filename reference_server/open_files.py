"""How many files and sockets a process may have open (getrlimit(2), RLIMIT_NOFILE)."""

from __future__ import annotations

import sys

# For the store, packages, models, streams, log and the interpreter; the rest is for connections.
_KEPT_FILES = 128
_UNLIMITED = 1_000_000


def raise_limit() -> None:
    """Take as many as the system lets this process have without asking anybody."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit() -> int:
    """Return how many files this process may have open."""
    if sys.platform == "win32":  # its sockets are no files, and there is no such limit
        return _UNLIMITED
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def most_connections() -> int:
    """Return how many connections this process can hold beside what else it opens."""
    return max(1, limit() - _KEPT_FILES)
