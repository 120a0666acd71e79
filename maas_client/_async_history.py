"""Following a model: what happens to it, as it happens."""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING

from maas_client._async_listing import AsyncListing
from maas_client._async_transport import pause
from maas_client._calls import NotGiven, checked_seconds, checked_timeout
from maas_client._operations import events
from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from maas_client._async_listing import AsyncSend
    from maas_client.types import ModelEvent


def listing(
    send: AsyncSend, model: str, *, kind: str | None, after: int | None, page_size: int | None
) -> AsyncListing[ModelEvent]:
    """List what happened to a model, newest first."""
    return AsyncListing(
        send,
        lambda cursor: events.history_page(model, kind=kind, after=after, limit=page_size, cursor=cursor),
    )


def watch(
    send: AsyncSend, model: str, *, after: int | None, interval: float, timeout: float | None
) -> AsyncIterator[ModelEvent]:
    """Follow a model; `AsyncVersionsResource.watch` describes it.

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


async def _follow(
    send: AsyncSend, model: str, after: int | None, interval: float, ends_at: float
) -> AsyncIterator[ModelEvent]:
    seen = await _newest(send, model) if after is None else after
    while True:
        for event in await _since(send, model, seen):
            yield event
            seen = event.seq
        left = ends_at - monotonic()
        if left <= 0:
            return
        await pause(min(interval, left))


async def _newest(send: AsyncSend, model: str) -> int:
    """Return the number of the last event, 0 where there is none."""
    page = await send(events.history_page(model, limit=1))
    return page.data[0].seq if page.data else 0


async def _since(send: AsyncSend, model: str, seen: int) -> list[ModelEvent]:
    """Return the events after one, the oldest first."""
    found = [event async for event in listing(send, model, kind=None, after=seen, page_size=None)]
    return sorted(found, key=lambda event: event.seq)
