"""Large work: any number of instances through one model, in bounded memory, restartable."""

from __future__ import annotations

import operator
from collections import deque
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from maas_client._async_lanes import AsyncLanes, is_source, items_of
from maas_client._batching import Failed, Pace, Row
from maas_client._calls import checked_count
from maas_client._checkpoint import Checkpoint
from maas_client._operations import _names, predict
from maas_client._progress import progress_bar
from maas_client.errors import ArgumentError, MaasError
from maas_client.predictions import Outcome, Predictions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
    from os import PathLike

    from maas_client._async_lanes import AsyncSource
    from maas_client._async_listing import AsyncSend
    from maas_client._calls import Timeout
    from maas_client._progress import Progress

MOST_LANES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncBulkWork:
    """What is asked for: checked when it is made, so that a mistake is told where it was made.

    Args:
        model: The model's name.
        instances: The inputs of each instance by name.
        version: A number or an alias; `default` when left out.
        parameters: Options of the task.
        concurrency: The most calls at once, 1 to 256.
        ordered: Whether outcomes come in the order of the instances rather than as they are completed.
        batch_size: Rows in each call; None to follow what calls take.
        progress: Whether and how progress is shown.
        checkpoint: A file to go on from.
        timeout: Seconds in total for each call.

    Raises:
        ArgumentError: An argument cannot be.
    """

    model: str
    instances: AsyncSource[Mapping[str, object]]
    version: int | str | None
    parameters: Mapping[str, object] | None
    concurrency: int
    ordered: bool
    batch_size: int | None
    progress: Progress
    checkpoint: str | PathLike[str] | None
    timeout: Timeout

    def __post_init__(self) -> None:
        from collections.abc import Mapping

        _names.model(self.model)
        if self.version is not None:
            _names.selector(self.version)
        if not is_source(self.instances) or isinstance(self.instances, str | bytes | Mapping):
            raise ArgumentError(
                "instances must be many, one after the other, such as [{'text': '…'}, …], and is "
                f"{self.instances!r:.100}"
            )
        checked_count(self.concurrency, "concurrency", most=MOST_LANES)
        if self.batch_size is not None:
            checked_count(self.batch_size, "batch_size")

    async def outcomes(self, send: AsyncSend) -> AsyncIterator[Outcome]:
        """Do the work.

        Raises:
            MaasError: What would meet every further instance too; the checkpoint has what was done.
        """
        with ExitStack() as opened:
            checkpoint = opened.enter_context(self._open()) if self.checkpoint is not None else None
            total = operator.length_hint(self.instances) or None
            bar = opened.enter_context(
                progress_bar(self.progress, total=total, unit=" rows", label=self.model)
            )
            # Closed with this generator, and not only when it is collected as garbage.
            async with aclosing(AsyncBulkRun(self, send, checkpoint).outcomes()) as outcomes:
                async for outcome in outcomes:
                    bar.advance(1)
                    yield outcome

    def _open(self) -> Checkpoint:
        work = {"model": self.model, "version": self.version, "parameters": dict(self.parameters or {})}
        return Checkpoint(self.checkpoint or "", work)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A call that ended, well or not."""

    batch: Sequence[Row]
    result: Predictions | MaasError
    seconds: float = field(compare=False)


class AsyncBulkRun:
    """The work under way: what waits, what is sent, what is to be handed out."""

    def __init__(self, work: AsyncBulkWork, send: AsyncSend, checkpoint: Checkpoint | None) -> None:
        self._work = work
        self._send = send
        self._checkpoint = checkpoint
        self._pace = Pace(work.concurrency, work.batch_size)
        # One version for all: that of the first answer, whatever an alias does meanwhile.
        self._version = checkpoint.version if checkpoint and checkpoint.version else work.version
        self._source = aiter(items_of(work.instances))
        self._exhausted = False
        self._read = self._handed_out = 0
        self._pending: deque[Row] = deque()
        self._again: deque[Sequence[Row]] = deque()
        self._ready: dict[int, Outcome] = {}
        self._fatal: MaasError | None = None

    async def outcomes(self) -> AsyncGenerator[Outcome]:
        """Hand out what came of each instance."""
        async with AsyncLanes[_Ended](self._work.concurrency) as lanes:
            while True:
                await self._fill(lanes)
                while (outcome := self._next_ready()) is not None:
                    self._handed_out += 1
                    yield outcome
                if lanes:
                    self._settle(await lanes.first_done())
                elif self._fatal is not None:
                    raise self._told(self._fatal)
                elif self._exhausted and not self._pending and not self._again:
                    return

    async def _fill(self, lanes: AsyncLanes[_Ended]) -> None:
        while self._fatal is None and len(lanes) < self._pace.lanes:
            if not (batch := await self._next_batch(idle=not lanes)):
                return
            lanes.start(partial(self._call, batch))

    async def _next_batch(self, *, idle: bool) -> Sequence[Row]:
        if self._again:
            return self._again.popleft()
        while (
            len(self._pending) < self._pace.rows
            and not self._exhausted
            and self._read - self._handed_out < self._pace.window
        ):
            await self._read_one()
        # Rather wait for more rows than send few, as long as another call will wake this up.
        if len(self._pending) >= self._pace.rows or (self._pending and (self._exhausted or idle)):
            return self._pace.take(self._pending)
        return ()

    async def _read_one(self) -> None:
        try:
            instance = await anext(self._source)
        except StopAsyncIteration:
            self._exhausted = True
            return
        index = self._read
        self._read += 1
        try:
            row = Row(index, predict.instance_json(instance, what=f"instances[{index}]"))
        except ArgumentError as error:
            self._ready[index] = Outcome(index, error=error)
            return
        if self._checkpoint is not None and (known := self._checkpoint.restored(row)) is not None:
            self._ready[index] = Outcome(index, known)
        else:
            self._pending.append(row)

    def _next_ready(self) -> Outcome | None:
        if self._work.ordered:
            return self._ready.pop(self._handed_out, None)
        return self._ready.pop(next(iter(self._ready))) if self._ready else None

    async def _call(self, batch: Sequence[Row]) -> _Ended:
        operation = predict.predict_rows(
            self._work.model,
            [row.body for row in batch],
            version=self._version,
            parameters=self._work.parameters,
        )
        started = perf_counter()
        result: Predictions | MaasError
        try:
            result = await self._send(operation, timeout=self._work.timeout)
        except MaasError as error:
            result = error
        return _Ended(batch, result, perf_counter() - started)

    def _settle(self, ended: _Ended) -> None:
        if isinstance(ended.result, Predictions):
            self._version = ended.result.version
            self._pace.succeeded(len(ended.batch), ended.seconds)
            outcomes = [Outcome(row.index, each) for row, each in zip(ended.batch, ended.result, strict=True)]
            self._keep(ended.batch, outcomes)
            return
        try:
            verdict = self._pace.judge(ended.batch, ended.result)
        except MaasError as error:
            self._fatal = self._fatal or error
            return
        # In front of what waits: rows of an earlier place are waited for.
        self._again.extendleft(reversed(verdict.again))
        self._keep_failed(verdict.failed)

    def _keep_failed(self, failed: Sequence[Failed]) -> None:
        self._keep(
            [each.row for each in failed], [Outcome(each.row.index, error=each.error) for each in failed]
        )

    def _keep(self, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
        if self._checkpoint is not None and rows:
            self._checkpoint.add(rows, outcomes)
        self._ready.update((outcome.index, outcome) for outcome in outcomes)

    def _told(self, error: MaasError) -> MaasError:
        note = f"predict_many stopped after {self._handed_out:,} instances had been handed out"
        if self._checkpoint is not None:
            note += (
                f"; {self._checkpoint.done:,} are done and kept in {str(self._checkpoint.path)!r}: the same "
                "call goes on from there"
            )
        error.add_note(note)
        return error
