"""What disks and databases fail with, as answers: 507 where there is no room, 503 where writing is refused.

The caller learns that nothing was kept and when to come again; what the operator has to do is in the log,
once a minute for each kind of fault at most.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reference_server.errors import ServiceError, StorageFull, Unavailable
from reference_server.security.master_keys import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What a store that is away for now fails with, whoever asks it: it may be back at the next try.
STORE_AWAY = (SQLAlchemyError, ServiceError, MasterKeyError, OSError)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_FULL_SECONDS, _REFUSED_SECONDS = 30.0, 30.0
_LOG_SECONDS = 60.0
_log = logging.getLogger(__name__)


class _Told:
    """Logs each kind of fault from time to time: a full disk must not fill it with its own complaints."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._at: dict[str, float] = {}

    def __call__(self, code: str, cause: BaseException, remedy: str) -> None:
        with self._lock:
            now = self._timer()
            if now - self._at.get(code, -_LOG_SECONDS) < _LOG_SECONDS:
                return
            self._at[code] = now
        _log.error("%s: %s; %s", code, cause, remedy)


_told = _Told()


@contextmanager
def storage_faults() -> Iterator[None]:
    """Turn what the block's disk or database fails with into an answer; what is none of these passes through.

    Raises:
        StorageFull: There is no room, or no more of it for this process.
        Unavailable: With code `store_busy`, `store_read_only` or `store_damaged`.
    """
    try:
        yield
    except (OSError, DBAPIError) as error:
        answer = _answer(error)
        if answer is None:
            raise
        raise answer from error


def _answer(error: OSError | DBAPIError) -> ServiceError | None:
    if isinstance(error, OSError):
        return _of_disk(error)
    return _of_sqlite(error.orig) if isinstance(error.orig, sqlite3.Error) else None


def _of_disk(error: OSError) -> ServiceError | None:
    if error.errno in _FULL:
        return _full(error)
    return _read_only(error) if error.errno in _REFUSED else None


def _of_sqlite(error: sqlite3.Error) -> ServiceError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    # The low byte is the primary result code, the rest tells the kind (sqlite.org, "Result Codes").
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_BUSY:
        return Unavailable(
            "the store is busy with other changes; repeat the request", code="store_busy", retry_after=1.0
        )
    # Where a limit on the size of files ends a write, SQLite tells of the write alone.
    if primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_WRITE:
        return _full(error)
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return _read_only(error)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR):
        return _damaged(error)
    return None


def _full(cause: Exception) -> StorageFull:
    _told(
        "storage_full", cause, "make room on the data directory's disk, or raise the limit (ulimit -f, quota)"
    )
    return StorageFull(
        "the server has no room left; nothing of this request was kept; its operator has been told, try "
        "again later",
        retry_after=_FULL_SECONDS,
    )


def _read_only(cause: Exception) -> Unavailable:
    _told(
        "store_read_only",
        cause,
        "let this user write to the data directory and all that is in it, and mount it writable",
    )
    return Unavailable(
        "the server cannot write to its store; nothing of this request was kept; its operator has been "
        "told, try again later",
        code="store_read_only",
        retry_after=_REFUSED_SECONDS,
    )


def _damaged(cause: Exception) -> Unavailable:
    _told(
        "store_damaged",
        cause,
        "stop the server, look at the disk, and see what `maas-server doctor` tells; then restore a backup",
    )
    return Unavailable(
        "the server cannot read its store; the fault is the server's, its operator has been told",
        code="store_damaged",
        should_retry=False,
    )
