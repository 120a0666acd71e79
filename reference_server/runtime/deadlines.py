"""Ends runs at their deadlines: one thread per process watches them all."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminable(Protocol):
    """What ends when its flag is set, as ONNX Runtime's `RunOptions` do."""

    terminate: bool


class Watchdog:
    """Sets `terminate` on what is still running at its deadline.

    As many runs are under way as there are lanes, so the few that are watched can be searched whole; a run
    that ends in time costs no wake-up of the thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[int, tuple[float, Terminable]] = {}
        self._next_look = math.inf
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, run: Terminable, deadline: float | None) -> Iterator[None]:
        """Watch a run while the block lasts.

        Args:
            run: Whose `terminate` to set.
            deadline: A `time.monotonic()` value; None watches nothing.
        """
        if deadline is None:
            yield
            return
        with self._changed:
            self._running[id(run)] = (deadline, run)
            self._ensure_thread()
            if deadline < self._next_look:
                self._next_look = deadline
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._running.pop(id(run), None)

    def _ensure_thread(self) -> None:
        # A fork takes the object along but not the thread.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._serve, name="run-deadlines", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                self._end_overdue(now)
                self._next_look = min((deadline for deadline, _ in self._running.values()), default=math.inf)
                self._changed.wait(min(self._next_look - now, threading.TIMEOUT_MAX))

    def _end_overdue(self, now: float) -> None:
        for key, (deadline, run) in list(self._running.items()):
            if deadline <= now:
                run.terminate = True
                del self._running[key]


WATCHDOG = Watchdog()
