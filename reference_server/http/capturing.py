"""Calls that are to be captured, from their answer to the store: held in memory, written once a second.

A call pays for a hash of its request id and an entry in a list. What is held is bounded; beyond that the
newest are dropped and counted. Whoever stops a worker by force loses what it held, a second's calls.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from reference_server.http.captured_contents import content_of
from reference_server.registry import capture_set
from reference_server.registry.capture_set import NewCall

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reference_server.http.exchange import Answer, Call
    from reference_server.registry.capture import Capturing
    from reference_server.registry.database import Database

HEADER = "x-maas-capture"
MOST_BYTES = 16 * 2**20
# What a call takes beside its bodies: its headers, above all.
_CALL_BYTES = 2 * 2**10
_log = logging.getLogger(__name__)


# Made for a request and changed by nobody: a frozen dataclass would take 3 µs more.
class Taken(NamedTuple):
    """A call as it was answered; bodies are those of the wire.

    Args:
        capturing: How its model captures.
        at: When it was answered.
        account_id: Who called.
        request_id: The request's id.
        tag: The noun of its endpoint.
        headers: The request's.
        body: The request's.
        reply_headers: The answer's.
        reply: The answer's body.
    """

    capturing: Capturing
    at: datetime
    account_id: str
    request_id: str
    tag: str
    headers: Mapping[str, str]
    body: bytes | bytearray
    reply_headers: Mapping[str, str]
    reply: bytes

    @property
    def size(self) -> int:
        """The bytes of memory that it holds, about."""
        return len(self.body) + len(self.reply) + _CALL_BYTES


class Captures:
    """What one worker holds.

    Args:
        database: Where it goes.
        model_bytes: What the sealed calls of one model may take there.
        body_bytes: What a body may have, uncompressed.
        most_bytes: What may be held until it is written.
    """

    def __init__(
        self, database: Database, *, model_bytes: int, body_bytes: int, most_bytes: int = MOST_BYTES
    ) -> None:
        self._database = database
        self._model_bytes = model_bytes
        self._body_bytes = body_bytes
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._held: deque[Taken] = deque()
        self._bytes = 0
        self._dropped: Counter[str] = Counter()

    def take(self, capturing: Capturing, call: Call, answer: Answer) -> None:
        """Hold a call that was answered, if it is one of the sample and there is room; never waits."""
        request = call.request
        if not capturing.takes(request.id) or not isinstance(request.body, bytes | bytearray):
            return
        taken = Taken(
            capturing,
            self._database.clock(),
            call.by.account_id,
            request.id,
            call.endpoint.tag,
            request.headers,
            request.body,
            answer.headers,
            answer.body,
        )
        with self._lock:
            self._hold(taken)

    def flush(self) -> None:
        """Write what is held; what cannot be written now is held for the next time, as far as there is room.

        Raises:
            Unavailable, StorageFull: When the store cannot be written now.
        """
        with self._lock:
            held, dropped = self._held, self._dropped
            self._held, self._dropped, self._bytes = deque(), Counter(), 0
        if not held and not dropped:
            return
        try:
            calls, unread = self._read(held)
            capture_set.add(self._database, calls, dropped + unread, most_bytes=self._model_bytes)
        except BaseException:
            self._give_back(held, dropped)
            raise

    def _read(self, held: deque[Taken]) -> tuple[list[NewCall], Counter[str]]:
        calls, unread = [], Counter[str]()
        for taken in held:
            try:
                calls.append(_new_call(taken, most_bytes=self._body_bytes))
            except Exception:  # noqa: BLE001 - one call that is a riddle must not keep all others from the store
                _log.exception("the call %s could not be captured", taken.request_id)
                unread[taken.capturing.model_id] += 1
        return calls, unread

    def _give_back(self, held: deque[Taken], dropped: Counter[str]) -> None:
        with self._lock:
            self._dropped += dropped
            # The newest give way, here as in `take`: what came meanwhile is newer.
            newer, self._held, self._bytes = self._held, deque(), 0
            for taken in (*held, *newer):
                self._hold(taken)

    def _hold(self, taken: Taken) -> None:
        size = taken.size
        if self._bytes + size > self._most_bytes:
            self._dropped[taken.capturing.model_id] += 1
        else:
            self._held.append(taken)
            self._bytes += size


def _new_call(taken: Taken, *, most_bytes: int) -> NewCall:
    route, content = content_of(taken, most_bytes=most_bytes)
    capturing = taken.capturing
    return NewCall(
        model_id=capturing.model_id,
        key_id=capturing.key_id,
        days=capturing.days,
        at=taken.at,
        version=capturing.version,
        account_id=taken.account_id,
        request_id=taken.request_id,
        route=route,
        content=content,
    )
