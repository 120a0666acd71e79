"""Several calls at once for the synchronous face: a bounded pool of threads."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Item = TypeVar("Item")
Done = TypeVar("Done")
Source: TypeAlias = Iterable[Item]


class Lanes(Generic[Done]):
    """Calls under way, at most `count` of them; what has not ended at the end of the block is abandoned."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="maas-client")
        self._under_way: set[Future[Done]] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever interrupts the program does not want to wait for a server that may be stuck.
        leave = kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit)
        self._pool.shutdown(wait=not leave, cancel_futures=True)

    def start(self, act: Callable[[], Done]) -> None:
        """Start a call."""
        self._under_way.add(self._pool.submit(act))

    def first_done(self) -> Done:
        """Wait for the call that ends first and return its result."""
        done = wait(self._under_way, return_when=FIRST_COMPLETED).done.pop()
        self._under_way.discard(done)
        return done.result()


def items_of(source: Source[Item]) -> Iterator[Item]:
    """Iterate over what was given, as far as it is read."""
    yield from source


def is_source(value: object) -> bool:
    """Tell whether items can be taken from a value one by one."""
    return isinstance(value, Iterable)


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
