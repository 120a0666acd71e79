"""Several calls at once for the asynchronous face: a bounded number of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from types import TracebackType
    from typing import Any

Item = TypeVar("Item")
Done = TypeVar("Done")
AsyncSource: TypeAlias = Iterable[Item] | AsyncIterable[Item]


class AsyncLanes(Generic[Done]):
    """Calls under way, as many as were started; what has not ended at the end of the block is cancelled."""

    def __init__(self, _count: int) -> None:
        self._under_way: set[asyncio.Task[Done]] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def start(self, act: Callable[[], Coroutine[Any, Any, Done]]) -> None:
        """Start a call."""
        self._under_way.add(asyncio.create_task(act()))

    async def first_done(self) -> Done:
        """Wait for the call that ends first and return its result."""
        done, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        first = done.pop()
        self._under_way.discard(first)
        return first.result()


async def items_of(source: AsyncSource[Item]) -> AsyncIterator[Item]:
    """Iterate over what was given, as far as it is read."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


def is_source(value: object) -> bool:
    """Tell whether items can be taken from a value one by one."""
    return isinstance(value, Iterable | AsyncIterable)


async def pause(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)
