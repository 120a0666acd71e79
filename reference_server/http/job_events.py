"""Following jobs by server-sent events (WHATWG HTML, section 9.2), a bounded number of streams at a time.

Behind the front one task looks for all streams of the loop, and no stream holds a thread. Under another WSGI
server each stream is a generator of its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from maas_client.types import ENDED_JOB_STATES
from reference_server.errors import NotFound, Unavailable
from reference_server.registry import jobs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
    from concurrent.futures import Executor

    from maas_client.types import JobReply
    from reference_server.app import Services

Result = TypeVar("Result")
EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID = "last-event-id"
# When the client should come again after the stream broke.
_RETRY_MS = 2000
_LOOK_SECONDS = 0.5
# Proxies cut what is silent for a minute, some sooner; the standard suggests a comment every 15 s or so.
_SILENCE_SECONDS = 15.0
_BUSY_SECONDS = 5.0
# Then the client comes again, with a credential that must still hold.
_LONGEST_SECONDS = 600.0
_ALIVE = b": alive\n\n"
_MOST_DIGITS = 10


class Streams:
    """Counts the streams that are open.

    Args:
        most: How many there may be.
        most_of_account: How many of one account.

    Attributes:
        open: How many there are of each account that has any.
    """

    def __init__(self, most: int, most_of_account: int) -> None:
        self._most, self._most_of_account = most, most_of_account
        self.open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, account_id: str) -> None:
        """Count one more.

        Raises:
            Unavailable: With code `too_many_streams`.
        """
        with self._lock:
            if self.open.total() >= self._most or self.open[account_id] >= self._most_of_account:
                raise Unavailable(
                    "too many streams of events are open; ask for the job itself from time to time: "
                    "GET /v1/jobs/{job}",
                    code="too_many_streams",
                    retry_after=_BUSY_SECONDS,
                    should_retry=False,
                )
            self.open[account_id] += 1

    def give_back(self, account_id: str) -> None:
        """Count one less."""
        with self._lock:
            self.open[account_id] -= 1
            if not self.open[account_id]:
                del self.open[account_id]


class JobStream:
    """The events of one job, for one client; as an iterator it waits for them itself.

    Args:
        services: Where to look, and when to end.
        account_id: Whose job it is.
        job_id: The job.
        found: What is known of it now.
        after: The revision that the client has seen; 0 for none.
        holds: Tells whether the client's credential still holds; asked with each look.

    Raises:
        Unavailable: There are too many streams already.
    """

    def __init__(
        self,
        services: Services,
        account_id: str,
        job_id: str,
        found: JobReply,
        *,
        after: int,
        holds: Callable[[], bool],
    ) -> None:
        self._services = services
        self._account_id = account_id
        self._holds = holds
        self.job_id = job_id
        self.ended = False
        # A client of before the store was restored may know of more than there is.
        self.seen = min(after, found.revision)
        self._first = b"retry: %d\n\n" % _RETRY_MS + self.piece(found)
        self._until = services.timer() + _LONGEST_SECONDS
        services.streams.take(account_id)
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield self._first
            yield from self._wait()
        finally:
            self.close()

    def _wait(self) -> Iterator[bytes]:
        quiet = 0.0
        while not self.ended:
            time.sleep(_LOOK_SECONDS)
            piece = self.look()
            quiet = 0.0 if piece else quiet + _LOOK_SECONDS
            if quiet >= _SILENCE_SECONDS:
                piece, quiet = _ALIVE, 0.0
            if piece:
                yield piece

    def first(self) -> bytes:
        """Return what a stream begins with."""
        return self._first

    def look(self) -> bytes:
        """Return the event of what has changed, or nothing; this asks the store."""
        if self._services.draining.is_set() or self._services.timer() >= self._until or not self.holds():
            self.ended = True
            return b""
        try:
            return self.piece(jobs.get(self._services.database, self._account_id, self.job_id))
        except NotFound:
            self.ended = True
            return b""

    def holds(self) -> bool:
        """Tell whether the client's credential still holds; this asks the store."""
        return self._holds()

    def piece(self, found: JobReply) -> bytes:
        """Return the event that tells of a job, or nothing if the client has seen it."""
        self.ended = found.state in ENDED_JOB_STATES
        if found.revision <= self.seen:
            return b""
        self.seen = found.revision
        return b"event: job\nid: %d\ndata: %b\n\n" % (found.revision, found.model_dump_json().encode())

    def close(self) -> None:
        """Make room for another."""
        if not self._closed:
            self._closed = True
            self._services.streams.give_back(self._account_id)


def last_seen(headers: Mapping[str, str]) -> int:
    """Return the revision that a client says it has seen; 0 where it says nothing that we ever sent."""
    given = headers.get(LAST_EVENT_ID, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) <= _MOST_DIGITS else 0


class Watch:
    """Looks for all streams of an event loop at once.

    Args:
        services: Where to look.
        threads: Where the store is asked.
    """

    def __init__(self, services: Services, threads: Executor) -> None:
        self._services = services
        self._threads = threads
        self._changed: dict[JobStream, asyncio.Event] = {}
        self._looking: asyncio.Task[None] | None = None

    async def follow(self, stream: JobStream) -> AsyncGenerator[bytes]:
        """Yield the pieces of a stream until its job has ended."""
        changed = self._changed[stream] = asyncio.Event()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield stream.first()
            while not stream.ended:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        await changed.wait()
                changed.clear()
                if not stream.ended:
                    yield await self._in_thread(stream.look) or _ALIVE
        finally:
            del self._changed[stream]

    def drop(self, stream: JobStream) -> None:
        """End a stream whose client is gone."""
        stream.ended = True
        if (changed := self._changed.get(stream)) is not None:
            changed.set()

    async def _look(self) -> None:
        try:
            while self._changed:
                await asyncio.sleep(_LOOK_SECONDS)
                await self._tell()
        finally:
            # Should it have failed, the next stream begins anew; those there look every 15 s by themselves.
            self._looking = None

    async def _tell(self) -> None:
        watched = dict(self._changed)
        ids = {stream.job_id for stream in watched}
        now = await self._in_thread(lambda: jobs.revisions(self._services.database, ids))
        shut_out = await self._in_thread(lambda: {stream for stream in watched if not stream.holds()})
        draining = self._services.draining.is_set()
        for stream, changed in watched.items():
            # A job that was deleted has no revision any more, and ends its stream.
            revision = now.get(stream.job_id)
            if draining or revision is None or revision > stream.seen or stream in shut_out:
                changed.set()

    async def _in_thread(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)
