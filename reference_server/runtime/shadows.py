"""Repeats calls on shadow versions, with what the callers leave: none waits for it and none can fail by it.

One thread of each worker takes copies from a short queue when a lane is free, and rests after each in
proportion to how busy the process is; what finds the queue full is dropped and counted. What a copy held is
let go of when it has been compared.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reference_server.errors import ServiceError
from reference_server.runtime.agreement import compare
from reference_server.runtime.traffic_sums import PairSums

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.runtime.agreement import Agreement
    from reference_server.runtime.pool import LoadedModel
    from reference_server.runtime.traffic_sums import PairKey, TrafficSums
    from reference_server.runtime.work import ComparableWork

_log = logging.getLogger(__name__)

_MOST_COPIES = 32
_MOST_BYTES = 16 * 2**20
# What is larger takes milliseconds to decode, in which the callers' thread waits for the interpreter.
_LARGEST_BYTES = 2**20
_RUN_SECONDS = 10.0
# An answer is sent before its copy begins: waking the thread at once would take the interpreter from it.
_LOOK_SECONDS = 0.02
_IDLE_SECONDS = 10.0
# The fraction of a core that copies may take when nothing else runs, and under full load.
_MOST_SHARE, _LEAST_SHARE = 0.25, 0.02
_GRAIN = 1e-6


@dataclass(frozen=True, slots=True)
class Copy:
    """A call that was answered, to be made again.

    Args:
        key: What it is counted by: the pair of versions.
        shadow: Finds the shadow in memory; None where it is not there now.
        model: What served the call.
        again: Decodes the call for a model.
        result: What `model` returned; None when it failed.
        size: The bytes of the call's body.
    """

    key: PairKey
    shadow: Callable[[], LoadedModel | None]
    model: LoadedModel
    again: Callable[[LoadedModel], ComparableWork]
    result: Any
    size: int


class Shadows:
    """The queue of copies and the thread that runs them, which is there only while copies come.

    Args:
        sums: Where comparisons are counted.
        may_run: Whether the lanes have nothing better to do.
    """

    def __init__(self, sums: TrafficSums, *, may_run: Callable[[], bool]) -> None:
        self._sums = sums
        self._may_run = may_run
        self._lock = threading.Lock()
        self._queue: deque[Copy] = deque()
        self._bytes = 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._runs = 0

    def offer(self, copy: Copy) -> None:
        """Queue a copy, or drop it where it is large or the queue is full; never waits."""
        with self._lock:
            fits = len(self._queue) < _MOST_COPIES and self._bytes + copy.size <= _MOST_BYTES
            if fits and copy.size <= _LARGEST_BYTES and not self._stop.is_set():
                self._queue.append(copy)
                self._bytes += copy.size
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="shadows", daemon=True)
                    self._thread.start()
                return
        self._drop(copy)

    def close(self) -> None:
        """Drop what waits and end the thread after the run under way."""
        with self._lock:
            self._stop.set()
            self._queue.clear()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _serve(self) -> None:
        pace, idle = _Pace(), 0.0
        while not self._stop.is_set():
            copy = self._next()
            if copy is not None:
                idle = 0.0
                pace.begin()
                self._treat(copy)
                # While it rests the thread must not keep the caller's input, or a model.
                copy = None
                self._stop.wait(pace.rest())
            elif idle < _IDLE_SECONDS:
                idle += _LOOK_SECONDS
                self._stop.wait(_LOOK_SECONDS)
            elif self._ended():
                return

    def _next(self) -> Copy | None:
        with self._lock:
            if not self._queue:
                return None
            copy = self._queue.popleft()
            self._bytes -= copy.size
            return copy

    def _ended(self) -> bool:
        with self._lock:
            if self._queue:
                return False
            self._thread = None
            return True

    def _treat(self, copy: Copy) -> None:
        try:
            shadow = copy.shadow() if self._may_run() else None
            if shadow is None:
                self._drop(copy)
            else:
                self._compare(copy, shadow)
        except Exception:  # noqa: BLE001 - the thread must outlive whatever a shadow does
            _log.exception("a shadow's answer could not be compared")

    def _drop(self, copy: Copy) -> None:
        def drop(sums: PairSums) -> None:
            sums.dropped += 1

        self._sums.update(copy.key, drop)

    def _compare(self, copy: Copy, shadow: LoadedModel) -> None:
        """Run a copy on the shadow, and again on what served it, for a time to compare with.

        What the caller's own run took says little: it may have shared a run, or met others in the caches.
        Which goes first changes, because the second finds the input in them.
        """
        self._runs += 1
        shadow_first = self._runs % 2 == 0 or copy.result is None
        before = None if shadow_first else _Run(copy, copy.model)
        theirs = _Run(copy, shadow)
        ours = before or (None if copy.result is None else _Run(copy, copy.model))
        agreement = None if ours is None else _agreement(copy, ours, theirs)
        seen = _counted(copy, theirs, ours, agreement)
        self._sums.update(copy.key, lambda sums: sums.add(seen))


class _Run:
    """One run of a copy: how long the model computed, what came out, or that it failed."""

    def __init__(self, copy: Copy, model: LoadedModel) -> None:
        self.failed = False
        self.seconds = 0.0
        self.result: Any = None
        self.work: ComparableWork | None = None
        try:
            self.work = copy.again(model)
            started = time.perf_counter()
            self.result = self.work.run(deadline=time.monotonic() + _RUN_SECONDS)
            self.seconds = time.perf_counter() - started
        except ServiceError:
            self.failed = True
        except Exception:  # noqa: BLE001 - counted like any other failure, and seen by whoever runs the server
            _log.exception("a shadow failed")
            self.failed = True


def _agreement(copy: Copy, ours: _Run, theirs: _Run) -> Agreement | None:
    """Compare what the caller got with the shadow's answer; one that cannot be written is a failure too."""
    if ours.work is None or theirs.work is None or theirs.failed:
        return None
    try:
        b = theirs.work.predictions(theirs.result)
    except ServiceError:
        theirs.failed = True
        return None
    return compare(ours.work.predictions(copy.result), b)


def _counted(copy: Copy, theirs: _Run, ours: _Run | None, agreement: Agreement | None) -> PairSums:
    sums = PairSums(calls=1, errors_a=int(copy.result is None), errors_b=int(theirs.failed))
    if agreement is not None:
        sums.measure = agreement.measure
        sums.rows += len(agreement.agreed)
        sums.agreed += sum(agreement.agreed)
        for difference in agreement.differences:
            sums.difference_sum += difference
            sums.difference_squares += difference * difference
            sums.difference_max = max(sums.difference_max, difference)
    if ours is not None and not ours.failed and not theirs.failed:
        sums.add_times(ours.seconds, theirs.seconds)
    return sums


class _Pace:
    """How long the thread rests after a copy: by how busy the process is, and how the copy fared."""

    def __init__(self) -> None:
        self._process, self._own, self._wall = self._now()
        self._began = self._process, self._own, self._wall

    def begin(self) -> None:
        """Take note that a copy begins."""
        self._began = self._now()

    def rest(self) -> float:
        """Return the seconds until the next copy, now that one has ended."""
        process, own, wall = self._now()
        took, worked = wall - self._began[2], own - self._began[1]
        others = (process - self._process - (own - self._own)) / max(wall - self._wall, _GRAIN)
        # A thread that is awake and gets nothing done waits for a core, or for the interpreter: the callers'.
        share = _MOST_SHARE * (1 - others) * worked / max(took, _GRAIN)
        self._process, self._own, self._wall = process, own, wall
        return took * (1 / min(_MOST_SHARE, max(_LEAST_SHARE, share)) - 1)

    @staticmethod
    def _now() -> tuple[float, float, float]:
        return time.process_time(), time.thread_time(), time.monotonic()
