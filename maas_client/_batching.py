"""How the rows of large work are put into calls, and what a failed call means for its rows: no I/O.

The size of a batch follows what calls take: a call of some 250 ms spends little on being a call and is soon
repeated when it fails. The number of calls at once is halved when the server is full and grows by one with
each success, as a TCP window does (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance", 1989).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from maas_client.errors import (
    ConnectionFailedError,
    DeadlineError,
    GatewayTimeoutError,
    MaasError,
    RateLimitError,
    StatusError,
    TooLargeError,
    UnavailableError,
    UnprocessableError,
)

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

    from maas_client.types import ErrorDetail

TARGET_SECONDS = 0.25
FIRST_ROWS = 8
MOST_ROWS = 1000
MOST_BYTES = 4 * 2**20
# So many failures with no success between them are the server's, not the rows'.
MOST_STRIKES = 8

_ROW = re.compile(r"instances\[(\d+)\](?:\.(.*))?", re.DOTALL)
_BUSY = (RateLimitError, UnavailableError, ConnectionFailedError)
_INTERNAL_ERROR = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One instance: its place, from 0, and its JSON."""

    index: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """A row that will not be predicted, and why."""

    row: Row
    error: MaasError


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failed call means: the rows at fault, and what is to be sent again, in which parts."""

    failed: Sequence[Failed] = ()
    again: Sequence[Sequence[Row]] = ()


@dataclass(slots=True)
class Pace:
    """How many rows go into a call and how many calls run at once; it learns from each answer.

    Args:
        concurrency: The most calls at once.
        batch_size: Rows in each call; None to follow what calls take.
    """

    concurrency: int
    batch_size: int | None = None
    rows: int = field(init=False)
    most_rows: int = MOST_ROWS
    most_bytes: int = MOST_BYTES
    lanes: int = 1
    strikes: int = 0
    has_succeeded: bool = False

    def __post_init__(self) -> None:
        self.rows = self.batch_size or FIRST_ROWS

    @property
    def window(self) -> int:
        """How many rows may be read and not yet handed out."""
        return 2 * self.concurrency * self.rows

    def take(self, pending: deque[Row]) -> list[Row]:
        """Take the next batch off what waits: at least one row, and no more than the server takes."""
        batch, size = [pending.popleft()], 0
        size = len(batch[0].body)
        while pending and len(batch) < self.rows and size + len(pending[0].body) <= self.most_bytes:
            batch.append(pending.popleft())
            size += len(batch[-1].body) + 1
        return batch

    def succeeded(self, count: int, seconds: float) -> None:
        """Learn from a call that went well."""
        # The first answer tells the version that the others ask for; only then do they start together.
        self.lanes = min(self.concurrency, self.lanes + 1 if self.has_succeeded else self.concurrency)
        self.has_succeeded = True
        self.strikes = 0
        if self.batch_size is None and 2 * count > self.rows:
            ideal = count * TARGET_SECONDS / max(seconds, 1e-4)
            self.rows = round(min(max(ideal, self.rows / 2, 1), self.rows * 2, self.most_rows))

    def judge(self, batch: Sequence[Row], error: MaasError) -> Verdict:
        """Decide what becomes of the rows of a failed call.

        Raises:
            MaasError: The error itself, when it would meet the other rows too.
        """
        if faults := _faults_by_row(error, len(batch)):
            return _without_faulty(batch, error, faults)
        # What is known to be of no use before tomorrow, as a spent quota, is not sent again and again.
        if isinstance(error, _BUSY) and self.has_succeeded and error.should_retry is not False:
            self._strike(error)
            self.lanes = max(1, self.lanes // 2)
            return Verdict(again=[batch])
        if not _may_be_one_row(error):
            raise error
        self._shrink(batch, error)
        if len(batch) > 1:
            middle = len(batch) // 2
            return Verdict(again=[batch[:middle], batch[middle:]])
        if not isinstance(error, UnprocessableError | TooLargeError):
            self._strike(error)
        return Verdict(failed=[Failed(batch[0], error)])

    def _strike(self, error: MaasError) -> None:
        self.strikes += 1
        if self.strikes >= MOST_STRIKES:
            raise error

    def _shrink(self, batch: Sequence[Row], error: MaasError) -> None:
        half = max(1, len(batch) // 2)
        if isinstance(error, TooLargeError):
            self.most_bytes = max(1, sum(len(row.body) for row in batch) // 2)
        elif error.code == "too_many_instances":
            self.most_rows = min(self.most_rows, half)
            self.rows = min(self.rows, half)
        elif isinstance(error, DeadlineError | GatewayTimeoutError) and self.batch_size is None:
            self.rows = min(self.rows, half)


def _may_be_one_row(error: MaasError) -> bool:
    """Tell whether one bad or heavy row could be the reason, so that the others may do without it."""
    if isinstance(error, UnprocessableError):
        return not (error.param or "").startswith("parameters")
    if isinstance(error, DeadlineError | GatewayTimeoutError | TooLargeError):
        return True
    return isinstance(error, StatusError) and error.status in (400, _INTERNAL_ERROR)


def _faults_by_row(error: MaasError, count: int) -> dict[int, list[ErrorDetail]]:
    """Return the faults that name their row, by its place in the batch."""
    faults: dict[int, list[ErrorDetail]] = {}
    for fault in error.errors:
        if (named := _ROW.fullmatch(fault.param or "")) and int(named[1]) < count:
            faults.setdefault(int(named[1]), []).append(fault)
    return faults


def _without_faulty(batch: Sequence[Row], error: MaasError, faults: dict[int, list[ErrorDetail]]) -> Verdict:
    rest = [row for place, row in enumerate(batch) if place not in faults]
    return Verdict(
        failed=[Failed(batch[place], _of_row(error, found)) for place, found in faults.items()],
        again=[rest] if rest else [],
    )


def _of_row(error: MaasError, faults: list[ErrorDetail]) -> MaasError:
    """Return the error that the row would have met alone."""
    first = faults[0]
    named = _ROW.fullmatch(first.param or "")
    return type(error)(
        first.message,
        status=error.status,
        code=first.code,
        type=error.type,
        param=named[2] if named else None,
        request_id=error.request_id,
        errors=faults if len(faults) > 1 else (),
    )
