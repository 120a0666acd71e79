"""The request log: one JSON line for each, without bodies, query strings, credentials or addresses."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.http.exchange import Answer, Request
    from reference_server.security.callers import Caller

_log = logging.getLogger("reference_server.requests")


class RequestLog:
    """Writes what was asked and answered.

    Args:
        timer: The timer of `Request.received`, in seconds.
    """

    def __init__(self, *, timer: Callable[[], float]) -> None:
        self._timer = timer

    def write(
        self, request: Request, answer: Answer, *, template: str | None = None, caller: Caller | None = None
    ) -> None:
        """Log one request by its route's template, so that names of models and keys stay out."""
        _log.info(
            "request",
            extra={
                "fields": {
                    "request_id": request.id,
                    "method": request.method[:16],
                    "route": template,
                    "status": answer.status,
                    "ms": round((self._timer() - request.received) * 1000, 2),
                    "account": caller.account_id if caller else None,
                    "credential": caller.credential_id if caller else None,
                }
            },
        )


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
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
