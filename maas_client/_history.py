# Made from _async_history.py by tools/make_sync_face.py: change that file, then run `make format`.
"""Following a model: what happens to it, as it happens."""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING

from maas_client._calls import NotGiven, checked_seconds, checked_timeout
from maas_client._listing import Listing
from maas_client._operations import events
from maas_client._transport import pause
from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client._listing import Send
    from maas_client.types import ModelEvent


def listing(
    send: Send, model: str, *, kind: str | None, after: int | None, page_size: int | None
) -> Listing[ModelEvent]:
    """List what happened to a model, newest first."""
    return Listing(
        send,
        lambda cursor: events.history_page(model, kind=kind, after=after, limit=page_size, cursor=cursor),
    )


def watch(
    send: Send, model: str, *, after: int | None, interval: float, timeout: float | None
) -> Iterator[ModelEvent]:
    """Follow a model; `VersionsResource.watch` describes it.

    Raises:
        ArgumentError: `interval` or `timeout` are no seconds above 0, or there can be no such event.
    """
    seconds = checked_timeout(timeout)
    if isinstance(seconds, NotGiven):
        raise ArgumentError("timeout is left out; pass seconds above 0, or None to follow without end")
    checked_seconds(interval, "interval")
    if after is not None:
        events.history_page(model, after=after)
    ends_at = math.inf if seconds is None else monotonic() + seconds
    return _follow(send, model, after, interval, ends_at)


def _follow(
    send: Send, model: str, after: int | None, interval: float, ends_at: float
) -> Iterator[ModelEvent]:
    seen = _newest(send, model) if after is None else after
    while True:
        for event in _since(send, model, seen):
            yield event
            seen = event.seq
        left = ends_at - monotonic()
        if left <= 0:
            return
        pause(min(interval, left))


def _newest(send: Send, model: str) -> int:
    """Return the number of the last event, 0 where there is none."""
    page = send(events.history_page(model, limit=1))
    return page.data[0].seq if page.data else 0


def _since(send: Send, model: str, seen: int) -> list[ModelEvent]:
    """Return the events after one, the oldest first."""
    found = list(listing(send, model, kind=None, after=seen, page_size=None))
    return sorted(found, key=lambda event: event.seq)
