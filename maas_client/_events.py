"""Server-sent events, read as they come (WHATWG HTML, section 9.2.6, "Interpreting an event stream")."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT_STREAM = "text/event-stream"
# Of one event; whoever sends more is no service of ours.
MOST_CHARACTERS = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Args:
        type: What it is; `message` where the stream does not say.
        data: Its lines, joined.
        id: The last id that was sent, with this event or before; empty for none.
    """

    type: str
    data: str
    id: str


class EventReader:
    """Turns the bytes of a stream into events, wherever they are cut.

    Attributes:
        retry_seconds: How long to wait before connecting again, as the stream said; None where it did not.
        last_id: The last id that was sent.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_seconds: float | None = None
        # A broken sequence becomes U+FFFD, and a byte order mark at the beginning is no part of it.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line: list[str] = []
        self._after_return = False
        self._type = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Take the next bytes and yield the events that they complete.

        Raises:
            ValueError: An event is larger than `MOST_CHARACTERS`.
        """
        if not (text := self._decoder.decode(chunk)):
            return
        if self._after_return:
            text = text.removeprefix("\n")
        self._after_return = text.endswith("\r")
        first, *others = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._line.append(first)
        self._count(len(first))
        if not others:
            return
        lines = ["".join(self._line), *others[:-1]]
        self._line, self._size = [others[-1]], self._size - sum(map(len, self._line))
        self._count(len(others[-1]))
        for line in lines:
            if (event := self._take(line)) is not None:
                yield event

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._type = value
        elif name == "data":
            self._count(len(value) + 1)
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_seconds = int(value[:9]) / 1000
        return None

    def _dispatch(self) -> Event | None:
        kind, data = self._type or "message", self._data
        self._size -= sum(len(each) + 1 for each in data)
        self._type, self._data = "", []
        return Event(kind, "\n".join(data), self.last_id) if data else None

    def _count(self, more: int) -> None:
        self._size += more
        if self._size > MOST_CHARACTERS:
            raise ValueError(f"an event has more than {MOST_CHARACTERS:,} characters")
