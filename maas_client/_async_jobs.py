"""Jobs: long work that the server does by itself, and that can be followed, awaited and cancelled."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, cast

from maas_client import _job_ends
from maas_client._async_lanes import pause
from maas_client._async_listing import AsyncListing
from maas_client._calls import Budget, checked_timeout
from maas_client._events import EventReader
from maas_client._job_bars import JobBars
from maas_client._operations import jobs
from maas_client._operations._operation import DEFAULT_TIMEOUT
from maas_client._progress import check_progress
from maas_client.errors import (
    ConnectionFailedError,
    DeadlineError,
    InvalidReplyError,
    ServerError,
    StatusError,
)
from maas_client.types import JobReply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from maas_client._async_listing import AsyncSend
    from maas_client._operations._operation import Operation
    from maas_client._progress import Progress
    from maas_client.types import JobFault, JobLine, JobProgress, JobState

Done = TypeVar("Done")
# How often a job is asked for where its events cannot be had, and how long until those are tried again.
_POLL_SECONDS = 1.0
_POLLS = 10
# For how long a server may be away while somebody waits, as while it is started anew.
_PATIENCE_SECONDS = 300.0
# The server says something every 15 s.
_SILENCE_SECONDS = 45.0


# What may be over in a moment.
_PASSING = (ConnectionFailedError, DeadlineError, InvalidReplyError, ServerError)
# A socket's timer may go off a little early.
_SLACK_SECONDS = 0.05


class AsyncStream(Protocol):
    """Makes a call whose answer is a stream."""

    def __call__(
        self, operation: Operation[None], *, timeout: Budget, silence: float
    ) -> AsyncGenerator[bytes]:
        """Make a call once and yield the body of its answer as it comes."""


class AsyncJob(Generic[Done]):
    """One job, as far as it is known; `refresh`, `wait` and `events` bring it up to date.

    Its states are `queued`, `running`, `succeeded`, `failed`, `cancelled` and `interrupted`; one that this
    SDK does not know counts as not ended.
    """

    def __init__(
        self,
        send: AsyncSend,
        stream: AsyncStream,
        known: JobReply,
        *,
        finish: Callable[[object], object] | None = None,
    ) -> None:
        self._send = send
        self._stream = stream
        self._known = known
        self._finish = finish

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, {self.kind!r}: {_job_ends.described(self._known)})"

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_job(self._known)

    @property
    def id(self) -> str:
        """Its id, with which `client.jobs.get` finds it again, from another program too."""
        return self._known.id

    @property
    def kind(self) -> str:
        """What is done, such as `evaluate`."""
        return self._known.kind

    @property
    def state(self) -> str:
        """Its state when it was last heard of."""
        return self._known.state

    @property
    def progress(self) -> JobProgress:
        """How far it has come: `done` of `total`, in which `unit`, and the `remaining_seconds`."""
        return self._known.progress

    @property
    def attempts(self) -> int:
        """How often it was begun; more than once where a server died under it."""
        return self._known.attempts

    @property
    def error(self) -> JobFault | None:
        """Why it has no result, as code and message; None where it has one or has not ended."""
        return self._known.error

    @property
    def reply(self) -> JobReply:
        """Everything that is known of it."""
        return self._known

    @property
    def result(self) -> Done:
        """What it made.

        Raises:
            JobError: It ended without a result; the subclass tells how, and the message is its own.
            ArgumentError: It has not ended, as far as is known: `wait()` for it.
        """
        result = _job_ends.result_of(self._known)
        # What only the program that made the job knows, such as its inputs.
        return cast("Done", result if self._finish is None else self._finish(result))

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, with or without a result."""
        return _job_ends.has_ended(self._known)

    async def refresh(self) -> Self:
        """Ask for it again."""
        self._known = await self._send(jobs.get(self.id))
        return self

    async def wait(self, timeout: float | None = None, *, progress: Progress = False) -> Done:
        """Wait for its end and return its result.

        Args:
            timeout: Seconds; None for as long as it takes. The job goes on after them.
            progress: True for a bar, with the extra `progress`; or a function of the units done and their
                total. A job may have several phases, which count anew in units of their own.

        Raises:
            JobFailedError, JobCancelledError, JobInterruptedError: It ended without a result; code and
                message are the job's own.
            DeadlineError: It has not ended in that time.
        """
        check_progress(progress)
        with JobBars(progress, self.kind, self.progress) as bars:
            async for known in self.events(timeout=timeout):
                bars.show(known.progress, told=_job_ends.told(known))
        return self.result

    async def events(self, *, timeout: float | None = None) -> AsyncIterator[JobReply]:
        """Follow it: what it is now, and then each change until it has ended.

        Changes come as server-sent events. Where those cannot be had, because too many are followed or
        something between here and the server holds them up, it is asked for every second instead. A server
        that is away for some minutes, as while it is started anew, is waited for.

        Args:
            timeout: Seconds; None for as long as it takes.

        Raises:
            DeadlineError: It has not ended in that time.
            StatusError: It is gone, or not yours.
        """
        budget = Budget(checked_timeout(timeout), float("inf"))
        _, ends_at = budget.start(None)
        yield self._known
        heard = monotonic()
        while not self.has_ended:
            try:
                async for known in self._changes(budget):
                    heard = monotonic()
                    yield known
            except _PASSING as error:
                late = isinstance(error, DeadlineError) and monotonic() >= ends_at - _SLACK_SECONDS
                if late:
                    raise self._too_late(timeout) from error
                if monotonic() - heard > _PATIENCE_SECONDS:
                    raise
            if not self.has_ended:
                await self._pause(_POLL_SECONDS, ends_at, timeout)

    async def cancel(self) -> Self:
        """Ask it to stop; one that runs stops at its next step, and one that has ended stays as it is."""
        self._known = await self._send(jobs.cancel(self.id))
        return self

    async def delete(self) -> None:
        """Erase it, its log and its result, once it has ended.

        Raises:
            ConflictError: It has not ended; cancel it first.
        """
        await self._send(jobs.delete(self.id))

    def log(self, *, page_size: int | None = None) -> AsyncListing[JobLine]:
        """List the lines of its log, oldest first."""
        return AsyncListing(self._send, lambda cursor: jobs.log_page(self.id, limit=page_size, cursor=cursor))

    async def _changes(self, budget: Budget) -> AsyncIterator[JobReply]:
        """Yield changes from the stream of events, else from asking for a while."""
        try:
            async for known in self._streamed(budget):
                yield known
        except (StatusError, InvalidReplyError):
            # Refused, or no stream: whether the job itself can be had, the next call tells.
            async for known in self._polled(budget):
                yield known

    async def _streamed(self, budget: Budget) -> AsyncIterator[JobReply]:
        reader = EventReader()
        operation = jobs.events(self.id, after=self._known.revision)
        async for chunk in self._stream(operation, timeout=budget, silence=_SILENCE_SECONDS):
            for event in _events(reader, chunk):
                if self._learn(event):
                    yield self._known

    async def _polled(self, budget: Budget) -> AsyncIterator[JobReply]:
        for _ in range(_POLLS):
            known = await self._send(jobs.get(self.id), timeout=_at_most_until(budget.ends_at))
            if known.revision != self._known.revision:
                self._known = known
                yield known
            if self.has_ended:
                return
            await self._pause(_POLL_SECONDS, budget.ends_at, budget.timeout)

    def _learn(self, data: str) -> bool:
        try:
            known = JobReply.model_validate_json(data)
        except ValueError as error:
            raise InvalidReplyError(f"an event of the job {self.id} is no job: {error}") from None
        is_new = known.revision != self._known.revision
        self._known = known
        return is_new

    async def _pause(self, seconds: float, ends_at: float | None, timeout: object) -> None:
        if ends_at is not None and monotonic() + seconds >= ends_at:
            raise self._too_late(timeout)
        await pause(seconds)

    def _too_late(self, timeout: object) -> DeadlineError:
        told = f"the job {self.id} has not ended within {timeout} s, it is {_job_ends.described(self._known)}"
        return DeadlineError(f"{told}; it goes on: wait() for it again, or cancel() it")


class AsyncJobsResource:
    """Your jobs."""

    def __init__(self, send: AsyncSend, stream: AsyncStream) -> None:
        self._send = send
        self._stream = stream

    def list(
        self, *, state: JobState | None = None, kind: str | None = None, page_size: int | None = None
    ) -> AsyncListing[JobReply]:
        """List your jobs, newest first.

        Args:
            state: Only jobs in this state, such as `running`.
            kind: Only jobs of this kind, such as `evaluate`.
            page_size: How many to fetch at a time, 1 to 1000.
        """
        return AsyncListing(
            self._send,
            lambda cursor: jobs.list_page(state=state, kind=kind, limit=page_size, cursor=cursor),
        )

    async def get(self, job_id: str) -> AsyncJob[Any]:
        """Return a job by its id, from whatever program it was created."""
        return AsyncJob(self._send, self._stream, await self._send(jobs.get(job_id)))

    async def cancel(self, job_id: str) -> AsyncJob[Any]:
        """Ask a job to stop; one that runs stops at its next step."""
        return AsyncJob(self._send, self._stream, await self._send(jobs.cancel(job_id)))

    async def delete(self, job_id: str) -> None:
        """Erase a job that has ended, with its log and its result."""
        await self._send(jobs.delete(job_id))

    def log(self, job_id: str, *, page_size: int | None = None) -> AsyncListing[JobLine]:
        """List the lines of a job's log, oldest first."""
        return AsyncListing(self._send, lambda cursor: jobs.log_page(job_id, limit=page_size, cursor=cursor))


def _at_most_until(ends_at: float | None) -> float:
    left = DEFAULT_TIMEOUT if ends_at is None else min(DEFAULT_TIMEOUT, ends_at - monotonic())
    return max(left, _SLACK_SECONDS)


def _events(reader: EventReader, chunk: bytes) -> list[str]:
    """Return the data of the events that a chunk completes."""
    try:
        return [event.data for event in reader.feed(chunk) if event.type == "job"]
    except ValueError as error:
        raise InvalidReplyError(str(error)) from None
