"""The request log: one JSON line for each, without bodies, query strings, credentials or addresses."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
import time
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import orjson

if TYPE_CHECKING:
    from reference_server.http.exchange import Request
    from reference_server.security.callers import Caller

_log = logging.getLogger("reference_server.requests")

# Between two blocks the writing thread lets others run.
_LINES_PER_BLOCK = 200
_Noted: TypeAlias = "tuple[float, str, str, str | None, int, float, Caller | None]"


class RequestLog:
    """Notes what was asked and answered; `flush` writes it, off the requests' way.

    A line costs 10 µs to write and 1 µs to note.
    """

    def __init__(self) -> None:
        self._noted: deque[_Noted] = deque()
        self._wanted = True

    def write(
        self,
        request: Request,
        status: int,
        seconds: float,
        *,
        template: str | None = None,
        caller: Caller | None = None,
    ) -> None:
        """Note one request by its route's template, so that names of models and keys stay out."""
        if self._wanted:
            self._noted.append(
                (time.time(), request.id, request.method[:16], template, status, seconds, caller)
            )

    def flush(self) -> None:
        """Write what was noted, a block at a time."""
        self._wanted = _log.isEnabledFor(logging.INFO)
        while self._noted:
            block = [self._noted.popleft() for _ in range(min(len(self._noted), _LINES_PER_BLOCK))]
            if self._wanted:
                _log.info("\n".join(map(_line, block)), extra={"formatted": True})


def _line(noted: _Noted) -> str:
    at, request_id, method, template, status, seconds, caller = noted
    who = (caller.account_id, caller.credential_id) if caller else (None, None)
    time_ = f"{_second(int(at))}.{int(at % 1 * 1000):03d}+00:00"
    # The id is ours and needs no escaping; what callers choose is written by orjson.
    mine = f'"time":"{time_}","request_id":"{request_id}","ms":{seconds * 1000:.2f}'
    return f"{{{mine},{_shared(method, template, status, *who)}"


@lru_cache(maxsize=1024)
def _shared(
    method: str, template: str | None, status: int, account: str | None, credential: str | None
) -> str:
    """Return what the lines of many requests have in common, up to the closing brace."""
    line = {
        "level": "info",
        "logger": _log.name,
        "message": "request",
        "method": method,
        "route": template,
        "status": status,
        "account": account,
        "credential": credential,
    }
    return orjson.dumps(line).decode()[1:]


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "formatted", False):
            return record.getMessage()
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class _Unformatted(logging.handlers.QueueHandler):
    # Formatting costs 10 µs a line; the listener's thread does it, not the request's.
    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


def start_logging(level: str) -> logging.handlers.QueueListener:
    """Send this package's log as JSON lines to standard error, through a queue; return the listener."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(_Json())
    logger = logging.getLogger("reference_server")
    logger.handlers = [_Unformatted(records)]
    logger.propagate = False
    logger.setLevel(level.upper())
    listener = logging.handlers.QueueListener(records, output)
    listener.start()
    return listener
